"""The SavedModel answers as the model does, without Keras."""

import subprocess
import sys

import numpy as np
import pytest

import keras_encnet
from keras_encnet.backbones import ResNet
from keras_encnet.export import export_saved_model

READER = """
import sys
sys.modules["keras"] = None
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answers = model.signatures["serving_default"](images=tf.constant(np.load(sys.argv[2])))
np.savez(sys.argv[3], **{name: value.numpy() for name, value in answers.items()})
"""


@pytest.fixture
def model():
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.125)
    return keras_encnet.EncNet(backbone, classes=5, channels=8)


def test_a_process_without_keras_gets_the_same_answers(model, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 37, 53, 3)).astype("float32")
    export_saved_model(model, tmp_path / "model" / "1")
    np.save(tmp_path / "images.npy", images)
    arguments = [str(tmp_path / name) for name in ("model/1", "images.npy", "answers.npz")]
    subprocess.run([sys.executable, "-c", READER, *arguments], check=True, timeout=120)
    answers = np.load(tmp_path / "answers.npz")
    assert answers["classes"].dtype == np.uint8
    np.testing.assert_array_equal(answers["classes"], model.segment(images))
    normalised = keras_encnet.preprocess_input(images, model.preprocessing)
    logits = np.asarray(model(normalised, training=False)["presence"])
    np.testing.assert_allclose(answers["presence"], 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_an_export_is_never_written_over(model, tmp_path):
    with pytest.raises(FileExistsError, match="another version"):
        export_saved_model(model, tmp_path)


def test_a_failed_export_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("os.rename", fail)
    with pytest.raises(OSError, match="disk full"):
        export_saved_model(model, tmp_path / "model" / "1")
    assert list((tmp_path / "model").iterdir()) == []
