"""The client command with unavailable, failing and interrupted servers, and its results file."""

import base64
import errno
import json
import os
import signal
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_encnet.utils.packages import MissingPackageError
from saved_models import answers, client, predictions
from saved_models.client import Server
from saved_models.grpc_client import GrpcClient
from saved_models.rest_client import RestClient
from saved_models.server import ServerError, UnavailableError
from tests.saved_models.fake_server import fake_server, png, prediction


@pytest.fixture
def images(tmp_path):
    """Ten files whose content is their number, and which the fake server takes for images."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(10):
        (folder / f"{i}.png").write_text(str(i))
    return folder


@pytest.fixture
def call(images, tmp_path):
    """Calls the command and returns its exit status and the content of `answers.json`."""

    def call(address, model="street", **options):
        server = Server(rest=address, retry_seconds=options.pop("retry_seconds", 0.5))
        with pytest.raises(SystemExit) as exit_:
            client.main((images,), model, server, output=tmp_path / "out", **options)
        found = json.loads((tmp_path / "out/answers.json").read_text())
        return exit_.value.code, {Path(path).name: record for path, record in found.items()}

    return call


def test_a_missing_package_of_grpc_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(MissingPackageError, match="`--grpc` requires .* tensorflow-serving-api`"):
        Server(grpc="localhost:8500").client("street")


def test_busy_server_receives_the_request_again(call):
    statuses = iter([503, 429, 500, 502, 504, 408] + [200] * 10)
    lock = threading.Lock()

    def respond(data):
        with lock:
            return next(statuses), prediction()

    with fake_server(respond) as address:
        status, found = call(address, retry_seconds=20)
    assert status == 0
    assert len(found) == 10
    assert found["3.png"] == {"status": "ok", "model": "street/3"}


def test_restart_of_a_rest_server_loses_no_image(call):
    with fake_server(lambda data: (200, prediction())) as address:
        pass
    restart = threading.Timer(1.0, lambda: serve.set())
    serve, finished = threading.Event(), threading.Event()

    def restarted():
        serve.wait()
        with fake_server(lambda data: (200, prediction()), int(address.rpartition(":")[2])):
            finished.wait()

    thread = threading.Thread(target=restarted)
    thread.start()
    restart.start()
    status, found = call(address, retry_seconds=20)
    finished.set()
    thread.join()
    assert status == 0
    assert len(found) == 10


def test_restart_of_a_grpc_server_loses_no_image():
    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            return predict_pb2.PredictResponse()

    def started(port=0):
        server = grpc.server(futures.ThreadPoolExecutor(2))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
        port = server.add_insecure_port(f"localhost:{port}")
        server.start()
        return server, port

    server, port = started()
    one = GrpcClient(f"localhost:{port}", "street", retry_seconds=20)
    assert one.predict([b"image"]) == [{}]
    server.stop(0).wait()
    with futures.ThreadPoolExecutor() as pool:
        request = pool.submit(one.predict, [b"image"])
        time.sleep(1)
        server, _ = started(port)
        assert request.result() == [{}]
    server.stop(0)


@pytest.mark.parametrize(
    "connect", [RestClient, lambda address, *rest, **o: GrpcClient(address[7:], *rest, **o)]
)
def test_unreachable_server_is_reported_after_all_retries(connect):
    one = connect("http://localhost:9", "street", retry_seconds=0.5)
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        one.status()
    assert 0.1 < time.monotonic() - began < 5


def test_rerun_after_an_unavailable_server_sends_the_remaining_images(call, images, capsys):
    predicted = []

    def respond(data):
        if len(predicted) == 4:
            return 503, "<html>unavailable</html>"
        predicted.append(data)
        return 200, prediction()

    with fake_server(respond) as address:
        status, found = call(address, in_flight=1)
    assert "unavailable" in status
    assert "The same command sends the images that have no prediction yet" in status
    assert sum("error" not in record for record in found.values()) == 4
    sent = []
    with fake_server(lambda data: sent.append(data) or (200, prediction())) as address:
        status, found = call(address)
        assert status == 0
        assert len(found) == 10
        assert sorted([*predicted, *sent]) == [b"%d" % i for i in range(10)]
        assert "4 of 10 images are predicted already" in capsys.readouterr().out

        sent.clear()
        call(address)
        assert sent == []
        (images / "7.png").write_text("changed")
        os.utime(images / "7.png", (time.time() + 10,) * 2)
        call(address)
        assert sent == [b"changed"]
        call(address, overwrite=True)
        assert len(sent) == 11
        call(address, model="road")
        assert len(sent) == 21


MALFORMED = {
    "empty object": "{}",
    "empty list": "[]",
    "no predictions": '{"predictions": []}',
    "two predictions": json.dumps({"predictions": [{"status": "ok"}] * 2}),
    "number": "7",
    "null": "null",
    "html": "<html>Welcome</html>",
    "cut": prediction()[:-30],
    "list as prediction": '{"predictions": [["ok"]]}',
    "string as prediction": '{"predictions": ["ok"]}',
    "no status": '{"predictions": [{"mask_png_bytes": {"b64": ""}}]}',
    "status of another type": prediction(status=["ok"]),
    "no mask": '{"predictions": [{"status": "ok"}]}',
    "mask as text": prediction(mask_png_bytes="iVBORw0KGgo"),
    "bad base64": prediction(mask_png_bytes={"b64": "!!!"}),
    "mask that is no png": prediction(mask_png_bytes={"b64": "aGVsbG8="}),
    "empty mask": prediction(mask_png_bytes={"b64": ""}),
    "number that is too large": prediction(presence=1).replace(": 1}", ": 1e999}"),
    "number of 9000 digits": prediction(presence=1).replace(": 1}", f": {'9' * 9000}}}"),
    "not a number": prediction(presence=[float("nan")]),
    "nested": "[" * 100_000,
    "half a mask": prediction(mask_png_bytes={"b64": base64.b64encode(png()[:-20]).decode()}),
}


def test_malformed_response_is_recorded_as_an_error_of_its_image(call, images):
    for name in MALFORMED:
        (images / f"{name}.png").write_text(name)
    with fake_server(lambda data: (200, MALFORMED.get(data.decode(), prediction()))) as address:
        status, found = call(address)
    assert status == 1
    assert len(found) == 10 + len(MALFORMED)
    failed = {name.removesuffix(".png") for name, record in found.items() if "error" in record}
    assert failed == set(MALFORMED)
    assert all("malformed" in found[f"{name}.png"]["error"] for name in MALFORMED)


def test_unreadable_image_is_recorded_as_an_error(call, images):
    (images / "broken.png").symlink_to("nowhere")
    with fake_server(lambda data: (200, prediction())) as address:
        status, found = call(address)
    assert status == 1
    assert "No such file" in found["broken.png"]["error"]
    assert sum("error" in record for record in found.values()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_leaves_valid_answers_and_one_sentence(number, status, call, capsys):
    served = []

    def respond(data):
        served.append(data)
        if len(served) == 5:
            os.kill(os.getpid(), number)
        if len(served) >= 5:
            time.sleep(1)
        return 200, prediction()

    # A shell may have started the tests in the background, where SIGINT is ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with fake_server(respond) as address:
            code, found = call(address, in_flight=1)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert code == status
    assert 1 <= len(found) < 10
    assert "Interrupted. The same command sends the images" in capsys.readouterr().err


def test_full_disk_leaves_valid_answers_and_one_sentence(call, monkeypatch, tmp_path):
    written = []

    def write_bytes(path, data):
        written.append(path)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return Path.write_text(path, data.decode("latin1"))

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with fake_server(lambda data: (200, prediction())) as address:
        status, found = call(address)
    assert "No space left on device" in status
    assert "The same command sends" in status
    assert len(found) == 3
    assert not list((tmp_path / "out").glob(".tmp*"))


def test_answers_are_written_as_they_arrive(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "SECONDS", 0.0)
    monkeypatch.setattr(answers, "SHARE", 1e9)
    path = tmp_path / "answers.json"
    with answers.Answers(path, "street/1") as file:
        assert json.loads(path.read_text()) == {}
        file.add(predictions.Result(Path("a.png"), {"status": "ok"}))
        assert json.loads(path.read_text()) == {"a.png": {"status": "ok", "model": "street/1"}}


def test_writing_answers_takes_a_small_share_of_the_time(tmp_path):
    outputs = {"status": "ok", "presence": [0.123456789] * 20}
    writes = []
    with answers.Answers(tmp_path / "answers.json", "street/1") as file:
        save = file.save
        file.save = lambda: writes.append(save())
        began = time.monotonic()
        for i in range(20_000):
            file.add(predictions.Result(Path(f"{i}.png"), outputs))
        elapsed = time.monotonic() - began
    assert len(writes) <= 2 + elapsed / answers.SECONDS
    assert len(json.loads((tmp_path / "answers.json").read_text())) == 20_000


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "\0"])
def test_foreign_results_file_is_not_replaced(content, tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"answers\.json"):
        answers.Answers(path, "street/1")
    assert path.read_text() == content


def test_unknown_model_is_not_retried(call, tmp_path):
    with fake_server(lambda data: (404, '{"error": "Servable not found"}')) as address:
        one = RestClient(address, "street", retry_seconds=20)
        began = time.monotonic()
        with pytest.raises(ServerError, match="Servable not found"):
            one.predict([b"image"])
    assert time.monotonic() - began < 2
