"""Models of images with any number of channels are fitted, saved and checked like those of RGB."""

import keras
import numpy as np
import pytest

from keras_encnet import FCN, MultiScaleSegmenter, objectives
from tests.fixtures import CLASSES
from tests.models.data_kinds import KINDS

MEAN, STD = 2000.0, 500.0


@pytest.fixture
def build(tiny_backbone):
    def compiled(channels, **options):
        model = FCN(tiny_backbone(channels), classes=CLASSES, **options)
        model.compile("sgd", run_eagerly=True, **objectives(model))
        return model

    return compiled


def samples(rng, channels, scale=1.0, dtype="float32"):
    images = scale * rng.normal(MEAN, STD, (4, 8, 8, channels))
    return images.astype(dtype), rng.integers(0, CLASSES, (4, 8, 8))


SLOW = pytest.mark.slow


@pytest.mark.parametrize("channels", [4, *(pytest.param(n, marks=SLOW) for n in (1, 2, 6))])
def test_models_are_fitted_saved_and_restored(build, rng, tmp_path, channels):
    model = build(channels, mean=[MEAN] * channels, std=STD)
    images, masks = samples(rng, channels)
    assert np.isfinite(model.fit(images, masks, verbose=0).history["loss"]).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.channels == channels
    np.testing.assert_array_equal(loaded.segment(images), model.segment(images))
    assert loaded.segment(images[0], window=5).shape == (8, 8)


def test_multi_scale_evaluation_takes_the_channels_of_the_model(build, rng):
    segmenter = MultiScaleSegmenter(build(4, mean=MEAN, std=STD), 8, 8, pad_value=[MEAN] * 4)
    images, _ = samples(rng, 4)
    assert segmenter(images[0]).shape == (8, 8, CLASSES)
    with pytest.raises(
        ValueError, match=r"`\(height, width, 4\)`. Received: image.shape=\(8, 8, 3"
    ):
        segmenter(images[0, ..., :3])


@pytest.mark.parametrize("kind", ["array", "tf.data", "generator"])
def test_images_of_other_channels_are_refused(build, rng, kind):
    images, masks = samples(rng, 3)
    model = build(4, mean=MEAN, std=STD)
    with pytest.raises(ValueError, match=r"4 channels.*Received: images of shape \((4|2|None), 8"):
        model.fit(*KINDS[kind](images, masks), verbose=0)
    with pytest.raises(ValueError, match=r"`\(height, width, 4\)`.*Received: shape=\(4, 8, 8, 3"):
        model.segment(images)


@pytest.mark.parametrize("kind", ["array", "tf.data"])
@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(1 / 5000, "float32"), (100, "float32"), (np.nan, "float32"), (30, "int32")],
)
def test_images_of_another_range_are_refused(build, rng, scale, dtype, kind):
    images, masks = samples(rng, 2, scale, dtype)
    model = build(2, mean=MEAN, std=STD)
    with pytest.raises(ValueError, match=r"mean \[2000.*Received: values from"):
        model.fit(*KINDS[kind](images, masks), verbose=0)
    with pytest.raises(ValueError, match=r"mean \[2000.*Received: values from"):
        model.segment(images)


def test_images_in_0_to_1_are_accepted_by_their_own_statistics(build, rng):
    model = build(2, mean=0.4, std=0.1)
    images, masks = samples(rng, 2, 1 / 5000)
    model.fit(images, masks, verbose=0)
    with pytest.raises(ValueError, match=r"mean \[0.4, 0.4\].*Received: values from"):
        model.segment((images * 255).clip(0, 255).astype("uint8"))


def test_without_statistics_images_of_any_channels_are_in_0_to_255(build, rng):
    images, _ = samples(rng, 5)
    with pytest.raises(ValueError, match="raw, with values in 0 to 255"):
        build(5).segment(images)
    assert build(5).segment(images.clip(0, 255).astype("uint8")).shape == (4, 8, 8)
