"""The losses are means over labeled pixels or images only."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import FCN, EncNet, PixelCrossEntropy, SELoss, objectives
from keras_encnet.losses import class_presence

CLASSES = 4


def cross_entropy(mask, logits, ignore_class, class_weights=None):
    """Pixel by pixel, in float64."""
    total = weight = 0.0
    for label, scores in zip(mask.ravel(), logits.reshape(-1, CLASSES), strict=True):
        if label not in ignore_class:
            scores = scores.astype("float64")
            factor = 1 if class_weights is None else class_weights[label]
            total += factor * (np.log(np.exp(scores).sum()) - scores[label])
            weight += factor
    return total / weight if weight else 0.0


def presence_loss(mask, logits, ignore_class, class_weights=None):
    """Image by image, from histograms, in float64."""
    losses = []
    for labels, scores in zip(mask, logits.astype("float64"), strict=True):
        labels = labels[~np.isin(labels, ignore_class)]
        if len(labels):
            present = np.bincount(labels, minlength=CLASSES) > 0
            probability = 1 / (1 + np.exp(-scores))
            entropy = -np.where(present, np.log(probability), np.log(1 - probability))
            losses.append(np.mean(entropy * (1 if class_weights is None else class_weights)))
    return np.mean(losses) if losses else 0.0


def masks(rng, ignore_class, dtype="int32"):
    """Three masks: fully labeled, partly ignored with fewer classes, and fully ignored."""
    labels = rng.integers(0, CLASSES, (3, 5, 6))
    labels[1] = np.minimum(labels[1], 1)
    labels[1, :3] = ignore_class[0]
    labels[1, 4] = ignore_class[-1]
    labels[2] = ignore_class[-1]
    return labels.astype(dtype)


def logits_of(rng, *shape):
    return (3 * rng.normal(size=(*shape, CLASSES))).astype("float32")


IGNORED = pytest.mark.parametrize(
    ("ignore_class", "dtype"),
    [
        ((255,), "uint8"),
        ((255,), "int64"),
        ((254, 255), "uint8"),
        ((-1,), "int32"),
        ((-1, 255), "int32"),
        ((65535,), "uint16"),
        ((65535,), "int32"),
    ],
)
CLASS_WEIGHTS = pytest.mark.parametrize("class_weights", [None, [0.5, 2.0, 1.0, 0.0]])


@IGNORED
@CLASS_WEIGHTS
def test_cross_entropy_is_the_mean_over_labeled_pixels(rng, ignore_class, dtype, class_weights):
    mask, logits = masks(rng, ignore_class, dtype), logits_of(rng, 3, 5, 6)
    loss = float(PixelCrossEntropy(ignore_class, class_weights)(mask, logits))
    assert loss == pytest.approx(cross_entropy(mask, logits, ignore_class, class_weights), rel=1e-5)


@IGNORED
@CLASS_WEIGHTS
def test_se_loss_is_the_mean_over_labeled_images(rng, ignore_class, dtype, class_weights):
    mask, logits = masks(rng, ignore_class, dtype), logits_of(rng, 3)
    loss = float(SELoss(ignore_class, class_weights)(mask, logits))
    assert loss == pytest.approx(presence_loss(mask, logits, ignore_class, class_weights), rel=1e-5)


def test_single_ignored_label_needs_no_tuple(rng):
    mask, logits = masks(rng, (9,)), logits_of(rng, 3, 5, 6)
    assert PixelCrossEntropy(9)(mask, logits) == PixelCrossEntropy((9,))(mask, logits)


def test_unlabeled_image_has_no_gradient_of_the_se_loss(rng):
    mask, logits = masks(rng, (255,)), tf.constant(logits_of(rng, 3))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = SELoss()(mask, logits)
    gradient = tape.gradient(loss, logits)
    assert np.all(gradient[:2] != 0)
    assert np.all(gradient[2] == 0)


def test_ignored_pixels_have_no_gradient(rng):
    mask, logits = masks(rng, (255,)), tf.constant(logits_of(rng, 3, 5, 6))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = PixelCrossEntropy()(mask, logits)
    gradient = np.abs(tape.gradient(loss, logits)).max(-1)
    np.testing.assert_array_equal(gradient != 0, mask != 255)


@pytest.mark.parametrize(("loss", "size"), [(PixelCrossEntropy(), (5, 6)), (SELoss(), ())])
def test_fully_ignored_batch_has_no_loss_and_no_gradient(rng, loss, size):
    logits = tf.constant(logits_of(rng, 2, *size))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(np.full((2, 5, 6), 255), logits)
    assert value == 0
    assert np.all(tape.gradient(value, logits) == 0)


@pytest.mark.parametrize(("loss", "size"), [(PixelCrossEntropy(), (5, 6)), (SELoss(), ())])
def test_confident_logits_have_a_finite_loss(loss, size):
    logits = np.full((1, *size, CLASSES), -1e4, "float32")
    logits[..., 1] = 1e4
    assert np.isfinite(loss(np.full((1, 5, 6), 1), logits))
    assert np.isfinite(loss(np.full((1, 5, 6), 2), logits))


@pytest.mark.parametrize(("loss", "size"), [(PixelCrossEntropy, (5, 6)), (SELoss, ())])
@pytest.mark.parametrize(
    ("wrong", "ignore_class"), [(CLASSES, 255), (-1, 255), (254, 255), (255, -1)]
)
def test_unknown_id_raises_an_error(rng, loss, size, wrong, ignore_class):
    mask = rng.integers(0, CLASSES, (2, 5, 6))
    mask[1, 2, 3] = wrong
    with pytest.raises(tf.errors.InvalidArgumentError, match="class ids from 0 to 3"):
        loss(ignore_class)(mask, logits_of(rng, 2, *size))


@pytest.mark.parametrize(("loss", "size"), [(PixelCrossEntropy, (5, 6)), (SELoss, ())])
def test_number_of_class_weights_must_match_the_classes(rng, loss, size):
    with pytest.raises(ValueError, match="each of the 4 classes. Received: 3 weights"):
        loss(class_weights=[1, 2, 3])(np.zeros((2, 5, 6), int), logits_of(rng, 2, *size))


def test_class_is_present_with_a_single_pixel():
    mask = np.full((3, 9, 9), 255)
    mask[0] = 2
    mask[1, 4, 4] = 3
    mask[1, 8, 8] = 0
    presence, labeled = class_presence(mask, CLASSES)
    np.testing.assert_array_equal(presence, [[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(labeled, [True, True, False])


@pytest.mark.parametrize("loss", [PixelCrossEntropy, SELoss])
@pytest.mark.parametrize(
    "arguments", [{}, {"ignore_class": (-1, 255), "class_weights": np.arange(4), "name": "mine"}]
)
def test_config_round_trip(loss, arguments):
    one = loss(**arguments)
    again = keras.losses.deserialize(keras.losses.serialize(one))
    assert type(again) is loss
    assert again.get_config() == one.get_config()
    assert (again.ignore_class, again.class_weights) == (one.ignore_class, one.class_weights)


@pytest.fixture
def model(tiny_backbone):
    def build(variant):
        if variant == "fcn":
            return FCN(tiny_backbone(), classes=CLASSES, auxiliary="fcn")
        return EncNet(
            tiny_backbone(), classes=CLASSES, variant=variant, num_codewords=4, channels=8
        )

    return build


@pytest.mark.parametrize(
    ("variant", "weights"),
    [
        ("paper", {"segmentation": 1, "presence": 0.3, "presence_stage3": 0.3}),
        ("official", {"segmentation": 1, "presence": 0.3, "segmentation_stage3": 0.4}),
        ("mmsegmentation", {"segmentation": 1, "presence": 0.3, "segmentation_stage3": 0.4}),
        ("fcn", {"segmentation": 1, "segmentation_stage3": 0.4}),
    ],
)
def test_objectives_assign_loss_and_weight_to_each_output(rng, model, variant, weights):
    model = model(variant)
    settings = objectives(
        model,
        ignore_class=(254, 255),
        se_weight=0.3,
        auxiliary_weight=0.4,
        class_weights=[1, 2, 3, 4],
    )
    assert settings["loss_weights"] == weights
    assert set(settings["metrics"]) == {"segmentation"}
    model.compile("sgd", run_eagerly=True, **settings)
    mask = rng.integers(0, CLASSES, (2, 8, 8)).astype("uint8")
    mask[:, :4], mask[:, 4, :4] = 255, 254
    images = rng.integers(0, 256, (2, 8, 8, 3)).astype("uint8")
    logs = model.evaluate(images, mask, verbose=0, return_dict=True)
    expected = {}
    for name, logits in model(images).items():
        loss = cross_entropy if name.startswith("segmentation") else presence_loss
        expected[name] = loss(mask, logits.numpy(), (254, 255), [1, 2, 3, 4])
        assert logs[f"{name}_loss"] == pytest.approx(expected[name], rel=1e-5)
    total = sum(weights[name] * value for name, value in expected.items())
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_objectives_default_to_the_paper(model):
    settings = objectives(model("paper"))
    assert settings["loss_weights"] == {
        "segmentation": 1,
        "presence": 0.2,
        "presence_stage3": 0.2,
    }
    assert settings["loss"]["segmentation"].ignore_class == (255,)
    assert settings["metrics"]["segmentation"].absent_classes == "exclude"


@pytest.mark.parametrize("argument", ["se_weight", "auxiliary_weight"])
def test_objectives_reject_negative_weights(model, argument):
    with pytest.raises(ValueError, match=f"Received: {argument}=-0.1"):
        objectives(model("paper"), **{argument: -0.1})


@pytest.mark.parametrize(
    ("class_weights", "message"),
    [
        ([1.0] * (CLASSES - 1), f"each of the {CLASSES} classes"),
        ([1.0, -1.0], "must not be negative"),
    ],
)
def test_objectives_reject_wrong_class_weights(model, class_weights, message):
    with pytest.raises(ValueError, match=message):
        objectives(model("paper"), class_weights=class_weights)


def test_objectives_require_the_output_segmentation(model):
    with pytest.raises(ValueError, match=r"Received: outputs=\['presence'\]"):
        objectives(model("paper").with_outputs("presence"))


def test_compiled_losses_and_metrics_are_saved_with_the_model(rng, model, tmp_path):
    model = model("paper")
    settings = objectives(model, (-1, 255), 0.7, class_weights=[1, 2, 3, 4], absent_classes="zero")
    model.compile("sgd", **settings)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, loss in settings["loss"].items():
        assert type(loaded.loss[name]) is type(loss)
        assert loaded.loss[name].get_config() == loss.get_config()
    images = rng.integers(0, 256, (2, 8, 8, 3)).astype("uint8")
    mask = rng.integers(-1, 2, (2, 8, 8))
    logs = []
    for one in (model, loaded):
        one.run_eagerly = True
        logs.append(one.evaluate(images, mask, verbose=0, return_dict=True))
    assert logs[0] == logs[1]
    assert "presence_stage3_loss" in logs[0]
    assert "mean_iou" in logs[0]
