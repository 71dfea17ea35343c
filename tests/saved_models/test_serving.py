"""Exports and clients over real sockets, with a stand-in for TensorFlow Serving."""

import base64
import contextlib
import io
import json
import re
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from keras_encnet.export import Limits, export_saved_model
from saved_models import client
from saved_models.client import Server
from saved_models.demo.models import View
from saved_models.demo.sources import open_models
from saved_models.demo.uploads import PageLimits
from saved_models.grpc_client import GrpcClient
from saved_models.predictions import predict_files
from saved_models.rest_client import RestClient
from saved_models.server import ServerError
from tests.export import encoded, odd_files
from tests.fixtures import raw_images, small_encnet
from tests.saved_models.demo.parts import write_image

ROOT = Path(__file__).parents[2]
NAMES = ("sky", "tree", "road", "car", "person")


@pytest.fixture(scope="module")
def server_folder(tmp_path_factory):
    """Exports two versions of a model."""
    folder = tmp_path_factory.mktemp("models") / "street"
    model = small_encnet(gating="residual")
    model.class_names = NAMES
    for version in (1, 2):
        limits = Limits(images=version + 1)
        export_saved_model(model, folder / str(version), (32, 40), limits=limits, warm_up=(1,))
    return folder


@contextlib.contextmanager
def started(folder, ports=None):
    """Starts the stand-in and yields its ports."""
    command = [sys.executable, "-m", "tests.saved_models.stand_in", str(folder), "--label", "old=1"]
    for name, port in (ports or {}).items():
        command += [f"--{name}-port", str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        yield json.loads(process.stdout.readline())
        process.stdin.close()


def addresses(ports):
    return {
        "rest": Server(rest=f"http://localhost:{ports['rest']}"),
        "grpc": Server(grpc=f"localhost:{ports['grpc']}"),
    }


@pytest.fixture(scope="module")
def server(server_folder):
    with started(server_folder) as ports:
        yield ports


@pytest.fixture(params=["rest", "grpc"])
def connect(request, server):
    def connect(model="street", **options):
        if request.param == "rest":
            return RestClient(f"http://localhost:{server['rest']}", model, **options)
        return GrpcClient(f"localhost:{server['grpc']}", model, **options)

    connect.interface = request.param
    return connect


def test_status_signature_and_class_names(connect):
    assert connect().status() == {2: "AVAILABLE"}
    assert connect(label="old").status() == {1: "AVAILABLE"}
    inputs, outputs = connect().signature()
    assert (inputs, outputs) == ({"image_bytes"}, {"mask_png_bytes", "presence", "status"})
    assert connect().class_names() == list(NAMES)


def test_masks_have_the_sizes_of_their_images(connect):
    images = [raw_images(1, *size)[0] for size in ((30, 50), (60, 20))]
    predictions = connect().predict([*(encoded.encode(i, "PNG") for i in images), b"no image"])
    assert [prediction["status"] for prediction in predictions[:2]] == ["ok", "ok"]
    assert "Not a JPEG" in predictions[2]["status"]
    assert predictions[2]["mask_png_bytes"] == b""
    for image, prediction in zip(images, predictions, strict=False):
        mask = Image.open(io.BytesIO(prediction["mask_png_bytes"]))
        assert mask.size == image.shape[1::-1]
        assert len(prediction["presence"]) == len(NAMES)


def test_versions_are_selected_by_number_and_label(connect):
    three = [encoded.encode(raw_images(1, 8, 8)[0], "PNG")] * 3
    assert len(connect(version=2).predict(three)) == 3
    for older in ({"version": 1}, {"label": "old"}):
        with pytest.raises(ServerError, match="must have 1 to 2 images"):
            connect(**older).predict(three)


def test_unknown_models_and_versions_raise(connect):
    for options in ({"model": "road"}, {"version": 7}):
        with pytest.raises(ServerError, match="not found"):
            connect(**options).status()


def test_malformed_files_get_a_status_and_the_server_keeps_running(connect):
    one = connect()
    valid = encoded.encode(raw_images(1, 9, 9)[0], "PNG")
    for data, reason in encoded.malformed().values():
        [prediction] = one.predict([data])
        assert reason in prediction["status"]
    [prediction] = one.predict([odd_files.undecodable()["jpeg cut in its scan"]])
    assert "truncated" in prediction["status"]
    assert one.predict([valid])[0]["status"] == "ok"


def test_concurrent_requests_get_their_own_predictions(connect):
    files = [encoded.encode(raw_images(1, 10 + i, 30 - i, seed=i)[0], "PNG") for i in range(12)]
    one = connect()
    with futures.ThreadPoolExecutor(6) as pool:
        predictions = list(pool.map(lambda file: one.predict([file])[0], files))
    for i, prediction in enumerate(predictions):
        assert Image.open(io.BytesIO(prediction["mask_png_bytes"])).size == (30 - i, 10 + i)


def test_rest_row_and_column_formats(server):
    url = f"http://localhost:{server['rest']}/v1/models/street:predict"
    image = {"b64": base64.b64encode(encoded.encode(raw_images(1, 8, 8)[0], "PNG")).decode()}
    row = requests.post(url, json={"instances": [image]}, timeout=60).json()["predictions"]
    column = requests.post(url, json={"inputs": [image]}, timeout=60).json()["outputs"]
    assert row[0]["mask_png_bytes"] == column["mask_png_bytes"][0]
    pixels = raw_images(1, 8, 8).tolist()
    body = {"signature_name": "tensors", "instances": pixels}
    classes = requests.post(url, json=body, timeout=60).json()["predictions"][0]["classes"]
    assert np.shape(classes) == (8, 8)


@pytest.mark.parametrize("body", [b"", b"{", b'{"instances": []}', b'{"instances": [{"b64": 3}]}'])
def test_malformed_requests_are_rejected(body, server):
    url = f"http://localhost:{server['rest']}/v1/models/street:predict"
    response = requests.post(url, data=body, timeout=60)
    assert response.status_code == 400
    assert response.json()["error"]


def test_command_writes_masks_and_reports_failures(connect, server, tmp_path, capsys):
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/a.jpg").write_bytes(encoded.encode(raw_images(1, 20, 30)[0], "JPEG"))
    (tmp_path / "in/deep/a.png").write_bytes(encoded.encode(raw_images(1, 30, 20)[0], "PNG"))
    (tmp_path / "in/bad.png").write_bytes(b"no image")
    address = addresses(server)[connect.interface]
    with pytest.raises(SystemExit) as exit_:
        client.main((tmp_path / "in",), "street", address, output=tmp_path / "out")
    assert exit_.value.code == 1
    printed = capsys.readouterr().out
    assert re.search(r"bad.png: Not a JPEG", printed)
    assert re.search(r"2 of 3 images predicted", printed)
    assert re.search(r"p50 \d", printed)
    assert Image.open(tmp_path / "out/a.png").size == (30, 20)
    assert Image.open(tmp_path / "out/deep/a.png").size == (20, 30)
    assert not (tmp_path / "out/bad.png").exists()
    answers = json.loads((tmp_path / "out/answers.json").read_text())
    assert answers[str(tmp_path / "in/a.jpg")]["status"] == "ok"
    assert "Not a JPEG" in answers[str(tmp_path / "in/bad.png")]["error"]
    assert len(answers) == 3


def test_images_with_the_same_mask_path_raise(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"overwrite each other's results.*a.png"):
        client.main((tmp_path,), "street", output=tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="missing"):
        client.main((tmp_path / "missing",), "street", output=tmp_path / "out")


def test_version_and_label_exclude_each_other(tmp_path):
    with pytest.raises(ValueError, match="version=1, label='canary'"):
        client.main((tmp_path,), "street", Server(version=1, label="canary"))


def test_masks_do_not_overwrite_images(tmp_path):
    (tmp_path / "a.png").write_bytes(b"an image")
    with pytest.raises(ValueError, match="overwrite these images.*a.png"):
        client.main((tmp_path,), "street", output=tmp_path)
    assert (tmp_path / "a.png").read_bytes() == b"an image"


def test_the_demo_page_shows_the_same_over_rest_grpc_and_from_the_saved_model(
    server, server_folder, tmp_path
):
    upload = write_image(tmp_path / "a.png", 30, 50)
    sources = (
        f"http://localhost:{server['rest']}/v1/models/street",
        f"grpc://localhost:{server['grpc']}/v1/models/street/versions/2",
        str(server_folder),
    )
    models = open_models(sources, PageLimits())
    assert [model.name for model in models] == ["street", "street/2 (1)", "street/2 (2)"]
    first, *others = (model.predict(upload, View()) for model in models)
    assert first.mask.shape == (30, 50)
    assert first.class_names == NAMES
    for other in others:
        np.testing.assert_array_equal(other.mask, first.mask)
        np.testing.assert_allclose(other.presence, first.presence, rtol=1e-5)
        assert other.class_names == NAMES
    upload.path.write_bytes(b"no image")
    for model in models:
        with pytest.raises(ServerError, match="Not a JPEG"):
            model.predict(upload, View())


@pytest.mark.slow
def test_restart_of_the_server_loses_no_image(server_folder, tmp_path):
    for i in range(40):
        (tmp_path / f"{i}.png").write_bytes(encoded.encode(raw_images(1, 9, 9)[0], "PNG"))
    for interface in ("rest", "grpc"):
        with started(server_folder) as ports:
            address = addresses(ports)[interface]
            one = address.client("street")
            paths = sorted(tmp_path.glob("*.png"))
            results = predict_files(one, paths, one.signature()[1], in_flight=2)
            first = next(results)
        with started(server_folder, ports):
            assert [r.error for r in (first, *results)] == [None] * 40
