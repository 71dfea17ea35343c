"""A model behind TensorFlow Serving's gRPC interface."""

import json

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
    """A model behind TensorFlow Serving's gRPC interface: arguments and methods of `RestClient`."""

    def __init__(self, address, model, version=None, label=None, retries=3):
        policy = {
            "maxAttempts": min(retries + 1, 5),  # gRPC allows no more
            "initialBackoff": "0.2s",
            "maxBackoff": "2s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
        }
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
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

    def status(self):
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self.spec)
        statuses = self._call(self.models.GetModelStatus, request).model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State
        return {status.version: names.Name(status.state) for status in statuses}

    def signature(self):
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self.spec, metadata_field=["signature_def"]
        )
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer = self._call(self.predictions.GetModelMetadata, request)
        answer.metadata["signature_def"].Unpack(signatures)
        signature = signatures.signature_def[SIGNATURE]
        return set(signature.inputs), set(signature.outputs)

    def class_names(self):
        return [name.decode() for name in self._run("metadata", query=[b""])["class_names"][0]]

    def predict(self, images):
        outputs = self._run(SIGNATURE, image_bytes=images)
        answers = [{name: value[i] for name, value in outputs.items()} for i in range(len(images))]
        for answer in answers:
            for name, value in answer.items():
                if isinstance(value, bytes) and not name.endswith("_bytes"):
                    answer[name] = value.decode()
        return answers

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
