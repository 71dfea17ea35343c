"""Decode heads, one per file."""
