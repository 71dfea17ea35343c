"""Prediction of many images on Apache Beam."""
