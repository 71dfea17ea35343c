"""The table of published weights, and their download, verification and conversion."""

import dataclasses
import functools
import hashlib
import http.server
import io
import threading
import zipfile

import numpy as np
import pytest

import keras_encnet
from keras_encnet.applications import pretrained
from keras_encnet.backbones import ResNet
from keras_encnet.labels import CITYSCAPES

CONTENT = b"a checkpoint" * 1000


def tiny(classes, **structure):
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.125)
    structure |= {"channels": 8, "num_codewords": 2}
    return keras_encnet.EncNet(backbone, classes, **structure)


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("checkpoint.pth", content)
    return file.getvalue()


@pytest.fixture
def server(tmp_path):
    """Serves `complete.pth`, `complete.zip` and a truncated `cut.pth`; records requests."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            found = {
                "/complete.pth": CONTENT,
                "/cut.pth": CONTENT,
                "/complete.zip": zipped(CONTENT),
            }
            if self.path not in found:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(found[self.path])))
            self.end_headers()
            self.wfile.write(found[self.path][: 500 if self.path == "/cut.pth" else None])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", requests
        httpd.shutdown()


@pytest.fixture
def entry(server, monkeypatch):
    """A published model of 19 classes whose file is on the server."""
    published = tiny(19, variant="official")
    monkeypatch.setattr(pretrained, "from_pytorch", lambda *args, **kwargs: published)
    return dataclasses.replace(
        pretrained.find("EncNet50", "ade20k_official"),
        dataset="cityscapes",
        url=f"{server[0]}/complete.pth",
        digest=hashlib.sha1(CONTENT).hexdigest()[:8],
    )


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_checkpoint_is_downloaded_and_converted_once(entry, server, tmp_path):
    path = pretrained.fetch(entry, tmp_path / "cache")
    assert pretrained.fetch(entry, tmp_path / "cache") == path
    assert server[1] == ["/complete.pth"]
    assert files(path.parent) == ["complete.pth", "complete.weights.h5"]


def test_hash_of_an_archive_is_that_of_the_checkpoint_inside(entry, server, tmp_path):
    archived = dataclasses.replace(entry, url=entry.url.replace(".pth", ".zip"))
    pretrained.fetch(archived, tmp_path)
    assert files(tmp_path) == ["complete.weights.h5", "complete.zip"]
    wrong = dataclasses.replace(archived, digest=hashlib.sha1(zipped(CONTENT)).hexdigest())
    with pytest.raises(ValueError, match="is not the published one"):
        pretrained.fetch(wrong, tmp_path / "other")


def test_default_cache_is_below_keras_home(entry, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert pretrained.fetch(entry) == tmp_path / "models" / "keras_encnet" / "complete.weights.h5"


def test_wrong_hash_raises_and_leaves_no_file(entry, tmp_path):
    wrong = dataclasses.replace(entry, digest="00000000")
    with pytest.raises(ValueError, match="00000000"):
        pretrained.fetch(wrong, tmp_path / "cache")
    assert files(tmp_path / "cache") == []


@pytest.mark.parametrize("name", ["cut.pth", "missing.pth"])
def test_failed_download_leaves_no_file(name, entry, tmp_path):
    broken = dataclasses.replace(entry, url=entry.url.replace("complete.pth", name))
    with pytest.raises(OSError, match="Could not download"):
        pretrained.fetch(broken, tmp_path / "cache")
    assert files(tmp_path / "cache") == []


def test_corrupt_cached_file_is_downloaded_again(entry, server, tmp_path):
    (tmp_path / "complete.pth").write_bytes(CONTENT[:100])
    pretrained.fetch(entry, tmp_path)
    assert (tmp_path / "complete.pth").read_bytes() == CONTENT
    assert server[1] == ["/complete.pth"]


def test_interrupted_conversion_is_repeated(entry, tmp_path, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keras_encnet.SegmentationModel, "save_weights", fail)
        with pytest.raises(KeyboardInterrupt):
            pretrained.fetch(entry, tmp_path / "cache")
    assert files(tmp_path / "cache") == ["complete.pth"]
    assert pretrained.fetch(entry, tmp_path / "cache").exists()


def test_concurrent_calls_get_one_complete_file(entry, tmp_path):
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(pretrained.fetch(entry, tmp_path / "cache")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(paths) == 2
    tiny(19, variant="official").load_weights(paths[0])
    assert files(tmp_path / "cache") == ["complete.pth", "complete.weights.h5"]


def test_built_model_has_the_published_weights_and_class_names(entry, tmp_path, monkeypatch):
    monkeypatch.setattr(
        pretrained, "fetch", functools.partial(pretrained.fetch, folder=tmp_path / "cache")
    )
    model = pretrained.build(entry, "encnet", tiny)
    published = tiny(19, variant="official")
    published.load_weights(tmp_path / "cache" / "complete.weights.h5")
    for first, second in zip(model.weights, published.weights, strict=True):
        np.testing.assert_array_equal(first, second)
    assert model.class_names == tuple(CITYSCAPES)
    assert model.working_size == 520
    native = pretrained.build(entry, "encnet", tiny, working_size="native")
    assert native.working_size is None


def test_another_number_of_classes_copies_other_layers_and_warns(entry, tmp_path, monkeypatch):
    monkeypatch.setattr(
        pretrained, "fetch", functools.partial(pretrained.fetch, folder=tmp_path / "cache")
    )
    with pytest.warns(UserWarning, match="segmentation_logits") as caught:
        model = pretrained.build(entry, "encnet", tiny, classes=7)
    assert any("presence" in str(warning.message) for warning in caught)
    assert model.classes == 7
    published = pretrained.build(entry, "encnet", tiny)
    np.testing.assert_array_equal(
        model.get_layer("context_encoding").codewords,
        published.get_layer("context_encoding").codewords,
    )


def test_contradicting_arguments_raise_before_the_download(monkeypatch):
    monkeypatch.setattr(pretrained, "fetch", lambda entry: pytest.fail("fetched"))
    with pytest.raises(ValueError, match="variant='official'"):
        keras_encnet.EncNet50(weights="ade20k_official", variant="paper")
    with pytest.raises(ValueError, match="align_corners"):
        keras_encnet.EncNet50(weights="ade20k_official", align_corners=False)
    for name, value in {
        "gating": "scale",
        "codeword_pooling": "sum",
        "aggregation": "mean",
        "stride_on": "1x1",
        "stem": "plain",
        "num_codewords": 16,
        "channels": 256,
        "auxiliary": "none",
        "preprocessing": "caffe",
    }.items():
        with pytest.raises(ValueError, match=f"require `{name}=.*Received: {name}={value!r}"):
            keras_encnet.EncNet50(weights="ade20k_official", **{name: value})
    with pytest.raises(ValueError, match="ade20k_official"):
        keras_encnet.EncNet50(weights="ade20k_oficial")


def test_default_arguments_do_not_contradict_the_weights(monkeypatch):
    def stop(entry):
        raise InterruptedError

    monkeypatch.setattr(pretrained, "fetch", stop)
    with pytest.raises(InterruptedError):  # past the checks
        keras_encnet.EncNet50(weights="ade20k_official", auxiliary=None)
