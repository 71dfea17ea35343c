"""Damaged files of models and weights end in one sentence with their path."""

import keras
import numpy as np
import pytest

from keras_encnet.utils.keras_files import load_model, load_weights


@pytest.fixture
def model():
    images = keras.Input((8, 8, 3))
    return keras.Model(images, keras.layers.Conv2D(4, 3, name="conv")(images), name="small")


@pytest.mark.parametrize("position", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_model_with_a_flipped_bit_raises(position, model, tmp_path):
    path = tmp_path / "flipped.keras"
    model.save(path)
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 16
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged or of another format.*flipped\.keras'$"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", None])
def test_model_of_another_format_raises(content, model, tmp_path):
    path = tmp_path / "other.keras"
    model.save(path)
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)
    with pytest.raises(ValueError, match=r"damaged or of another format.*other\.keras'$"):
        load_model(path)


def test_missing_files_raise(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        load_model(tmp_path / "none.keras")
    with pytest.raises(FileNotFoundError, match=r"none\.weights\.h5"):
        load_weights(model, tmp_path / "none.weights.h5")


def test_model_with_a_foreign_class_raises_with_its_name(tmp_path):
    class Foreign(keras.layers.Layer):
        __module__ = "__main__"  # of the script that saved the model

        def call(self, x):
            return x

    path = tmp_path / "foreign.keras"
    x = keras.Input((4,))
    keras.Model(x, Foreign()(x)).save(path)
    with pytest.raises(ValueError, match=r"requires 'Foreign', which .*foreign\.keras'$") as error:
        load_model(path)
    assert len(str(error.value)) < 300 + len(str(path))


@pytest.mark.parametrize("damage", ["cut", "html", "empty", "suffix"])
def test_damaged_weights_raise(damage, model, tmp_path):
    path = tmp_path / "damaged.weights.h5"
    model.save_weights(path)
    content = path.read_bytes()
    if damage == "suffix":
        path = path.rename(tmp_path / "damaged.pth")
    else:
        path.write_bytes({"cut": content[:-50], "html": b"<html>" * 99, "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"damaged, of another format.*damaged\.\w+"):
        load_weights(model, path)


def test_weights_of_another_model_raise_without_their_values(model, tmp_path):
    images = keras.Input((8, 8, 3))
    other = keras.Model(images, keras.layers.Conv2D(5, 3, name="conv")(images))
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match=r"of another model.*other\.weights\.h5'$") as error:
        load_weights(model, tmp_path / "other.weights.h5")
    assert len(str(error.value)) < 500 + len(str(tmp_path))


def test_intact_files_are_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    expected = model.get_weights()
    loaded = load_model(tmp_path / "model.keras")
    model.set_weights([0 * weight for weight in expected])
    load_weights(model, tmp_path / "model.weights.h5")
    for weights in zip(expected, loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights[0], weights[1])
        np.testing.assert_array_equal(weights[0], weights[2])
