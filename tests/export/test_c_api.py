"""A C program loads the export and predicts, as TensorFlow Serving does."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from keras_encnet.export import export_saved_model
from tests.export import encoded
from tests.fixtures import raw_images, small_encnet

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
LIBRARIES = Path(tf.sysconfig.get_lib())
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="needs a C compiler"),
]


@pytest.fixture(scope="module")
def model():
    return small_encnet(gating="residual", classes=5)


@pytest.fixture(scope="module")
def ask(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    program, saved_model = folder / "request", folder / "model" / "1"
    source = Path(__file__).with_name("request.c")
    command = [COMPILER, "-O1", "-Wall", "-Werror", str(source), "-o", str(program)]
    command += [f"-I{tf.sysconfig.get_include()}", f"-L{LIBRARIES}", f"-Wl,-rpath,{LIBRARIES}"]
    command += ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    subprocess.run(command, check=True, timeout=120)
    export_saved_model(model, saved_model, size=(32, 40))
    content = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
    signatures = content.meta_graphs[0].signature_def

    def ask(signature, output, request, *arguments):
        definition = signatures[signature]
        [operation] = [info.name for info in definition.inputs.values()]
        names = [operation, definition.outputs[output].name]
        mode = "tensors" if signature == "tensors" else "bytes"
        call = [str(program), str(saved_model), mode, *names, *map(str, arguments)]
        return subprocess.run(call, input=request, capture_output=True, timeout=120)

    return ask


def test_tensors_are_answered(ask, model):
    [image] = raw_images(1, 37, 53)
    answer = ask("tensors", "classes", image.astype("float32").tobytes(), 37, 53)
    assert answer.returncode == 0, answer.stderr.decode()
    classes = np.frombuffer(answer.stdout, "uint8").reshape(37, 53)
    assert (classes == model.segment(image)).mean() > 0.99


def test_bytes_are_answered_with_a_png(ask, model):
    [image] = raw_images(1, 32, 40)
    answer = ask("serving_default", "mask_png_bytes", encoded.encode(image, "PNG"))
    assert answer.returncode == 0, answer.stderr.decode()
    mask = np.asarray(Image.open(io.BytesIO(answer.stdout)))
    assert (mask == model.segment(image)).mean() > 0.99


def test_a_broken_body_is_an_invalid_argument(ask):
    data = encoded.broken_bodies()["png"]
    answer = ask("serving_default", "mask_png_bytes", data)
    assert answer.returncode == 3
    assert "PNG" in answer.stderr.decode()
