"""Random changes of colors, blur and noise, compared with Pillow, SciPy and their definitions."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from PIL import Image, ImageEnhance

from training.configs.photometric import KINDS, Photometric
from training.input.augmentation import Augmentation, augment
from training.input.photometric import distort

LUMINANCE = np.array([0.299, 0.587, 0.114])
ALL = Photometric(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, blur=1.0, noise=0.1)


pytestmark = pytest.mark.usefixtures("eager")


def smooth_colors(rng, height=20, width=30, low=90, high=160):
    """Returns an image whose values are changed without reaching 0 or 255."""
    coarse = rng.integers(low, high, (4, 6, 3)).astype("uint8")
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def distorted(image, seed, inside=None, **strengths):
    inside = np.ones(image.shape[:2], bool) if inside is None else inside
    changed = distort(tf.constant(image), tf.constant(inside), Photometric(**strengths), (0, seed))
    assert changed.shape == image.shape
    assert changed.dtype == image.dtype
    return changed.numpy().astype(float)


def factor_between(changed, image):
    """Returns the factor that best maps one array to another."""
    return (changed * image).sum() / (image**2).sum()


def enhanced(enhancer, image, factor):
    return np.asarray(enhancer(Image.fromarray(image)).enhance(factor)).astype(float)


def test_strengths_of_zero_change_no_pixel(rng):
    image = rng.integers(0, 256, (5, 7, 3)).astype("uint8")
    np.testing.assert_array_equal(distorted(image, 1), image)


@pytest.mark.parametrize(
    ("kind", "enhancer", "base"),
    [
        ("brightness", ImageEnhance.Brightness, lambda x: 0 * x),
        ("saturation", ImageEnhance.Color, lambda x: (x @ LUMINANCE)[..., None] + 0 * x),
    ],
)
def test_colors_agree_with_pillow_within_the_strength(kind, enhancer, base, rng):
    image, factors = smooth_colors(rng), []
    away = image - base(image.astype(float))
    for seed in range(20):
        changed = distorted(image, seed, **{kind: 0.4})
        factors.append(1 + factor_between(changed - image, away))
        assert np.abs(changed - enhanced(enhancer, image, factors[-1])).max() <= 2
    assert 0.59 < min(factors) < 0.8
    assert 1.2 < max(factors) < 1.41


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_contrast_keeps_the_mean_of_each_channel(channels, rng):
    image = rng.integers(100, 150, (20, 30, channels)).astype("uint8")
    mean = image.mean((0, 1))
    factors = []
    for seed in range(10):
        changed = distorted(image, seed, contrast=0.5)
        factors.append(factor_between(changed - mean, image - mean))
        np.testing.assert_allclose(changed, mean + factors[-1] * (image - mean), atol=0.7)
    assert 0.49 < min(factors) < 0.9 < 1.1 < max(factors) < 1.51


def test_hue_turns_colors_about_gray(rng):
    image = smooth_colors(rng, low=110, high=140)
    gray = (image @ LUMINANCE)[..., None]
    cosines = []
    for seed in range(10):
        changed = distorted(image, seed, hue=0.25)
        np.testing.assert_allclose(changed @ LUMINANCE, gray[..., 0], atol=0.6)
        before, after = image - gray, changed - gray
        cosines.append(factor_between(after, before))
    assert max(cosines) <= 1.01
    assert -0.3 < min(cosines) < 0.5  # chroma is not orthogonal in RGB
    gray_image = np.full((4, 4, 3), 77, "uint8")
    np.testing.assert_array_equal(distorted(gray_image, 3, hue=0.5), gray_image)


def test_half_a_turn_inverts_the_chroma(rng, monkeypatch):
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda shape, *_: tf.ones(shape))
    image = smooth_colors(rng, low=110, high=140)
    gray = (image @ LUMINANCE)[..., None]
    np.testing.assert_allclose(distorted(image, 0, hue=0.5), 2 * gray - image, atol=1)


def test_blur_agrees_with_scipy(rng, monkeypatch):
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda shape, *_: tf.ones(shape))
    image = rng.integers(0, 256, (20, 30, 3)).astype("uint8")
    options = {"sigma": (1.2, 1.2, 0), "radius": (4, 4, 0), "mode": "constant"}
    weight = scipy.ndimage.gaussian_filter(np.ones(image.shape), **options)
    expected = scipy.ndimage.gaussian_filter(image.astype(float), **options) / weight
    np.testing.assert_allclose(distorted(image, 0, blur=1.2), expected, atol=0.51)


def test_noise_has_the_strength_and_differs_by_pixel_and_channel(rng):
    image = np.full((60, 60, 4), 128, "uint8")
    deviations = []
    for seed in range(10):
        noise = distorted(image, seed, noise=0.1) - 128
        deviations.append(noise.std())
        assert abs(noise.mean()) < 0.5
        assert np.abs(np.corrcoef(noise.reshape(-1, 4).T) - np.eye(4)).max() < 0.1
    assert min(deviations) < 12 < max(deviations) < 26


def test_pixels_outside_the_image_stay_black_and_do_not_count(rng):
    image = rng.integers(100, 150, (12, 12, 3)).astype("uint8")
    inside = np.zeros((12, 12), bool)
    inside[:, :5] = True
    padded = np.where(inside[..., None], image, 0).astype("uint8")
    strengths = {**dataclasses.asdict(ALL), "noise": 0.0}
    changed = distorted(padded, 4, inside, **strengths)
    assert (changed[:, 5:] == 0).all()
    # As if the image ended there: neither the mean nor the blur sees the black pixels.
    np.testing.assert_array_equal(changed[:, :5], distorted(image[:, :5], 4, **strengths))
    nothing = distorted(padded * 0, 4, np.zeros_like(inside), **dataclasses.asdict(ALL))
    assert (nothing == 0).all()


def test_floats_keep_the_range_of_their_channels(rng):
    scale = np.array([1.0, 5000.0], "float32")
    image = rng.uniform(0.2, 0.8, (20, 20, 2)).astype("float32") * scale
    strengths = {"brightness": 0.5, "contrast": 0.5, "blur": 1.0, "noise": 0.5}
    for seed in range(5):
        changed = distorted(image, seed, **strengths)
        assert (changed >= image.min((0, 1))).all()
        assert (changed <= image.max((0, 1))).all()
        assert not np.array_equal(changed, image)
    # Channels in other units change alike.
    plain = {"brightness": 0.1, "contrast": 0.1, "blur": 1.0}
    one, other = distorted(image, 1, **plain), distorted((image / scale).copy(), 1, **plain)
    np.testing.assert_allclose(one, other * scale, rtol=1e-4)


@pytest.mark.parametrize("kind", ["saturation", "hue"])
def test_colors_of_images_without_three_channels_raise(kind):
    image = np.zeros((4, 4, 4), "uint8")
    with pytest.raises(ValueError, match=f"`--{kind}` requires RGB images.*{kind}=0.1 .* 4 chan"):
        distorted(image, 0, **{kind: 0.1})


def test_masks_and_geometry_are_those_without_distortion(rng):
    image = tf.constant(rng.integers(100, 150, (20, 24, 3)), tf.uint8)
    mask = tf.constant(rng.integers(0, 3, (20, 24)), tf.int32)
    for number in range(4):
        options = {"crop_size": (16, 16), "seed": tf.constant([0, number], tf.int64)}
        plain, expected = augment(image, mask, Augmentation(), **options)
        crop, labels = augment(image, mask, Augmentation(photometric=ALL), **options)
        np.testing.assert_array_equal(labels, expected)
        assert not np.array_equal(crop, plain)
        assert (crop.numpy()[(plain == 0).numpy().all(-1)] == 0).all()


@pytest.mark.slow
def test_compiled_pipeline_agrees_and_depends_only_on_the_seed(rng):
    image, inside = smooth_colors(rng), np.ones((20, 30), bool)
    tf.config.run_functions_eagerly(False)
    try:
        step = tf.function(lambda seed: distort(tf.constant(image), inside, ALL, seed))
        for seed in range(3):
            compiled = step(tf.constant([0, seed]))
            np.testing.assert_array_equal(compiled, step(tf.constant([0, seed])))
            eager = distorted(image, seed, **dataclasses.asdict(ALL))
            assert np.abs(compiled.numpy().astype(int) - eager).max() <= 1
    finally:
        tf.config.run_functions_eagerly(True)


def test_each_kind_has_an_option_in_the_order_of_its_random_numbers():
    assert KINDS == ("brightness", "contrast", "saturation", "hue", "blur", "noise")
