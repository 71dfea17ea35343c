"""Every loss is its formula over labeled pixels and images only, whatever the weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import (
    DiceLoss,
    FocalLoss,
    LovaszSoftmaxLoss,
    OHEMCrossEntropy,
    PixelCrossEntropy,
    SELoss,
)
from keras_encnet.losses import class_presence
from tests.losses import reference
from tests.losses.reference import CLASSES, logits_of, masks

# Losses of pixels by name: the class, its options, and the formula of the paper.
PIXEL_LOSSES = {
    "cross_entropy": (PixelCrossEntropy, {}, reference.cross_entropy),
    "smoothed": (PixelCrossEntropy, {"label_smoothing": 0.2}, reference.smoothed(0.2)),
    "focal": (FocalLoss, {}, reference.focal(2)),
    "focal_0.5": (FocalLoss, {"gamma": 0.5}, reference.focal(0.5)),
    "ohem": (OHEMCrossEntropy, {}, reference.ohem(0.7, 0.1)),
    "ohem_share": (
        OHEMCrossEntropy,
        {"threshold": 0.01, "min_kept": 0.5},
        reference.ohem(0.01, 0.5),
    ),
    "ohem_count": (OHEMCrossEntropy, {"threshold": 0, "min_kept": 12}, reference.ohem(0, 12)),
    "ohem_threshold": (OHEMCrossEntropy, {"threshold": 0.2, "min_kept": 0}, reference.ohem(0.2, 0)),
    "dice": (DiceLoss, {}, reference.dice),
    "lovasz_softmax": (LovaszSoftmaxLoss, {}, reference.lovasz_softmax),
}
LOSSES = PIXEL_LOSSES | {"presence": (SELoss, {}, reference.presence_loss)}
ALL_LOSSES = pytest.mark.parametrize("name", LOSSES)


def build(name, /, *args, **kwargs):
    loss, options, _ = LOSSES[name]
    return loss(*args, **options, **kwargs)


def size_of(name):
    """Height and width of the logits, or nothing for logits per image."""
    return () if name == "presence" else (5, 6)


def gradient(loss, mask, logits):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(mask, logits)
    return tape.gradient(value, logits).numpy()


IGNORED = pytest.mark.parametrize(
    ("ignore_class", "dtype"),
    [
        ((255,), "uint8"),
        ((254, 255), "int64"),
        ((-1, 255), "int32"),
        ((65535,), "uint16"),
    ],
)
CLASS_WEIGHTS = pytest.mark.parametrize("class_weights", [None, [0.5, 2.0, 1.0, 0.0]])


@IGNORED
@CLASS_WEIGHTS
@ALL_LOSSES
def test_loss_is_the_formula_of_the_paper_over_labeled_pixels(
    rng, name, ignore_class, dtype, class_weights
):
    mask, logits = masks(rng, ignore_class, dtype), logits_of(rng, 3, *size_of(name))
    for batch in (slice(3), slice(1, 2)):  # three images, and one
        loss = build(name, ignore_class, class_weights)(mask[batch], logits[batch])
        expected = LOSSES[name][2](mask[batch], logits[batch], ignore_class, class_weights)
        assert expected > 0
        assert float(loss) == pytest.approx(expected, rel=1e-5)


@ALL_LOSSES
def test_single_ignored_label_needs_no_tuple(rng, name):
    mask, logits = masks(rng, (9,)), logits_of(rng, 3, *size_of(name))
    assert build(name, 9)(mask, logits) == build(name, (9,))(mask, logits)


@ALL_LOSSES
def test_ignored_pixels_and_images_have_no_gradient(rng, name):
    mask, logits = masks(rng, (255,)), logits_of(rng, 3, *size_of(name))
    found = np.abs(gradient(build(name), mask, logits)).max(-1)
    if name == "presence":
        np.testing.assert_array_equal(found != 0, [True, True, False])
    else:
        assert not found[mask == 255].any()
        is_selected = name.startswith("ohem") or name == "lovasz_softmax"
        assert (found[mask != 255] > 0).mean() > (0.1 if is_selected else 0.99)


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_gradient_is_the_slope_of_the_loss(rng, name):
    mask = masks(rng, (255,))
    logits = logits_of(rng, 3, 5, 6)
    direction = rng.normal(size=logits.shape)
    above, below = (
        LOSSES[name][2](mask, logits + step * direction, (255,)) for step in (1e-6, -1e-6)
    )
    slope = np.sum(gradient(build(name), mask, logits) * direction)
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-3)


@pytest.mark.slow
@ALL_LOSSES
def test_loss_and_gradient_are_the_same_in_steps_compiled_by_xla(rng, name):
    mask, logits = masks(rng, (255,)), logits_of(rng, 3, *size_of(name))
    loss = build(name)

    @tf.function(jit_compile=True)
    def compiled(mask, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(mask, logits)
        return value, tape.gradient(value, logits)

    value, slope = compiled(tf.constant(mask), tf.constant(logits))
    assert float(value) == pytest.approx(float(loss(mask, logits)), rel=1e-6)
    np.testing.assert_allclose(slope, gradient(loss, mask, logits), atol=1e-6)


@ALL_LOSSES
def test_fully_ignored_batch_has_no_loss_and_no_gradient(rng, name):
    mask, logits = np.full((2, 5, 6), 255), logits_of(rng, 2, *size_of(name))
    assert build(name)(mask, logits) == 0
    assert np.all(gradient(build(name), mask, logits) == 0)


@ALL_LOSSES
@pytest.mark.parametrize("label", [1, 2])
def test_confident_logits_have_a_finite_loss_and_gradient(name, label):
    logits = np.full((1, *size_of(name), CLASSES), -1e4, "float32")
    logits[..., 1] = 1e4
    mask = np.full((1, 5, 6), label)
    assert np.isfinite(build(name)(mask, logits))
    assert np.isfinite(gradient(build(name), mask, logits)).all()


@ALL_LOSSES
def test_logits_in_float16_are_computed_in_float32(rng, name):
    mask, logits = masks(rng, (255,)), 20 * logits_of(rng, 3, *size_of(name)).astype("float16")
    expected = build(name)(mask, logits.astype("float32"))
    assert build(name)(mask, tf.constant(logits)) == expected
    assert expected.dtype == tf.float32


@ALL_LOSSES
def test_weights_of_images_multiply_their_terms(rng, name):
    mask, logits = masks(rng, (255,)), logits_of(rng, 3, *size_of(name))
    weights = np.array([2.0, 0.0, 1.0], "float32").reshape(3, *[1 for _ in size_of(name)])
    without_the_second = np.where(np.arange(3)[:, None, None] == 1, 255, mask)
    share = build(name)(mask, logits, weights) / build(name)(without_the_second, logits)
    assert 0 < share < 2  # the second image keeps its part of the mean
    twice = build(name)(mask, logits, np.full_like(weights, 2))
    assert float(twice) == pytest.approx(2 * float(build(name)(mask, logits)), rel=1e-6)


@pytest.mark.parametrize("loss", [DiceLoss, LovaszSoftmaxLoss])
def test_losses_of_overlap_refuse_weights_per_pixel(rng, loss):
    mask, logits = masks(rng, (255,)), logits_of(rng, 3, 5, 6)
    with pytest.raises(ValueError, match=r"weights per image.*sample_weight.shape=\(3, 5, 6\)"):
        loss()(mask, logits, np.ones((3, 5, 6), "float32"))


@pytest.mark.parametrize("loss", [DiceLoss, LovaszSoftmaxLoss])
def test_losses_of_overlap_are_one_minus_the_score_of_certain_predictions(rng, loss):
    mask, predicted = rng.integers(0, CLASSES, (2, 1, 5, 6))
    logits = 1e3 * np.eye(CLASSES, dtype="float32")[predicted]
    overlap = [np.sum((mask == c) & (predicted == c)) for c in range(CLASSES)]
    total = [np.sum(mask == c) + np.sum(predicted == c) for c in range(CLASSES)]
    scores = [
        2 * a / b if loss is DiceLoss else a / (b - a) for a, b in zip(overlap, total, strict=True)
    ]
    assert float(loss()(mask, logits)) == pytest.approx(1 - np.mean(scores), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (PixelCrossEntropy, {"label_smoothing": 1.5}, "from 0 to 1.*label_smoothing=1.5"),
        (FocalLoss, {"gamma": -1}, "at least 0.*gamma=-1"),
        (OHEMCrossEntropy, {"threshold": 2}, "from 0 to 1.*threshold=2"),
        (OHEMCrossEntropy, {"min_kept": 1.5}, "float from 0 to 1.*integer.*min_kept=1.5"),
        (OHEMCrossEntropy, {"min_kept": -1}, "min_kept=-1"),
        (DiceLoss, {"class_weights": [1.0, np.nan]}, "finite.*class_weights="),
        (DiceLoss, {"class_weights": [1.0, -1.0]}, "negative.*class_weights="),
    ],
)
def test_options_out_of_range_raise_an_error(loss, options, message):
    with pytest.raises(ValueError, match=message):
        loss(**options)


@ALL_LOSSES
@pytest.mark.parametrize(
    ("wrong", "ignore_class"), [(CLASSES, 255), (-1, 255), (254, 255), (255, -1)]
)
def test_unknown_id_raises_an_error(rng, name, wrong, ignore_class):
    mask = rng.integers(0, CLASSES, (2, 5, 6))
    mask[1, 2, 3] = wrong
    with pytest.raises(tf.errors.InvalidArgumentError, match="class ids from 0 to 3"):
        build(name, ignore_class)(mask, logits_of(rng, 2, *size_of(name)))


@ALL_LOSSES
def test_number_of_class_weights_must_match_the_classes(rng, name):
    loss = build(name, class_weights=[1, 2, 3])
    with pytest.raises(ValueError, match="each of the 4 classes. Received: 3 weights"):
        loss(np.zeros((2, 5, 6), int), logits_of(rng, 2, *size_of(name)))


def test_class_is_present_with_a_single_pixel():
    mask = np.full((3, 9, 9), 255)
    mask[0] = 2
    mask[1, 4, 4] = 3
    mask[1, 8, 8] = 0
    presence, labeled = class_presence(mask, CLASSES)
    np.testing.assert_array_equal(presence, [[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(labeled, [True, True, False])


@ALL_LOSSES
@pytest.mark.parametrize(
    "arguments", [{}, {"ignore_class": (-1, 255), "class_weights": np.arange(4), "name": "mine"}]
)
def test_config_round_trip(name, arguments):
    one = build(name, **arguments)
    again = keras.losses.deserialize(keras.losses.serialize(one))
    assert type(again) is type(one)
    assert again.get_config() == one.get_config()
    assert vars(again).items() >= LOSSES[name][1].items()
    assert (again.ignore_class, again.class_weights) == (one.ignore_class, one.class_weights)
