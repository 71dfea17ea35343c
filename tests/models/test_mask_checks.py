"""`SegmentationModel` rejects masks that do not fit its classes or the images, before a step."""

import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import objectives
from tests.fixtures import assert_unchanged, weights_of
from tests.models.data_kinds import KINDS, Batches, dataset


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_invalid_ids_in_arrays_raise_an_error(pixelwise, data, method):
    images, masks = data
    masks[2, 7, 7], masks[3, 7, 7] = 77, 3
    model = pixelwise()
    before = weights_of(model)
    with pytest.raises(
        ValueError, match=r"from 0 to 2.*Received: ids=\[3, 77\], ignore_class=\(255,\)"
    ):
        getattr(model, method)(images, masks, verbose=0)
    assert_unchanged(model, before)


def test_negative_ids_raise_an_error_unless_ignored(pixelwise, data):
    images, masks = data
    masks[masks == 255] = -1
    model = pixelwise()
    with pytest.raises(ValueError, match=r"Received: ids=\[-1\]"):
        model.fit(images, masks, verbose=0)
    model.compile("sgd", run_eagerly=True, **objectives(model, ignore_class=(-1, 255)))
    assert np.isfinite(model.fit(images, masks, verbose=0).history["loss"]).all()


def without_shapes(images, masks):
    """A dataset that has lost the shape of the masks."""

    def forget(x, y):
        return x, tf.numpy_function(lambda mask: mask, [y], tf.int32)

    return (dataset(images, masks).map(forget),)


def feed(model, method, way, data):
    """Calls `fit` or `evaluate` with data of some kind, or its counterpart for one batch."""
    if way == "on_batch":
        method = {"fit": "train_on_batch", "evaluate": "test_on_batch"}[method]
        return getattr(model, method)(*data)
    return getattr(model, method)(*WAYS[way](*data), verbose=0)


WAYS = {**KINDS, "without shapes": without_shapes, "on_batch": None}
SHUFFLE = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed", "ignore:The structure of")
WAYS_AND_MODES = [
    *((way, "XLA") for way in WAYS),
    *((way, mode) for way in ("PyDataset", "tf.data", "on_batch") for mode in ("eager", "graph")),
]


@SHUFFLE
@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize(("way", "mode"), WAYS_AND_MODES)
def test_invalid_ids_raise_an_error_that_names_them(pixelwise, data, way, method, mode):
    data[1][:2, 7, 6:] = 7, -1
    model = pixelwise(mode)
    before = weights_of(model)
    with pytest.raises(ValueError, match=r"from 0 to 2.*Received: ids=\[-1[, ]+7\], ignore_class="):
        feed(model, method, way, data)
    assert_unchanged(model, before)


def test_invalid_ids_raise_an_error_among_several_steps_per_execution(pixelwise, data):
    data[1][3, 7, 7] = 7
    model = pixelwise("XLA", steps_per_execution=2)
    with pytest.raises(ValueError, match=r"Received: ids=\[7\]"):
        model.fit(Batches(*data), verbose=0)


def test_ids_of_64_bits_do_not_wrap_around(pixelwise, data):
    images, masks = data
    masks = masks.astype("int64") + 2**32 * (masks == 1)
    with pytest.raises(ValueError, match=r"Received: ids=\[4294967297\]"):
        pixelwise("graph").fit(Batches(images, masks), verbose=0)


@SHUFFLE
@pytest.mark.parametrize(("way", "mode"), WAYS_AND_MODES)
def test_masks_of_another_size_raise_an_error(pixelwise, data, way, mode):
    images, masks = data
    images, masks = images[:, :6], masks[:, :, :6]  # height and width are swapped
    model = pixelwise(mode)
    with pytest.raises(ValueError, match=r"height and width of the images.*Received: mask.shape="):
        feed(model, "fit", way, (images, masks))


@pytest.mark.slow
@SHUFFLE
@pytest.mark.parametrize("mode", ["graph", "XLA"])
def test_batches_of_several_sizes_are_compared_with_their_masks(pixelwise, data, mode):
    images, masks = data

    def batches(second):
        yield images, masks
        yield images[:, :6], second

    model = pixelwise(mode)
    model.fit(batches(masks[:, :6]), steps_per_epoch=2, verbose=0)
    with pytest.raises(ValueError, match="height and width of the images"):
        model.fit(batches(masks[:, :, :6]), steps_per_epoch=2, verbose=0)


@SHUFFLE
@pytest.mark.parametrize("mode", ["graph", "XLA"])
def test_masks_without_shape_may_have_a_trailing_axis(pixelwise, data, mode):
    images, masks = data
    model = pixelwise(mode)
    plain = model.evaluate(*without_shapes(images, masks), verbose=0)
    assert model.evaluate(*without_shapes(images, masks[..., None]), verbose=0) == plain
    with pytest.raises(ValueError, match="height and width of the images"):
        model.evaluate(*without_shapes(images, np.stack([masks, masks], -1)), verbose=0)


@pytest.mark.slow
def test_invalid_ids_in_validation_data_raise_an_error(pixelwise, data):
    images, masks = data
    wrong = np.where(masks == 0, 77, masks)
    with pytest.raises(ValueError, match=r"Received: ids=\[77\]"):
        pixelwise().fit(images, masks, validation_data=(images, wrong), verbose=0)
    for validation in (dataset(images, wrong), Batches(images, wrong)):
        with pytest.raises(ValueError, match=r"Received: ids=\[77\]"):
            pixelwise().fit(images, masks, validation_data=validation, verbose=0)


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
def test_invalid_data_raises_an_error_before_training(pixelwise, data, kind, damage, message):
    model = pixelwise()
    before = weights_of(model)
    damaged = damage(*data)
    if kind == "dataset":
        damaged = (tf.data.Dataset.from_tensor_slices(damaged).batch(2),)
    with pytest.raises(ValueError, match=message):
        model.fit(*damaged, verbose=0)
    assert_unchanged(model, before)


def test_missing_mask_raises_an_error(pixelwise, data):
    with pytest.raises(ValueError, match="must be a mask of class ids.*Received: shape=None"):
        pixelwise().fit(data[0], verbose=0)
