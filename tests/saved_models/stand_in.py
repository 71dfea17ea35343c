"""A stand-in for TensorFlow Serving that implements its protocol for one SavedModel.

    python -m tests.saved_models.stand_in BASE_PATH [--name NAME] [--label LABEL=VERSION ...]

It was written from TensorFlow Serving's protocol buffers and documentation, to test clients and
exports over real sockets where the server itself is not available. Like the server, it loads with
TensorFlow's session loader and without Keras, serves the highest version, runs the warm-up requests
before it is available, and provides gRPC and REST. It does not batch. It prints the ports as one
line of JSON when it is ready.
"""

import sys

if __name__ == "__main__":
    sys.modules["keras"] = None  # before TensorFlow is imported

import argparse
import base64
import binascii
import http.server
import json
import re
import threading
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

WARM_UP = "assets.extra/tf_serving_warmup_requests"
PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<verb>/metadata|:predict)?"
)
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class RefusedError(Exception):
    """An error response: a gRPC status code and a message."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Version:
    """One loaded version: a session, and the signatures of its graph."""

    def __init__(self, path):
        self.number = int(path.name)
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(self.session, ["serve"], str(path))
        self.signatures = meta_graph.signature_def
        if (path / WARM_UP).exists():
            for record in tf.compat.v1.io.tf_record_iterator(str(path / WARM_UP)):
                log = prediction_log_pb2.PredictionLog.FromString(record)
                request = log.predict_log.request
                self.run(request.model_spec.signature_name, decoded(request.inputs))

    def run(self, signature_name, inputs):
        signature = self.signature(signature_name)
        if set(inputs) != set(signature.inputs):
            raise RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input keys: expected {sorted(signature.inputs)}, got {sorted(inputs)}",
            )
        feeds = {signature.inputs[name].name: value for name, value in inputs.items()}
        fetches = {name: info.name for name, info in signature.outputs.items()}
        try:
            return self.session.run(fetches, feeds)
        except tf.errors.OpError as error:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, error.message) from error
        except (ValueError, TypeError) as error:  # shapes and types, which sessions check in Python
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error

    def signature(self, name):
        if name not in self.signatures:
            raise RefusedError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
            )
        return self.signatures[name]


class Model:
    """All versions of one model. The highest is served by default."""

    def __init__(self, base_path, name, labels):
        paths = [path for path in Path(base_path).iterdir() if path.name.isdecimal()]
        self.name, self.labels = name, labels
        # One version is loaded by default, plus those with labels.
        numbers = set(labels.values()) | {max(int(path.name) for path in paths)}
        loaded = [Version(path) for path in paths if int(path.name) in numbers]
        self.versions = {version.number: version for version in loaded}

    def find(self, name, version=None, label=None):
        number = self.labels.get(label) if label else version or max(self.versions)
        if name != self.name or number not in self.versions:
            raise RefusedError(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {name} {version}"
            )
        return self.versions[number]

    def status(self, name, version=None, label=None):
        version = self.find(name, version, label)
        response = get_model_status_pb2.GetModelStatusResponse()
        status = response.model_version_status.add(version=version.number)
        status.state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return response

    def metadata(self, name, version=None, label=None):
        version = self.find(name, version, label)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name, response.model_spec.version.value = name, version.number
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, signature in version.signatures.items():
            signatures.signature_def[key].CopyFrom(signature)
        response.metadata["signature_def"].Pack(signatures)
        return response


def decoded(inputs):
    return {name: tf.make_ndarray(proto) for name, proto in inputs.items()}


def spec_arguments(spec):
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label or None


class GrpcService(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """The methods of the two gRPC services that clients of exports use."""

    def __init__(self, model):
        self.model = model

    def Predict(self, request, context):  # noqa: N802
        try:
            version = self.model.find(*spec_arguments(request.model_spec))
            signature_name = request.model_spec.signature_name or "serving_default"
            outputs = version.run(signature_name, decoded(request.inputs))
        except RefusedError as error:
            context.abort(error.code, str(error))
        response = predict_pb2.PredictResponse()
        response.model_spec.name = self.model.name
        response.model_spec.version.value = version.number
        response.model_spec.signature_name = signature_name
        for name, value in outputs.items():
            if not request.output_filter or name in request.output_filter:
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def GetModelStatus(self, request, context):  # noqa: N802
        return self._respond(self.model.status, request, context)

    def GetModelMetadata(self, request, context):  # noqa: N802
        return self._respond(self.model.metadata, request, context)

    def _respond(self, function, request, context):
        try:
            return function(*spec_arguments(request.model_spec))
        except RefusedError as error:
            context.abort(error.code, str(error))


class RestHandler(http.server.BaseHTTPRequestHandler):
    """The REST interface: status, metadata, and predictions in row and in column format."""

    protocol_version = "HTTP/1.1"
    model = None

    def do_GET(self):
        self._respond(lambda target, verb: self._describe(target, verb))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._respond(lambda target, verb: self._predict(target, verb, body))

    def log_message(self, *arguments):
        pass

    def _respond(self, make_body):
        try:
            match = PATH.fullmatch(self.path)
            if match is None:
                raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "Malformed request")
            version = match["version"] and int(match["version"])
            code, body = 200, make_body((match["name"], version, match["label"]), match["verb"])
        except RefusedError as error:
            code = 404 if error.code is grpc.StatusCode.NOT_FOUND else 400
            body = {"error": str(error)}
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _describe(self, target, verb):
        if verb is None:
            response = json_format.MessageToDict(
                self.model.status(*target), preserving_proto_field_name=True
            )
            for status in response["model_version_status"]:
                status["status"] = {"error_code": "OK", "error_message": ""}
            return response
        signatures = get_model_metadata_pb2.SignatureDefMap()
        metadata = self.model.metadata(*target)
        metadata.metadata["signature_def"].Unpack(signatures)
        spec, signatures = (
            json_format.MessageToDict(message, preserving_proto_field_name=True)
            for message in (metadata.model_spec, signatures)
        )
        return {"model_spec": spec, "metadata": {"signature_def": signatures}}

    def _predict(self, target, verb, body):
        if verb != ":predict":
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "Malformed request")
        version = self.model.find(*target)
        try:
            request = json.loads(body)
            signature_name = request.get("signature_name", "serving_default")
            signature = version.signature(signature_name)
            by_row = "instances" in request
            inputs = columns(request["instances"], signature) if by_row else request["inputs"]
            if not isinstance(inputs, dict) or "b64" in inputs:
                inputs = {next(iter(signature.inputs)): inputs}
            inputs = {
                name: np.array(
                    from_json(value), tf.as_dtype(signature.inputs[name].dtype).as_numpy_dtype
                )
                for name, value in inputs.items()
            }
        except (ValueError, LookupError, TypeError, AttributeError, binascii.Error) as error:
            message = f"JSON Parse error: {error}"
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, message) from error
        outputs = version.run(signature_name, inputs)
        if by_row:
            sizes = {len(value) for value in outputs.values()}
            if len(sizes) != 1:
                raise RefusedError(
                    grpc.StatusCode.INVALID_ARGUMENT, "outputs of different batch sizes"
                )
            rows = [
                {name: to_json(name, value[i]) for name, value in outputs.items()}
                for i in range(sizes.pop())
            ]
            return {"predictions": [next(iter(r.values())) if len(r) == 1 else r for r in rows]}
        outputs = {name: to_json(name, value) for name, value in outputs.items()}
        return {"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs}


def columns(instances, signature):
    """Converts rows to columns. A row is a dict of inputs, or the value of the only input."""
    if isinstance(instances[0], dict) and "b64" not in instances[0]:
        return {name: [row[name] for row in instances] for name in instances[0]}
    return {next(iter(signature.inputs)): instances}


def from_json(value):
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return [from_json(element) for element in value] if isinstance(value, list) else value


def to_json(name, value):
    """Encodes bytes in base64 if the name ends in `_bytes`, and as text otherwise."""
    if isinstance(value, np.ndarray):
        return [to_json(name, element) for element in value]
    if isinstance(value, bytes):
        is_text = not name.endswith("_bytes")
        return value.decode() if is_text else {"b64": base64.b64encode(value).decode()}
    return value.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base_path", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--rest-port", type=int, default=0)
    arguments = parser.parse_args()
    labels = {key: int(value) for key, value in (pair.split("=") for pair in arguments.label)}
    model = Model(arguments.base_path, arguments.name or arguments.base_path.name, labels)

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=UNLIMITED)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(GrpcService(model), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(GrpcService(model), server)
    grpc_port = server.add_insecure_port(f"localhost:{arguments.grpc_port}")
    server.start()
    RestHandler.model = model
    rest = http.server.ThreadingHTTPServer(("localhost", arguments.rest_port), RestHandler)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print(json.dumps({"grpc": grpc_port, "rest": rest.server_address[1]}), flush=True)
    sys.stdin.read()  # until the parent process closes the pipe


if __name__ == "__main__":
    main()
