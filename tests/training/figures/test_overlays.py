"""Tests of colored masks and overlays."""

import numpy as np
import pytest
from PIL import Image

from keras_encnet.labels import default_palette
from training.figures import overlays
from training.input.image_files import read_mask


def test_classes_have_the_default_palette_and_other_ids_are_white():
    colors = overlays.colorize(np.array([[0, 2, 255, -1, 3]]), classes=3)
    palette = default_palette(3).tolist()
    assert colors.dtype == np.uint8
    assert colors[0].tolist() == [palette[0], palette[2], *[[255, 255, 255]] * 3]


def test_opacity_weights_the_mask(rng):
    image, mask = rng.integers(0, 256, (4, 5, 3), "uint8"), rng.integers(0, 3, (4, 5))
    np.testing.assert_array_equal(overlays.overlay(image, mask, 3, opacity=0.0), image)
    colors = overlays.colorize(mask, 3)
    np.testing.assert_array_equal(overlays.overlay(image, mask, 3, opacity=1.0), colors)
    mean = np.round((image.astype(float) + colors) / 2)
    np.testing.assert_array_equal(overlays.overlay(image, mask, 3, opacity=0.5), mean)


@pytest.mark.parametrize(("classes", "mode"), [(3, "P"), (300, "I;16")])
def test_saved_masks_store_class_ids(classes, mode, rng, tmp_path):
    mask = rng.integers(0, classes, (6, 7)).astype("int32")
    overlays.save_mask(tmp_path / "mask.png", mask, classes)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask)
    assert Image.open(tmp_path / "mask.png").mode == mode


def test_overlay_of_a_large_image_is_reduced(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(overlays, "SIDE", 300)
    mask = np.zeros((40, 1000), "uint8")
    mask[1, 1] = 1  # not in the figure, but in its legend
    names, legends = ("road", "car"), []
    legend = overlays.add_legend
    monkeypatch.setattr(
        overlays, "add_legend", lambda *args, **kw: legends.append(args[1]) or legend(*args, **kw)
    )
    overlays.save_overlay(
        tmp_path / "o.png", rng.integers(0, 256, (40, 1000, 3), "uint8"), mask, names
    )
    assert overlays.thinned(mask).shape == (10, 250)
    assert Image.open(tmp_path / "o.png").size[0] < 2 * 300 + 300
    np.testing.assert_array_equal(legends[0], [0, 1])


def test_images_up_to_the_largest_size_are_shown_as_they_are(rng):
    image = rng.integers(0, 256, (2048, 3, 3), "uint8")
    np.testing.assert_array_equal(overlays.thinned(image), image)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_images_of_any_number_of_channels_are_shown_in_rgb(rng, channels):
    image = rng.integers(0, 256, (5, 7, channels), "uint8")
    shown = [0, 1, 2] if channels >= 3 else [0, 0, 0]
    np.testing.assert_array_equal(overlays.as_rgb(image), image[..., shown])


def test_values_of_any_range_are_stretched_together(rng):
    image = rng.normal(3000, 500, (50, 70, 4)).astype("float32")
    image[0, 0] = 1e9
    shown = overlays.as_rgb(image)
    assert (shown.dtype, shown.shape) == (np.uint8, (50, 70, 3))
    low, high = np.percentile(shown, (5, 95))
    assert low < 40
    assert high > 215
    assert overlays.as_rgb(np.full((2, 2, 1), 7.0)).max() == 0
