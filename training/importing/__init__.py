"""Exports of annotation tools as folder data sets: one format per file in `formats`."""
