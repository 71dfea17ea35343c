"""Graph surgery on functional models: rebuilding, batch-normalization folding, precision."""

from keras_encnet.graph.folding import fold_batch_normalization
from keras_encnet.graph.precision import with_precision

__all__ = ["fold_batch_normalization", "with_precision"]
