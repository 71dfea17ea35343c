"""A client of TensorFlow Serving's gRPC interface."""

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

from saved_models.server import (
    SIGNATURE,
    TIMEOUT,
    Client,
    ServerError,
    UnavailableError,
    expected_structure,
    json_value,
    repeated,
)

OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # By default, gRPC waits for up to two minutes before it connects to a restarted server.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
# Status codes after which to repeat a request.
TEMPORARY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
)


class GrpcClient(Client):
    """A model on TensorFlow Serving, through its gRPC interface. Arguments: see `Client`."""

    def __post_init__(self):
        channel = grpc.insecure_channel(self.address, OPTIONS)
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)
        self.spec = model_pb2.ModelSpec(name=self.model)
        if self.version is not None:
            self.spec.version.value = self.version
        elif self.label:
            self.spec.version_label = self.label

    def status(self) -> dict[int, str]:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self.spec)
        statuses = self._call(self.models.GetModelStatus, request).model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State
        return {status.version: names.Name(status.state) for status in statuses}

    def signature(self) -> tuple[set[str], set[str]]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self.spec, metadata_field=["signature_def"]
        )
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response = self._call(self.predictions.GetModelMetadata, request)
        with expected_structure():
            response.metadata["signature_def"].Unpack(signatures)
        signature = signatures.signature_def[SIGNATURE]
        return set(signature.inputs), set(signature.outputs)

    def class_names(self) -> list[str]:
        outputs = self._run("metadata", query=[b""])
        with expected_structure():
            return [name.decode() for name in outputs["class_names"][0]]

    def predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        outputs = self._run(SIGNATURE, image_bytes=images)
        with expected_structure():
            return [
                {name: json_value(name, value[i]) for name, value in outputs.items()}
                for i in range(len(images))
            ]

    def _run(self, signature_name, **inputs):
        request = predict_pb2.PredictRequest(model_spec=self.spec)
        request.model_spec.signature_name = signature_name
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value, tf.string))
        outputs = self._call(self.predictions.Predict, request).outputs
        with expected_structure():
            return {name: tf.make_ndarray(proto) for name, proto in outputs.items()}

    def _call(self, method, request):
        return repeated(lambda: self._request(method, request), self.retry_seconds)

    def _request(self, method, request):
        try:
            return method(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            kind = UnavailableError if error.code() in TEMPORARY else ServerError
            raise kind(f"{error.code().name}: {error.details()}") from error
