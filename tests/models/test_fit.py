"""`SegmentationModel` trains on images and masks and rejects invalid data."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import FCN, objectives
from tests.fixtures import CLASSES, assert_unchanged, weights_of


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


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_invalid_ids_in_arrays_raise_an_error(fcn, data, method):
    images, masks = data
    masks[2, 7, 7], masks[3, 7, 7] = 77, 3
    model = fcn()
    before = weights_of(model)
    with pytest.raises(
        ValueError, match=r"from 0 to 2.*Received: ids=\[3, 77\], ignore_class=\(255,\)"
    ):
        getattr(model, method)(images, masks, verbose=0)
    assert_unchanged(model, before)


def test_negative_ids_raise_an_error_unless_ignored(fcn, data):
    images, masks = data
    masks[masks == 255] = -1
    model = fcn()
    with pytest.raises(ValueError, match=r"Received: ids=\[-1\]"):
        model.fit(images, masks, verbose=0)
    model.compile("sgd", run_eagerly=True, **objectives(model, ignore_class=(-1, 255)))
    assert np.isfinite(model.fit(images, masks, verbose=0).history["loss"]).all()


class Batches(keras.utils.PyDataset):
    """Two batches of two images."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(part[2 * index : 2 * index + 2] for part in self.data)


def generator(data):
    yield from map(Batches(data).__getitem__, range(2))


def dataset(data):
    return tf.data.Dataset.from_tensor_slices(data).batch(2)


def without_shapes(data):
    """A dataset that has lost the shape of the masks."""
    return dataset(data).map(lambda x, y: (x, tf.numpy_function(lambda mask: mask, [y], tf.int32)))


# The ways to pass images and masks; functions of a model, a method and the data.
WAYS = {
    "arrays": lambda model, method, data: getattr(model, method)(*data, batch_size=2, verbose=0),
    "tensors": lambda model, method, data: getattr(model, method)(
        *map(tf.constant, data), batch_size=2, verbose=0
    ),
    "PyDataset": lambda model, method, data: getattr(model, method)(Batches(data), verbose=0),
    "generator": lambda model, method, data: getattr(model, method)(generator(data), verbose=0),
    "dataset": lambda model, method, data: getattr(model, method)(dataset(data), verbose=0),
    "without shapes": lambda model, method, data: getattr(model, method)(
        without_shapes(data), verbose=0
    ),
    "on_batch": lambda model, method, data: getattr(
        model, {"fit": "train_on_batch", "evaluate": "test_on_batch"}[method]
    )(*data),
}
SHUFFLE = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")


# XLA, the default of Keras on GPUs, drops the assertions of a step.
MODES = {"eager": {"run_eagerly": True}, "graph": {}, "XLA": {"jit_compile": True}}
WAYS_AND_MODES = [
    *((way, "XLA") for way in WAYS),
    *((way, mode) for way in ("PyDataset", "dataset", "on_batch") for mode in ("eager", "graph")),
]


@SHUFFLE
@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize(("way", "mode"), WAYS_AND_MODES)
def test_invalid_ids_raise_an_error_that_names_them(tiny_backbone, data, way, method, mode):
    data[1][:2, 7, 6:] = 7, -1
    # With batch normalization, whose statistics must not change either.
    model = FCN(tiny_backbone(), classes=CLASSES)
    model.compile("sgd", **MODES[mode], **objectives(model))
    before = weights_of(model)
    with pytest.raises(ValueError, match=r"from 0 to 2.*Received: ids=\[-1[, ]+7\], ignore_class="):
        WAYS[way](model, method, data)
    assert_unchanged(model, before)


def test_invalid_ids_raise_an_error_among_several_steps_per_execution(fcn, data):
    data[1][3, 7, 7] = 7
    model = fcn()
    model.compile("sgd", jit_compile=True, steps_per_execution=2, **objectives(model))
    with pytest.raises(ValueError, match=r"Received: ids=\[7\]"):
        model.fit(Batches(data), verbose=0)


def test_ids_of_64_bits_do_not_wrap_around(fcn, data):
    images, masks = data
    masks = masks.astype("int64") + 2**32 * (masks == 1)
    with pytest.raises(ValueError, match=r"Received: ids=\[4294967297\]"):
        fcn(run_eagerly=False).fit(Batches((images, masks)), verbose=0)


@SHUFFLE
@pytest.mark.parametrize(("way", "mode"), WAYS_AND_MODES)
def test_masks_of_another_size_raise_an_error(fcn, data, way, mode):
    images, masks = data
    images, masks = images[:, :6], masks[:, :, :6]  # height and width are swapped
    model = fcn()
    model.compile("sgd", **MODES[mode], **objectives(model))
    with pytest.raises(ValueError, match=r"height and width of the images.*Received: mask.shape="):
        WAYS[way](model, "fit", (images, masks))


@SHUFFLE
@pytest.mark.parametrize("jit_compile", [False, True])
def test_batches_of_several_sizes_are_compared_with_their_masks(fcn, data, jit_compile):
    images, masks = data

    def batches(second):
        yield images, masks
        yield images[:, :6], second

    model = fcn()
    model.compile("sgd", jit_compile=jit_compile, **objectives(model))
    model.fit(batches(masks[:, :6]), steps_per_epoch=2, verbose=0)
    with pytest.raises(ValueError, match="height and width of the images"):
        model.fit(batches(masks[:, :, :6]), steps_per_epoch=2, verbose=0)


@SHUFFLE
@pytest.mark.parametrize("jit_compile", [False, True])
def test_masks_without_shape_may_have_a_trailing_axis(fcn, data, jit_compile):
    images, masks = data
    model = fcn()
    model.compile("sgd", jit_compile=jit_compile, **objectives(model))
    plain = model.evaluate(without_shapes((images, masks)), verbose=0)
    assert model.evaluate(without_shapes((images, masks[..., None])), verbose=0) == plain
    with pytest.raises(ValueError, match="height and width of the images"):
        model.evaluate(without_shapes((images, np.stack([masks, masks], -1))), verbose=0)


def test_targets_of_predict_are_not_checked(fcn, data):
    images, _ = data
    names = tf.data.Dataset.from_tensor_slices((images, ["a", "b", "c", "d"])).batch(2)
    assert fcn(run_eagerly=False).predict(names, verbose=0)["segmentation"].shape[0] == 4


@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_class_weight_names_the_argument_of_objectives(fcn, data, method):
    with pytest.raises(ValueError, match=r"objectives\(model, class_weights=.*Received: class_we"):
        getattr(fcn(), method)(*data, class_weight={0: 1.0, 1: 5.0})


def test_invalid_ids_in_validation_data_raise_an_error(fcn, data):
    images, masks = data
    wrong = np.where(masks == 0, 77, masks)
    with pytest.raises(ValueError, match=r"Received: ids=\[77\]"):
        fcn().fit(images, masks, validation_data=(images, wrong), verbose=0)
    for validation in (dataset((images, wrong)), Batches((images, wrong))):
        with pytest.raises(ValueError, match=r"Received: ids=\[77\]"):
            fcn().fit(images, masks, validation_data=validation, verbose=0)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize("kind", ["array", "dataset"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda x, y: (x, y.astype("float32")), "must hold integers.*Received: dtype=float32"),
        (lambda x, y: (x, y[:, 0]), r"must be a mask of class ids.*Received: shape=\(.*, 8\)"),
        (lambda x, y: (x, np.stack([y, y], -1)), "must be a mask of class ids.*Received: shape="),
        (lambda x, y: (np.concatenate([x, x[..., :1]], -1), y), "shape"),
    ],
    ids=["float mask", "mask of rank 2", "mask of two channels", "images of four channels"],
)
def test_invalid_data_raises_an_error_before_training(fcn, data, kind, damage, message):
    model = fcn()
    before = weights_of(model)
    damaged = damage(*data)
    if kind == "dataset":
        damaged = (tf.data.Dataset.from_tensor_slices(damaged).batch(2),)
    with pytest.raises(ValueError, match=message):
        model.fit(*damaged, verbose=0)
    assert_unchanged(model, before)


def test_missing_mask_raises_an_error(fcn, data):
    with pytest.raises(ValueError, match="must be a mask of class ids.*Received: shape=None"):
        fcn().fit(data[0], verbose=0)
