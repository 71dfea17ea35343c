"""Data sets: generated scenes, CIFAR, and published ones through TensorFlow Datasets."""
