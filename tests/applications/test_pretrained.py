"""Published weights arrive whole and verified, or not at all."""

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

CONTENT = b"a checkpoint" * 1000


def tiny(classes, **structure):
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.125)
    return keras_encnet.EncNet(backbone, classes, channels=8, num_codewords=2, **structure)


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("checkpoint.pth", content)
    return file.getvalue()


@pytest.fixture
def server(tmp_path):
    """Serves `/whole.pth`, `/whole.zip`, and `/cut.pth`, which ends early; counts the requests."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            found = {"/whole.pth": CONTENT, "/cut.pth": CONTENT, "/whole.zip": zipped(CONTENT)}
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
    """A published model of five classes whose file the server has."""
    published = tiny(5, variant="official")
    monkeypatch.setattr(pretrained, "from_pytorch", lambda *args, **kwargs: published)
    return dataclasses.replace(
        pretrained.find("EncNet50", "ade20k_official"),
        address=f"{server[0]}/whole.pth",
        digest=hashlib.sha1(CONTENT).hexdigest()[:8],
        class_names=tuple("abcde"),
    )


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_and_converted_once(entry, server, tmp_path):
    path = pretrained.fetch(entry, tmp_path / "cache")
    assert pretrained.fetch(entry, tmp_path / "cache") == path
    assert server[1] == ["/whole.pth"]
    assert files(path.parent) == ["whole.pth", "whole.weights.h5"]


def test_the_hash_of_an_archive_is_that_of_the_checkpoint_in_it(entry, server, tmp_path):
    archived = dataclasses.replace(entry, address=entry.address.replace(".pth", ".zip"))
    pretrained.fetch(archived, tmp_path)
    assert files(tmp_path) == ["whole.weights.h5", "whole.zip"]
    wrong = dataclasses.replace(archived, digest=hashlib.sha1(zipped(CONTENT)).hexdigest())
    with pytest.raises(ValueError, match="isn't the file that was published"):
        pretrained.fetch(wrong, tmp_path / "other")


def test_files_are_kept_where_keras_keeps_its_own(entry, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert pretrained.fetch(entry) == tmp_path / "models" / "keras_encnet" / "whole.weights.h5"


def test_a_file_of_another_hash_is_refused_and_not_kept(entry, tmp_path):
    wrong = dataclasses.replace(entry, digest="00000000")
    with pytest.raises(ValueError, match="00000000"):
        pretrained.fetch(wrong, tmp_path / "cache")
    assert files(tmp_path / "cache") == []


@pytest.mark.parametrize("name", ["cut.pth", "missing.pth"])
def test_a_download_that_fails_leaves_nothing(name, entry, tmp_path):
    broken = dataclasses.replace(entry, address=entry.address.replace("whole.pth", name))
    with pytest.raises(OSError, match="Could not download"):
        pretrained.fetch(broken, tmp_path / "cache")
    assert files(tmp_path / "cache") == []


def test_a_spoilt_file_in_the_cache_is_fetched_anew(entry, server, tmp_path):
    (tmp_path / "whole.pth").write_bytes(CONTENT[:100])
    pretrained.fetch(entry, tmp_path)
    assert (tmp_path / "whole.pth").read_bytes() == CONTENT
    assert server[1] == ["/whole.pth"]


def test_an_interrupted_conversion_is_done_again(entry, tmp_path, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keras_encnet.SegmentationModel, "save_weights", fail)
        with pytest.raises(KeyboardInterrupt):
            pretrained.fetch(entry, tmp_path / "cache")
    assert files(tmp_path / "cache") == ["whole.pth"]
    assert pretrained.fetch(entry, tmp_path / "cache").exists()


def test_several_at_once_get_one_whole_file(entry, tmp_path):
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
    tiny(5, variant="official").load_weights(paths[0])
    assert files(tmp_path / "cache") == ["whole.pth", "whole.weights.h5"]


def test_the_built_model_has_the_published_weights_and_names(entry, tmp_path, monkeypatch):
    monkeypatch.setattr(
        pretrained, "fetch", functools.partial(pretrained.fetch, folder=tmp_path / "cache")
    )
    model = pretrained.build(entry, tiny)
    published = tiny(5, variant="official")
    published.load_weights(tmp_path / "cache" / "whole.weights.h5")
    for first, second in zip(model.weights, published.weights, strict=True):
        np.testing.assert_array_equal(first, second)
    assert model.class_names == tuple("abcde")


def test_another_number_of_classes_keeps_the_trunk_and_says_what_is_new(
    entry, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        pretrained, "fetch", functools.partial(pretrained.fetch, folder=tmp_path / "cache")
    )
    with pytest.warns(UserWarning, match="segmentation_logits") as caught:
        model = pretrained.build(entry, tiny, classes=7)
    assert any("presence" in str(warning.message) for warning in caught)
    assert model.classes == 7
    whole = pretrained.build(entry, tiny)
    np.testing.assert_array_equal(
        model.get_layer("context_encoding").codewords,
        whole.get_layer("context_encoding").codewords,
    )


def test_contradicting_arguments_are_refused_before_anything_is_downloaded(monkeypatch):
    monkeypatch.setattr(pretrained, "fetch", lambda entry: pytest.fail("downloads"))
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
    }.items():
        with pytest.raises(ValueError, match=f"with `{name}=.*Received: {name}={value!r}"):
            keras_encnet.EncNet50(weights="ade20k_official", **{name: value})
    with pytest.raises(ValueError, match="ade20k_official"):
        keras_encnet.EncNet50(weights="ade20k_oficial")


def test_the_defaults_of_the_builder_contradict_nothing(monkeypatch):
    def stop(entry):
        raise InterruptedError

    monkeypatch.setattr(pretrained, "fetch", stop)
    with pytest.raises(InterruptedError):  # past the checks
        keras_encnet.EncNet50(weights="ade20k_official", auxiliary=None)


def test_the_table_is_consistent():
    entries = pretrained.available()
    assert len({(entry.network, entry.weights) for entry in entries}) == len(entries) == 16
    for entry in entries:
        assert entry.network in ("EncNet50", "EncNet101")
        assert len(entry.class_names) == len(entry.palette) == len(set(entry.class_names))
        assert len(entry.digest) == (40 if entry.algorithm == "sha1" else 8)
        int(entry.digest, 16)
        assert entry.digest[:8] in entry.address
        assert entry.address.startswith("https://")
