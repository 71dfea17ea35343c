"""Warm-up requests, which TensorFlow Serving runs before a version is available."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_encnet.utils.packages import import_optional

FILE = "assets.extra/tf_serving_warmup_requests"


def write_warm_up_requests(
    folder: Path,
    name: str,
    shape: Sequence[int],
    batch_sizes: Sequence[int],
    signatures: Collection[str],
) -> None:
    """Writes one request per batch size and signature that takes images.

    Without them, the first requests wait until the graph is optimized and the kernels of each new
    shape are compiled.

    Args:
        folder: folder of the SavedModel.
        name: name of the model on the server.
        shape: `(height, width, channels)` of the images.
        batch_sizes: positive integers.
        signatures: names of those that the model has.

    Raises:
        MissingPackageError: if tensorflow-serving-api is not installed.
    """
    predict_pb2, prediction_log_pb2 = protocol_buffers()
    image = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    inputs = {
        "tensors": ("images", image.astype("float32")),
        "tensors_uint8": ("images", image),
    }
    if "serving_default" in signatures:
        jpeg = np.array(tf.io.encode_jpeg(image).numpy(), object)
        inputs = {"serving_default": ("image_bytes", jpeg), **inputs}
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for count in batch_sizes:
            for signature, (key, value) in inputs.items():
                request = predict_pb2.PredictRequest()
                request.model_spec.name, request.model_spec.signature_name = name, signature
                batch = np.repeat(value[None], count, axis=0)
                request.inputs[key].CopyFrom(tf.make_tensor_proto(batch))
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())


def protocol_buffers() -> tuple[Any, Any]:
    """Returns the modules `predict_pb2` and `prediction_log_pb2` of TensorFlow Serving.

    Raises:
        MissingPackageError: if tensorflow-serving-api is not installed.
    """
    predict, log = (
        import_optional(
            f"tensorflow_serving.apis.{name}",
            "tensorflow-serving-api",
            "Writing warm-up requests",
            "An empty `warm_up` exports without them.",
        )
        for name in ("predict_pb2", "prediction_log_pb2")
    )
    return predict, log
