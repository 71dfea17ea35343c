"""Failed downloads name what was downloaded, the cause and the remedy."""

import os
import socket
import subprocess
import sys

import pytest

from keras_encnet.backbones import ResNet, keras_applications, resnet_weights
from keras_encnet.utils import downloads


@pytest.mark.parametrize(
    "cause", [Exception("URL fetch failure"), TimeoutError(), ValueError("wrong hash")]
)
def test_cause_of_every_kind_of_failure_is_named(cause):
    download = downloads.naming_download("it", "Try again.")
    with pytest.raises(OSError, match="^Could not download it: ") as error, download:
        raise cause
    assert str(error.value).endswith(f"{str(cause) or 'TimeoutError'}. Try again.")
    assert error.value.__cause__ is cause


def test_imagenet_weights_without_a_network_name_cause_and_remedy(monkeypatch, tmp_path):
    def ResNet8(include_top, weights, input_shape=None):  # noqa: N802
        raise Exception("URL fetch failure on https://example.org: Connection refused")

    monkeypatch.setitem(resnet_weights.NETWORKS, (1, 1, 1, 1), ResNet8)
    monkeypatch.setitem(keras_applications.NETWORKS, "resnet8", ("ResNet8", ResNet8, None))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for build in (
        lambda: ResNet((1, 1, 1, 1), weights="imagenet"),
        lambda: keras_applications.from_keras_applications("ResNet8", weights="imagenet"),
    ):
        with pytest.raises(OSError, match=r"of ResNet8: .*: Connection refused\. ") as error:
            build()
        message = str(error.value)
        assert f"save it in {tmp_path / 'models'}" in message
        assert message.endswith("(`--backbone-weights`). Received: weights='imagenet'")


@pytest.mark.slow
def test_proxy_that_refuses_is_the_cause(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    proxies = {"http_proxy": address, "https_proxy": address, "HTTPS_PROXY": address}
    code = "from keras_encnet.backbones import ResNet50; ResNet50(weights='imagenet')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **proxies, "no_proxy": "", "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert "DownloadError: Could not download the ImageNet weights of ResNet50: URL" in last
    assert "Connection refused" in last
