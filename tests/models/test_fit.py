"""`SegmentationModel` trains on images and masks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import objectives
from tests.fixtures import weights_of


@pytest.mark.slow
def test_dtype_and_trailing_axis_of_the_mask_do_not_matter(fcn, data):
    images, masks = data
    losses = []
    for dtype in ("uint8", "int32", "int64"):
        for shaped in (masks, masks[..., None]):
            model = fcn(dropout=0)
            keras.utils.set_random_seed(1)
            model.set_weights([keras.random.normal(w.shape) for w in model.weights])
            history = model.fit(images, shaped.astype(dtype), verbose=0).history
            losses.append((history["loss"][0], *(w.sum() for w in weights_of(model))))
    assert np.isfinite(losses).all()
    np.testing.assert_array_equal(losses, [losses[0]] * 6)


@pytest.mark.slow
def test_compiled_step_accepts_masks_with_and_without_trailing_axis(fcn, data):
    images, masks = data
    model = fcn(run_eagerly=False, dropout=0)
    plain = model.evaluate(images, masks, verbose=0)
    assert model.evaluate(images, masks[..., None], verbose=0) == plain
    assert model.evaluate(images, masks.astype("uint8"), verbose=0) == plain


def test_fit_lowers_the_loss(encnet, data):
    model = encnet()
    model.compile(keras.optimizers.Adam(0.01), **objectives(model))
    history = model.fit(*data, batch_size=2, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert history["presence_loss"][-1] < history["presence_loss"][0]


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_fit_accepts_a_dataset_and_validation_data(fcn, data):
    model = fcn(run_eagerly=False)
    before = weights_of(model)
    dataset = tf.data.Dataset.from_tensor_slices(data)
    history = model.fit(
        # The last batch is smaller, so the traced batch size is unknown.
        dataset.take(3).batch(2),
        validation_data=dataset.batch(2),
        epochs=2,
        verbose=0,
    ).history
    assert np.isfinite([history["loss"], history["val_loss"]]).all()
    assert 0 < history["val_mean_iou"][-1] <= 1
    assert any((a != b.numpy()).any() for a, b in zip(before, model.weights, strict=True))


def test_evaluate_returns_loss_and_accuracy_of_the_data(fcn, data):
    images, masks = data
    model = fcn()
    logs = model.evaluate(images, masks, batch_size=4, verbose=0, return_dict=True)
    logits = np.asarray(model(images)["segmentation"], "float64")
    labeled = masks != 255
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    truth = np.where(labeled, masks, 0)
    entropy = -np.take_along_axis(log_probabilities, truth[..., None], -1)[..., 0]
    assert logs["loss"] == pytest.approx(entropy[labeled].mean(), rel=1e-5)
    correct = (logits.argmax(-1) == masks)[labeled]
    assert logs["pixel_accuracy"] == pytest.approx(correct.mean(), rel=1e-6)


def test_total_loss_is_the_weighted_sum_over_outputs(encnet, data):
    model = encnet()
    model.compile("sgd", run_eagerly=True, **objectives(model, se_weight=0.7))
    logs = model.evaluate(*data, verbose=0, return_dict=True)
    total = logs["segmentation_loss"] + 0.7 * (logs["presence_loss"] + logs["presence_stage3_loss"])
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def pixel_losses(model, images, masks):
    """Cross-entropy per pixel, 0 where ignored, and the number of labeled pixels."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    labeled = masks != 255
    entropy = loss(np.where(labeled, masks, 0), model(images)["segmentation"])
    return np.where(labeled, entropy, 0), labeled.sum()


@pytest.mark.parametrize("per_pixel", [False, True])
def test_sample_weights_multiply_the_loss_of_their_pixels(fcn, data, rng, per_pixel):
    images, masks = data
    weights = np.array([1, 0, 2, 0.5], "float32")
    if per_pixel:
        weights = rng.uniform(0, 2, masks.shape).astype("float32")
        weights[:, 5] = 0
    model = fcn()
    logs = model.evaluate(images, masks, sample_weight=weights, verbose=0, return_dict=True)
    losses, count = pixel_losses(model, images, masks)
    per_image = weights if per_pixel else weights[:, None, None]
    assert logs["loss"] == pytest.approx((per_image * losses).sum() / count, rel=1e-5)


@pytest.mark.parametrize("images", [1, 4])
def test_weights_may_have_a_trailing_axis(encnet, data, images):
    x, masks = (part[:images] for part in data)
    model = encnet()
    logs = [
        model.evaluate(x, masks, sample_weight=weights, verbose=0, return_dict=True)
        for weights in (np.full(images, 0.25), np.full((images, 1), 0.25))
    ]
    assert logs[0] == pytest.approx(logs[1])
    assert logs[0]["presence_loss"] > 0


def test_weights_neither_per_image_nor_per_pixel_raise_an_error(fcn, data):
    images, masks = data
    with pytest.raises(ValueError, match=r"per image.*Received: sample_weight.shape=\(4, 3\)"):
        fcn().evaluate(images, masks, sample_weight=np.ones((4, 3)), verbose=0)


def test_another_kind_of_sample_weights_requires_recompiling(fcn, data):
    images, masks = data
    model = fcn(run_eagerly=False)
    model.fit(images, masks, sample_weight=np.ones(4), verbose=0)
    with pytest.raises(ValueError, match="compile the model again"):
        model.fit(images, masks, sample_weight=np.ones(masks.shape), verbose=0)


def test_presence_loss_uses_weights_per_image_but_not_per_pixel(encnet, data):
    images, masks = data
    model = encnet()

    def presence_loss(weights):
        logs = model.evaluate(images, masks, sample_weight=weights, verbose=0, return_dict=True)
        return logs["presence_loss"]

    everything = presence_loss(None)
    assert presence_loss(np.zeros(masks.shape, "float32")) == everything
    assert presence_loss(np.full(4, 0.25, "float32")) == pytest.approx(everything / 4, rel=1e-5)


def test_targets_of_predict_are_not_checked(fcn, data):
    images, _ = data
    names = tf.data.Dataset.from_tensor_slices((images, ["a", "b", "c", "d"])).batch(2)
    assert fcn(run_eagerly=False).predict(names, verbose=0)["segmentation"].shape[0] == 4


@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_class_weight_names_the_argument_of_objectives(fcn, data, method):
    with pytest.raises(ValueError, match=r"objectives\(model, class_weights=.*Received: class_we"):
        getattr(fcn(), method)(*data, class_weight={0: 1.0, 1: 5.0})
