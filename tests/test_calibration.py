"""Calibration of presence: unseen images, few images, useless branches, and the model's weights."""

import keras
import numpy as np
import pytest

import keras_encnet
from keras_encnet.calibration import (
    calibrate_presence,
    cross_validated_loss,
    fit_calibration,
    predict_presence,
)
from keras_encnet.metrics import presence_scores

CLASSES = 8


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def draw(rng, images, information=2.0):
    """Returns presence and its calibrated logits, of classes that are rare to frequent."""
    logits = np.linspace(-3, 3, CLASSES) + information * rng.normal(size=(images, CLASSES))
    return rng.random(logits.shape) < sigmoid(logits), logits


def loss(presence, logits):
    return presence_scores(presence, logits)["se_loss"]


def base_rates(presence):
    """Returns logits of the base rates of a small sample, smoothed by half an image."""
    rates = (presence.sum(0) + 0.5) / (len(presence) + 1)
    return np.log(rates / (1 - rates))


MISCALIBRATED = {
    "overconfident": lambda logits: 4 * logits,
    "as on crops": lambda logits: 2 * logits - 4,
    "shifted by class": lambda logits: logits + np.linspace(-3, 3, CLASSES)[::-1],
    "inverted scale": lambda logits: 0.01 * logits + 5,
}


@pytest.mark.parametrize("name", MISCALIBRATED)
def test_unseen_images_are_predicted_as_well_as_without_miscalibration(name, rng):
    presence, truth = draw(rng, 2000)
    logits = MISCALIBRATED[name](truth)
    slope, bias = fit_calibration(presence[:1000], logits[:1000])
    unseen = presence_scores(presence[1000:], slope * logits[1000:] + bias)
    assert unseen["se_loss"] == pytest.approx(loss(presence[1000:], truth[1000:]), rel=0.02)
    assert unseen["se_loss"] < min(unseen["base_rate_loss"], loss(presence[1000:], logits[1000:]))
    assert unseen["calibration_error"] < 0.02


@pytest.mark.parametrize("images", [5, 10, 20])
@pytest.mark.parametrize("information", [0.5, 2.0])
def test_few_images_do_not_overfit(images, information, rng):
    """On average, unseen images are predicted better than by the base rates of the same images."""
    calibrated, by_rates = [], []
    for _ in range(40):
        presence, logits = draw(rng, images + 200, information)
        seen, unseen, logits = presence[:images], presence[images:], 2 * logits - 4
        slope, bias = fit_calibration(seen, logits[:images])
        calibrated.append(loss(unseen, slope * logits[images:] + bias))
        by_rates.append(loss(unseen, np.broadcast_to(base_rates(seen), unseen.shape)))
    assert np.mean(calibrated) < np.mean(by_rates)


def test_calibrated_predictions_are_kept_if_cross_validation_finds_no_gain(rng):
    kept, loss_of_all, loss_of_chosen = 0, [], []
    for _ in range(40):
        presence, logits = draw(rng, 10 + 200)
        slope, bias = fit_calibration(presence[:10], logits[:10])
        loss_of_all.append(loss(presence[10:], slope * logits[10:] + bias))
        if cross_validated_loss(presence[:10], logits[:10]) >= loss(presence[:10], logits[:10]):
            slope, bias, kept = 1, 0, kept + 1
        loss_of_chosen.append(loss(presence[10:], slope * logits[10:] + bias))
    assert kept > 30
    assert np.mean(loss_of_chosen) < np.mean(loss_of_all)


@pytest.mark.parametrize("sign", [0, -1])
def test_useless_branch_predicts_the_base_rates(sign, rng):
    """Logits that say nothing, or the opposite; the order of the images is kept all the same."""
    presence, truth = draw(rng, 200)
    logits = truth * sign if sign else rng.normal(size=truth.shape)
    slope, bias = fit_calibration(presence, logits)
    assert slope > 0
    expected = np.broadcast_to(base_rates(presence), logits.shape)
    np.testing.assert_allclose(slope * logits + bias, expected, atol=0.3 if sign == 0 else 0.06)


def test_ranking_of_each_class_is_kept(rng):
    presence, logits = draw(rng, 50)
    slope, bias = fit_calibration(presence, -logits)
    scores = [presence_scores(presence, z) for z in (-logits, slope * -logits + bias)]
    assert scores[0]["average_precision"] == pytest.approx(scores[1]["average_precision"])


def test_validation_images_that_show_every_class_are_corrected_by_training_images(rng):
    presence, logits = draw(rng, 400)
    presence[:20] = True
    seen = presence[20:200], 5 * logits[20:200]  # a network is too certain about these
    unseen, z = presence[200:], logits[200:]
    slope, bias = fit_calibration(presence[:20], logits[:20])
    more = fit_calibration(presence[:20], logits[:20], seen)
    assert more[0] == slope
    rates = base_rates(np.concatenate([presence[:20], seen[0]]))
    limit = loss(unseen, np.broadcast_to(rates, unseen.shape))
    assert loss(unseen, more[0] * z + more[1]) < 1.02 * limit < loss(unseen, slope * z + bias)


def test_training_images_improve_the_biases_of_few_validation_images(rng):
    of_few, of_both = [], []
    for _ in range(40):
        presence, logits = draw(rng, 300)
        few, seen = slice(0, 5), (presence[5:100], logits[5:100])
        for losses, more in ((of_few, None), (of_both, seen)):
            slope, bias = fit_calibration(presence[few], logits[few], more)
            losses.append(loss(presence[100:], slope * logits[100:] + bias))
            assert slope == pytest.approx(fit_calibration(presence[few], logits[few])[0])
    assert np.mean(of_both) < np.mean(of_few)


def test_second_calibration_changes_nothing(rng):
    presence, logits = draw(rng, 30)
    for z in (2 * logits - 4, -logits, np.zeros_like(logits)):
        slope, bias = fit_calibration(presence, z)
        slope, bias = fit_calibration(presence, slope * z + bias)
        assert slope == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(bias, 0, atol=1e-6)
        seen = presence[10:], z[10:]
        slope, bias = fit_calibration(presence[:10], z[:10], seen)
        z = slope * z + bias
        slope, bias = fit_calibration(presence[:10], z[:10], (seen[0], z[10:]))
        assert slope == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(bias, 0, atol=1e-6)


def test_fit_is_the_minimum_of_the_penalized_loss(rng):
    presence, logits = draw(rng, 12)

    def penalized(slope, bias):
        share = 1 / (presence.size + 2)  # as if one label were wrong
        targets = np.where(presence, 1 - share, share)
        p = sigmoid(slope * logits + bias)
        at_mean = sigmoid(slope * logits.mean(0) + bias)
        terms = targets * np.log(p) + (1 - targets) * np.log(1 - p)
        return -terms.sum() - (np.log(at_mean) / 2 + np.log(1 - at_mean) / 2).sum()

    slope, bias = fit_calibration(presence, logits)
    least = penalized(slope, bias)
    for _ in range(50):
        assert penalized(slope + rng.normal() / 50, bias + rng.normal(size=CLASSES) / 50) > least


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("images", [1, 2, 10])
def test_perfect_and_extreme_predictions_stay_finite(scale, images, rng):
    presence = rng.random((images, CLASSES)) < np.linspace(0, 1, CLASSES)
    logits = scale * np.where(presence, 1.0, -1.0)
    slope, bias = fit_calibration(presence, logits)
    calibrated = slope * logits + bias
    assert slope > 0
    assert np.isfinite(calibrated).all()
    assert np.abs(calibrated).max() < 12
    assert np.isnan(cross_validated_loss(presence, logits)) == (images == 1)


@pytest.fixture
def model(tiny_backbone, randomize):
    options = {"channels": 8, "num_codewords": 5, "variant": "paper"}
    return randomize(keras_encnet.EncNet(tiny_backbone(), CLASSES, **options))


@pytest.fixture
def batches(rng):
    """Batches of different sizes; the last image is not labeled."""
    sizes = ((2, 40, 64), (1, 33, 20), (3, 40, 64), (1, 16, 16))
    images = [rng.integers(0, 256, (*size, 3), "uint8") for size in sizes]
    masks = [rng.integers(0, CLASSES, size) * rng.integers(0, 2, (size[0], 1, 1)) for size in sizes]
    masks[-1][:] = 255
    return list(zip(images, masks, strict=True))


def test_calibration_is_stored_in_the_presence_classifiers_only(model, batches):
    names = ("presence", "presence_stage3")
    image = batches[1][0]
    before, weights = model(image), {w.path: w.numpy() for w in model.weights}
    presence, logits = predict_presence(model, batches)
    assert presence.shape == (6, CLASSES)
    report = calibrate_presence(model, batches)
    assert list(report) == list(names)
    after = model(image)
    np.testing.assert_array_equal(after["segmentation"], before["segmentation"])
    for name in names:
        slope, bias = fit_calibration(presence, logits[name])
        assert report[name]["slope"] == slope
        assert report[name]["images"] == 6
        if not report[name]["calibrated"]:
            slope, bias = 1, 0
        np.testing.assert_allclose(after[name], slope * before[name] + bias, rtol=1e-3, atol=1e-4)
    assert any(report[name]["calibrated"] for name in names)
    for weight in model.weights:
        if not weight.path.startswith("presence"):
            np.testing.assert_array_equal(weight, weights[weight.path])


def test_calibration_survives_saving(model, batches, tmp_path):
    calibrate_presence(model, batches)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    image = batches[0][0]
    np.testing.assert_allclose(again(image)["presence"], model(image)["presence"], rtol=1e-5)


def test_training_images_without_labels_are_left_out(model, batches):
    images, masks = batches[0]
    before = model.get_weights()
    expected = calibrate_presence(model, batches)
    model.set_weights(before)
    unlabeled = [(images, np.full_like(masks, 255))]
    assert calibrate_presence(model, batches, seen=unlabeled) == expected


def test_models_that_cannot_be_calibrated_raise(model, tiny_backbone, batches):
    with pytest.raises(ValueError, match=r"Expected a model with a presence branch.*Received"):
        calibrate_presence(keras_encnet.FCN(tiny_backbone(), CLASSES), batches)
    with pytest.raises(ValueError, match="must have labeled pixels. Received: batches="):
        calibrate_presence(model, batches[-1:])
    model.get_layer("presence").enable_lora(2)
    with pytest.raises(ValueError, match="without LoRA and quantization. Received: Dense 'pres"):
        calibrate_presence(model, batches)
