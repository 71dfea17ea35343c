"""Speed and memory compared with the usual alternatives: `python -m benchmarks.NAME --help`."""

import os

# TensorFlow reads it when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
