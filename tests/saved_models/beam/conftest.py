"""An exported model, and images. These tests need the extra `batch`."""

import importlib.util

import pytest
from PIL import Image

import keras_encnet
from keras_encnet.export import Limits, export_saved_model
from tests.fixtures import raw_images

if importlib.util.find_spec("apache_beam") is None:
    collect_ignore_glob = ["*.py"]

CLASSES = ("sky", "tree", "road")


@pytest.fixture(scope="session")
def network(tiny_backbone):
    network = keras_encnet.EncNet(tiny_backbone(), classes=3, channels=4, working_size=32)
    network.class_names = CLASSES
    return network


@pytest.fixture(scope="session")
def models(network, tmp_path_factory):
    """Two versions of a model, of which the second one has other limits."""
    folder = tmp_path_factory.mktemp("models") / "street"
    for version, limits in ((1, Limits()), (2, Limits(images=3, bytes=5000))):
        export_saved_model(network, folder / str(version), limits=limits)
    return folder


@pytest.fixture
def photos(tmp_path):
    """Images of the same names in two folders, and files that are none."""
    folder = tmp_path / "photos"
    for i, name in enumerate(("a/1.jpg", "a/2.png", "b [x]/1.jpg", "b [x]/1.png")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(raw_images(1, 20 + i, 30, seed=i)[0]).save(path)
    (folder / "a/broken.jpg").write_bytes(b"no image")
    (folder / "a/empty.jpg").touch()
    (folder / "a/notes.txt").write_text("not an image")
    (folder / "a/.hidden.jpg").touch()
    return folder
