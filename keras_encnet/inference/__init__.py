"""From trained models to predictions: multi-scale evaluation and named classes."""

from keras_encnet.inference.multi_scale import MultiScaleSegmenter
from keras_encnet.inference.predictions import decode_predictions

__all__ = ["MultiScaleSegmenter", "decode_predictions"]
