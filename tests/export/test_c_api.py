"""A C program runs exports through TensorFlow's C API, like TensorFlow Serving's loader."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from tests.export import encoded, odd_files
from tests.export.exported import SIZE
from tests.fixtures import raw_images

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
LIBRARIES = Path(tf.sysconfig.get_lib())
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="needs a C compiler"),
]


@pytest.fixture(scope="module")
def run_request(exported, tmp_path_factory):
    program = tmp_path_factory.mktemp("c") / "request"
    source = Path(__file__).with_name("request.c")
    command = [COMPILER, "-O1", "-Wall", "-Werror", str(source), "-o", str(program)]
    command += [f"-I{tf.sysconfig.get_include()}", f"-L{LIBRARIES}", f"-Wl,-rpath,{LIBRARIES}"]
    command += ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    subprocess.run(command, check=True, timeout=120)
    content = saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    signatures = content.meta_graphs[0].signature_def

    def run_request(signature, output, request, *arguments):
        definition = signatures[signature]
        [operation] = [info.name for info in definition.inputs.values()]
        names = [operation, definition.outputs[output].name]
        mode = "tensors" if signature == "tensors" else "bytes"
        call = [str(program), str(exported), mode, *names, *map(str, arguments)]
        return subprocess.run(call, input=request, capture_output=True, timeout=120)

    return run_request


def test_tensors_give_class_ids(run_request, model):
    [image] = raw_images(1, 37, 53)
    result = run_request("tensors", "classes", image.astype("float32").tobytes(), 37, 53)
    assert result.returncode == 0, result.stderr.decode()
    classes = np.frombuffer(result.stdout, "uint8").reshape(37, 53)
    assert (classes == model.segment(image)).mean() > 0.99


def test_encoded_images_give_a_png(run_request, model):
    [image] = raw_images(1, *SIZE)
    result = run_request("serving_default", "mask_png_bytes", encoded.encode(image, "PNG"))
    assert result.returncode == 0, result.stderr.decode()
    mask = np.asarray(Image.open(io.BytesIO(result.stdout)))
    assert (mask == model.segment(image)).mean() > 0.99


def test_undecodable_image_gets_a_status(run_request):
    data = odd_files.undecodable()["png cut in its pixels"]
    result = run_request("serving_default", "status", data)
    assert result.returncode == 0, result.stderr.decode()
    assert b"corrupt or truncated" in result.stdout


def test_tensor_of_no_pixels_is_an_invalid_argument(run_request):
    result = run_request("tensors", "classes", b"", 0, 53)
    assert result.returncode == 3
    assert "must have 1 to" in result.stderr.decode()
