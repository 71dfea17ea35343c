"""Runtimes that execute exported files in tests, which are skipped where they are missing."""

import pytest


def run_litert(path, images):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    reader = interpreter.Interpreter(str(path))
    reader.resize_tensor_input(reader.get_input_details()[0]["index"], images.shape)
    kinds = {details["op_name"] for details in reader._get_ops_details()}
    assert not any(kind.startswith("Flex") for kind in kinds)
    return reader.get_signature_runner()(images=images.astype("float32"))


def run_onnx(path, images):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images.astype("float32")}), strict=True))


def run_openvino(path, images):
    openvino = pytest.importorskip("openvino")
    hints = {"INFERENCE_PRECISION_HINT": "f32"}  # also on processors with bfloat16
    compiled = openvino.Core().compile_model(path, "CPU", hints)
    result = compiled({"images": images.astype("float32")})
    names = {"classes", "presence", "probabilities"}
    return {name: result[name] for output in compiled.outputs for name in output.names & names}
