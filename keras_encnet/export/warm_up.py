"""Warm-up requests, which TensorFlow Serving runs before a version is available."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_encnet.utils.packages import import_optional

FILE = "assets.extra/tf_serving_warmup_requests"


def write_warm_up_requests(
    folder: Path, name: str, size: Sequence[int], batch_sizes: Sequence[int]
) -> None:
    """Writes one request per batch size and signature that takes images.

    Without them, the first requests wait until the graph is optimized and the kernels of each new
    shape are compiled.

    Args:
        folder: folder of the SavedModel.
        name: name of the model on the server.
        size: `(height, width)` of the images.
        batch_sizes: positive integers.

    Raises:
        MissingPackageError: if tensorflow-serving-api is not installed.
    """
    predict_pb2, prediction_log_pb2 = protocol_buffers()
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), "uint8")
    jpeg = tf.io.encode_jpeg(image).numpy()
    inputs = {
        "serving_default": ("image_bytes", np.array(jpeg, object)),
        "tensors": ("images", image.astype("float32")),
        "tensors_uint8": ("images", image),
    }
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
