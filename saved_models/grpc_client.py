"""A client of TensorFlow Serving's gRPC interface."""

import json
from collections.abc import Sequence
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from saved_models.rest_client import SIGNATURE, TIMEOUT, ServerError


class GrpcClient:
    """A model on TensorFlow Serving, through its gRPC interface; a `Client`.

    Args:
        address: such as `localhost:8500`.
        model: name of the model.
        version: number of the version. Defaults to the version that the server selects.
        label: label of the version, such as `canary`, instead of its number.
        retries: number of retries while the server is busy or unreachable, at most 4.
    """

    def __init__(
        self,
        address: str,
        model: str,
        version: int | None = None,
        label: str | None = None,
        retries: int = 3,
    ):
        policy = {
            "maxAttempts": min(retries + 1, 5),  # gRPC's maximum
            "initialBackoff": "0.2s",
            "maxBackoff": "2s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
        }
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        if retries:
            config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
            options.append(("grpc.service_config", json.dumps(config)))
        channel = grpc.insecure_channel(address, options)
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)
        self.spec = model_pb2.ModelSpec(name=model)
        if version is not None:
            self.spec.version.value = version
        elif label:
            self.spec.version_label = label

    def status(self) -> dict[int, str]:
        """Returns the states of the model's versions by number."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self.spec)
        statuses = self._call(self.models.GetModelStatus, request).model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State
        return {status.version: names.Name(status.state) for status in statuses}

    def signature(self) -> tuple[set[str], set[str]]:
        """Returns the names of the inputs and outputs of the signature for encoded images."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self.spec, metadata_field=["signature_def"]
        )
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response = self._call(self.predictions.GetModelMetadata, request)
        response.metadata["signature_def"].Unpack(signatures)
        signature = signatures.signature_def[SIGNATURE]
        return set(signature.inputs), set(signature.outputs)

    def class_names(self) -> list[str]:
        """Returns the names of the classes."""
        return [name.decode() for name in self._run("metadata", query=[b""])["class_names"][0]]

    def predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        """Sends encoded images in one request and returns a dict of outputs for each."""
        outputs = self._run(SIGNATURE, image_bytes=images)
        predictions = [
            {name: value[i] for name, value in outputs.items()} for i in range(len(images))
        ]
        for prediction in predictions:
            for name, value in prediction.items():
                if isinstance(value, bytes) and not name.endswith("_bytes"):
                    prediction[name] = value.decode()
        return predictions

    def _run(self, signature_name, **inputs):
        request = predict_pb2.PredictRequest(model_spec=self.spec)
        request.model_spec.signature_name = signature_name
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value, tf.string))
        outputs = self._call(self.predictions.Predict, request).outputs
        return {name: tf.make_ndarray(proto) for name, proto in outputs.items()}

    def _call(self, method, request):
        try:
            return method(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise ServerError(f"{error.code().name}: {error.details()}") from error
