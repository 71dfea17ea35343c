"""Export of trained models for programs without Keras: SavedModel, LiteRT, ONNX, OpenVINO."""

from keras_encnet.export.image_bytes import Limits
from keras_encnet.export.litert import export_litert
from keras_encnet.export.onnx import export_onnx
from keras_encnet.export.openvino import export_openvino
from keras_encnet.export.saved_model import export_saved_model
from keras_encnet.export.serving import write_configuration
from keras_encnet.graph.folding import fold_batch_normalization
from keras_encnet.graph.precision import with_precision

__all__ = [
    "Limits",
    "export_litert",
    "export_onnx",
    "export_openvino",
    "export_saved_model",
    "fold_batch_normalization",
    "with_precision",
    "write_configuration",
]
