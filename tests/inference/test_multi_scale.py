"""MultiScaleSegmenter agrees with the official code and with mmsegmentation."""

import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import EncNet, MultiScaleSegmenter, preprocess_input
from keras_encnet.layers import BilinearUpsampling
from tests import procedural
from tests.inference.multi_scale_reference import mmsegmentation, official

GOLDEN = Path(__file__).parents[1] / "golden"
SMALL = {"base_size": 26, "crop_size": 24}


@pytest.fixture
def network(randomize):
    """Logits that depend on neighbors and on the whole window, like those of EncNet."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(images)
    context = keras.layers.GlobalAveragePooling2D(keepdims=True)(images)
    gate = keras.layers.Conv2D(4, 1, activation="sigmoid")(context)
    return randomize(keras.Model(images, keras.layers.Multiply()([x, gate])))


@pytest.fixture
def amplifier():
    """Logits that are the image times 50."""
    layer = keras.layers.Conv2D(3, 1, use_bias=False)
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    layer.kernel.assign(50.0 * np.eye(3)[None, None])
    return model


def relative_error(actual, expected):
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / np.abs(expected).max()


def test_official_golden_reference():
    case = json.loads((GOLDEN / "multiscale_landscape.json").read_text())
    weights = procedural.weights(case["shapes"])
    images = keras.Input((None, None, 3))
    convolution = keras.layers.Conv2D(6, 3, strides=8)
    x = convolution(keras.layers.ZeroPadding2D(1)(images))
    model = keras.Model(images, BilinearUpsampling(align_corners=True)(x, images))
    kernel = weights["conv.weight"].transpose(2, 3, 1, 0)
    convolution.set_weights([kernel, weights["conv.bias"]])
    segmenter = MultiScaleSegmenter(
        model,
        case["base_size"],
        case["crop_size"],
        case["scales"],
        case["flip"],
        pad_value=preprocess_input(np.zeros(3)),  # the model takes normalized images
    )
    image = procedural.image("multiscale_landscape", case["height"], case["width"])
    scores = segmenter(image)
    expected = np.load(GOLDEN / "multiscale_landscape.npz")["scores"][0]
    assert isinstance(scores, np.ndarray)
    assert scores.dtype == "float32"
    assert relative_error(scores, expected) < 1e-5
    np.testing.assert_array_equal(scores.argmax(-1), expected.argmax(-1))


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((15, 20), {}),
        ((20, 15), {}),
        ((33, 33), {"flip": False}),
        ((41, 17), {"scales": (0.3, 1.9, 3.1)}),
        ((50, 7), {"base_size": 61, "crop_size": 19, "scales": (1.0,)}),
        ((9, 64), {"crop_size": 25, "batch_size": 1}),
        ((5, 1), {"batch_size": 100}),
    ],
)
def test_official_scores_at_any_size(network, rng, size, options):
    image = rng.normal(size=(*size, 3)).astype("float32")
    options = {**SMALL, "scales": (0.5, 0.75, 1.0, 1.25, 1.5, 1.75), **options}
    scores = MultiScaleSegmenter(network, **options)(image)
    options.pop("batch_size", None)
    assert relative_error(scores, official(network, image, **options)) < 1e-5


@pytest.mark.parametrize(
    ("size", "options", "sizes"),
    [
        ((16, 20), {"base_size": 40}, [(16, 20), (48, 60)]),
        ((20, 16), {"base_size": (64, 12), "flip": False}, [(8, 6), (23, 18)]),
        ((15, 11), {"base_size": "native"}, [(8, 6), (23, 17)]),
        ((21, 33), {"base_size": (33, 21), "align_corners": True}, [(10, 16), (31, 49)]),
    ],
)
@pytest.mark.parametrize("windows", [{}, {"window": "slide", "crop_size": 19, "stride": 11}])
def test_mmsegmentation_scores(network, rng, size, options, sizes, windows):
    image = rng.normal(size=(*size, 3)).astype("float32")
    scales = (0.5, 1.5)
    segmenter = MultiScaleSegmenter(
        network, scales=scales, protocol="mmsegmentation", **options, **windows
    )
    scores = segmenter(image)
    expected = mmsegmentation(
        network,
        image,
        sizes,
        crop=windows.get("crop_size"),
        stride=windows.get("stride"),
        flip=options.get("flip", True),
        align_corners=options.get("align_corners", False),
    )
    assert relative_error(scores, expected) < 1e-5
    np.testing.assert_allclose(scores.sum(-1), 1.0, rtol=1e-5)


def test_raw_images_are_padded_with_black(tiny_backbone, randomize, rng):
    model = randomize(EncNet(tiny_backbone(), 3, channels=8, preprocessing="caffe"))
    inner = EncNet(tiny_backbone(), 3, channels=8, include_preprocessing=False)
    inner.set_weights(model.get_weights())
    image = rng.integers(0, 256, (19, 30, 3)).astype("uint8")
    segmenter = MultiScaleSegmenter(model, **SMALL, scales=(0.8, 1.5))
    scores = segmenter(image)
    np.testing.assert_array_equal(segmenter(image.astype("float64")), scores)
    expected = official(
        lambda images, training: inner(images)["segmentation"],
        preprocess_input(image, "caffe"),
        **SMALL,
        scales=(0.8, 1.5),
        black=(-103.939, -116.779, -123.68),
    )
    assert relative_error(scores, expected) < 1e-5


def test_model_with_several_outputs(network, rng):
    image = rng.normal(size=(19, 30, 3)).astype("float32")
    both = keras.Model(
        network.input,
        {"other": keras.layers.Flatten()(network.input), "segmentation": network.output},
    )
    np.testing.assert_allclose(
        MultiScaleSegmenter(both, **SMALL)(image),
        MultiScaleSegmenter(network, **SMALL)(image),
        rtol=1e-6,
    )


def test_model_with_fixed_input_size(rng):
    images = keras.Input((24, 24, 3))
    model = keras.Model(images, keras.layers.Conv2D(4, 3, padding="same")(images))
    image = rng.normal(size=(19, 30, 3)).astype("float32")
    scores = MultiScaleSegmenter(model, **SMALL, scales=(1.0, 1.5))(image)
    assert relative_error(scores, official(model, image, **SMALL, scales=(1.0, 1.5))) < 1e-5


def test_images_are_padded_with_pad_value(network, rng):
    image = rng.normal(size=(19, 30, 3)).astype("float32")
    for value in (0.5, (0.1, 0.2, 0.3)):
        scores = MultiScaleSegmenter(network, **SMALL, scales=(0.8,), pad_value=value)(image)
        black = np.broadcast_to(value, 3)
        expected = official(network, image, **SMALL, scales=(0.8,), black=black)
        assert relative_error(scores, expected) < 1e-5


def test_float64_images_and_tensors_are_accepted_and_unchanged(network, rng):
    image = rng.normal(size=(19, 30, 3))
    image.flags.writeable = False
    segmenter = MultiScaleSegmenter(network, **SMALL)
    scores = segmenter(image)
    np.testing.assert_array_equal(segmenter(tf.constant(image, tf.float32)), scores)
    assert scores.dtype == "float32"


def test_scores_that_overflow_are_scaled_by_a_factor(amplifier, rng):
    # The logits of an image and its mirror image add up to 100 to 150, and e^88.7 is the limit.
    image = rng.uniform(1.0, 1.5, (19, 30, 3)).astype("float32")
    scales = (0.8, 1.5)
    scores = MultiScaleSegmenter(amplifier, **SMALL, scales=scales, pad_value=1.0)(image)
    expected = official(amplifier, image, **SMALL, scales=scales, black=(1.0, 1.0, 1.0))
    assert expected.max() > np.finfo("float32").max
    assert relative_error(scores / scores.max(), expected / expected.max()) < 1e-4
    np.testing.assert_array_equal(scores.argmax(-1), expected.argmax(-1))


def test_scores_that_do_not_overflow_are_not_scaled(amplifier):
    image = np.full((19, 30, 3), 0.84, "float32")
    scores = MultiScaleSegmenter(amplifier, **SMALL, scales=(0.8, 1.5), pad_value=0.84)(image)
    np.testing.assert_allclose(scores, 2 * math.exp(84.0), rtol=1e-4)


@pytest.mark.parametrize("protocol", ["official", "mmsegmentation"])
def test_logits_that_are_not_finite_raise(amplifier, protocol):
    amplifier.layers[0].kernel.assign(np.full((1, 1, 3, 3), np.nan))
    segmenter = MultiScaleSegmenter(amplifier, **SMALL, protocol=protocol)
    with pytest.raises(ValueError, match="logits are not finite"):
        segmenter(np.zeros((9, 9, 3), "float32"))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((1, 9, 9, 3), "float32"), r"one image.*\(1, 9, 9, 3\)"),
        (np.zeros((9, 9, 4), "float32"), r"one image.*\(9, 9, 4\)"),
        (np.zeros((9, 9), "float32"), r"one image.*\(9, 9\)"),
        (np.zeros((0, 9, 3), "float32"), r"one image.*\(0, 9, 3\)"),
        (np.full((9, 9, 3), np.nan, "float32"), "NaN"),
        (np.full((9, 9, 3), np.inf, "float32"), "NaN or inf"),
    ],
)
def test_invalid_images_raise(network, image, message):
    with pytest.raises(ValueError, match=message):
        MultiScaleSegmenter(network, **SMALL)(image)


def test_images_of_the_wrong_range_raise(tiny_backbone, rng):
    image = rng.integers(0, 256, (9, 9, 3)).astype("uint8")
    raw, normalized = (
        MultiScaleSegmenter(
            EncNet(tiny_backbone(), 3, channels=8, include_preprocessing=included), **SMALL
        )
        for included in (True, False)
    )
    with pytest.raises(ValueError, match="must be raw.*values from"):
        raw(image / 255)
    with pytest.raises(ValueError, match="must be normalized floats.*dtype=uint8"):
        normalized(image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "voc"}, "`protocol` must be one of.*'voc'"),
        ({"crop_size": 0}, "`crop_size` must be an integer of at least 1.*crop_size=0"),
        ({"crop_size": 20.5}, "crop_size=20.5"),
        ({"base_size": 0}, "base_size=0"),
        ({"base_size": "native"}, "base_size='native'"),
        ({"base_size": (26, 20)}, r"base_size=\(26, 20\)"),
        ({"base_size": (26, 20, 3), "protocol": "mmsegmentation"}, r"base_size=\(26, 20, 3\)"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"scales": ()}, r"scales=\(\)"),
        ({"scales": (1.0, 0.0)}, r"scales=\(1.0, 0.0\)"),
        ({"scales": (1.0, -0.5)}, "scales="),
        ({"scales": (np.nan,)}, "scales="),
        ({"scales": (np.inf,)}, "scales="),
        ({"pad_value": np.nan}, "pad_value=nan"),
        ({"pad_value": (0.0, 0.0)}, "pad_value="),
        ({"window": "whole"}, "`window` must be one of.*'official'.*'whole'"),
        ({"window": "tiles", "protocol": "mmsegmentation"}, "window='tiles'"),
        ({"stride": 0}, "stride=0"),
        ({"stride": 25}, "gaps.*stride=25"),
    ],
)
def test_invalid_arguments_raise(network, options, message):
    with pytest.raises(ValueError, match=message):
        MultiScaleSegmenter(network, **{**SMALL, **options})


def test_models_without_logits_at_input_size_raise(network):
    image = np.zeros((9, 9, 3), "float32")
    pooled = keras.Model(network.input, keras.layers.MaxPooling2D()(network.output))
    with pytest.raises(
        ValueError, match=r"size of its input.*\(1, 12, 12, 4\) for images \(1, 24, 24, 3"
    ):
        MultiScaleSegmenter(pooled, **SMALL, scales=(0.5,))(image)
    nameless = keras.Model(network.input, {"mask": network.output})
    with pytest.raises(ValueError, match="named `segmentation`"):
        MultiScaleSegmenter(nameless, **SMALL)(image)


@pytest.mark.parametrize(("crop_size", "windows"), [(240, 16), (480, 4), (768, 1), (2048, 1)])
def test_default_batch_size_bounds_the_pixels(crop_size, windows):
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    assert MultiScaleSegmenter(model, crop_size=crop_size).settings.batch_size == windows
