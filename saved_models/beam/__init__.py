"""Prediction of many images on Apache Beam. Workers need TensorFlow, but not Keras."""
