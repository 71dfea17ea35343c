"""Models refuse images of another range than theirs, in everything that Keras accepts as data."""

import numpy as np
import pytest

from keras_encnet import ResNet14, preprocess_input
from tests.fixtures import CLASSES, assert_unchanged, weights_of
from tests.models.data_kinds import KINDS, dataset, generator

# What is wrong with images, and the images.
WRONG = {
    "scaled to 0 to 1": lambda raw: raw / np.float32(255),
    "float64 scaled to 0 to 1": lambda raw: raw / 255,
    "scaled to -1 to 1": lambda raw: preprocess_input(raw, "tf"),
    "normalized as torch": lambda raw: preprocess_input(raw, "torch"),
    "normalized as caffe": lambda raw: preprocess_input(raw, "caffe"),
    "16 bits": lambda raw: raw.astype("uint16") * 257,
    "negative integers": lambda raw: raw.astype("int32") - 128,
}


@pytest.fixture
def parts(rng):
    masks = rng.integers(0, CLASSES, (4, 8, 8)).astype("int32")
    return rng.integers(0, 256, (4, 8, 8, 3)).astype("uint8"), masks


pytestmark = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed", "ignore:.*ran out of")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_images_scaled_to_0_to_1_are_refused(pixelwise, parts, kind, method):
    images, masks = parts
    data = (images / np.float32(255), *(() if method == "predict" else (masks,)))
    with pytest.raises(ValueError, match="by 255.*include_preprocessing=False.*[Vv]alues from"):
        getattr(pixelwise(), method)(*KINDS[kind](*data), verbose=0)


@pytest.mark.parametrize("kind", ["array", "tensor", "dict"])
@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch", "predict_on_batch"])
def test_images_of_single_batches_are_checked(pixelwise, parts, kind, method):
    images, masks = parts
    data = (images / np.float32(255), *(() if method == "predict_on_batch" else (masks,)))
    model = pixelwise()
    before = weights_of(model)
    with pytest.raises(ValueError, match="raw, with values in 0 to 255.*values from 0"):
        getattr(model, method)(*KINDS[kind](*data))
    assert_unchanged(model, before)
    getattr(model, method)(*KINDS[kind](images, *data[1:]))


@pytest.mark.parametrize("kind", ["array", "tf.data"])
@pytest.mark.parametrize("wrong", WRONG)
def test_images_that_are_not_raw_are_refused(pixelwise, parts, wrong, kind):
    images, masks = parts
    with pytest.raises(ValueError, match="raw, with values in 0 to 255"):
        pixelwise().fit(*KINDS[kind](WRONG[wrong](images), masks), verbose=0)


@pytest.mark.parametrize("wrong", WRONG)
def test_segment_and_classify_refuse_normalized_images(pixelwise, parts, wrong):
    images = WRONG[wrong](parts[0])
    for refuses in (pixelwise().segment, ResNet14(4, input_shape=(8, 8, 3)).classify):
        with pytest.raises(ValueError, match="raw, with values in 0 to 255"):
            refuses(images)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "convert",
    [
        lambda raw: raw,
        lambda raw: raw.astype("float32"),
        lambda raw: raw.astype("int64"),
        lambda raw: np.zeros_like(raw, "float32"),
        lambda raw: (raw == 0).astype("float32"),
        lambda raw: raw + np.float32(0.004) * (raw == 255),
    ],
    ids=["uint8", "float32", "int64", "black", "nearly black", "rounding above 255"],
)
def test_raw_images_are_accepted(pixelwise, parts, kind, convert):
    images, masks = parts
    history = pixelwise().fit(*KINDS[kind](convert(images), masks), verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("kind", ["array", "tf.data", "PyDataset", "generator"])
def test_validation_data_are_checked(pixelwise, parts, kind):
    validation = KINDS[kind](parts[0] / np.float32(255), parts[1])
    validation = validation if kind == "array" else validation[0]
    with pytest.raises(ValueError, match="raw, with values in 0 to 255"):
        pixelwise().fit(*parts, validation_data=validation, validation_steps=1, verbose=0)


def test_images_in_compiled_steps_are_checked(pixelwise, parts):
    model = pixelwise("XLA")
    with pytest.raises(ValueError, match="raw, with values in 0 to 255.*values from 0 to 1"):
        model.fit(dataset(parts[0] / np.float32(255), parts[1]), verbose=0)


def test_check_keeps_every_batch_of_a_generator(pixelwise, parts):
    images, _ = parts
    model = pixelwise()
    outputs = model.predict(generator(images), verbose=0)["segmentation"]
    np.testing.assert_array_equal(outputs, model.predict(images, verbose=0)["segmentation"])


@pytest.mark.parametrize("kind", ["array", "tf.data", "PyDataset", "generator"])
def test_raw_images_are_refused_without_preprocessing(pixelwise, parts, kind):
    images, masks = parts
    model = pixelwise(preprocessing=None)
    with pytest.raises(ValueError, match="normalized floats.*Received: dtype=uint8"):
        model.fit(*KINDS[kind](images, masks), verbose=0)
    with pytest.raises(ValueError, match="normalized floats.*Received: dtype=uint8"):
        model.segment(images)
    model.fit(*KINDS[kind](preprocess_input(images), masks), verbose=0)


def test_training_prediction_and_segmentation_see_the_same_images(pixelwise, parts, randomize):
    images, masks = parts
    model = randomize(pixelwise(preprocessing="caffe"))
    expected = model.predict(images, verbose=0)["segmentation"].argmax(-1)
    for given in (images, images.astype("float32"), images.astype("int32")):
        np.testing.assert_array_equal(model.segment(given), expected)
        predicted = model.predict(dataset(given), verbose=0)["segmentation"]
        np.testing.assert_array_equal(predicted.argmax(-1), expected)
    logs = model.evaluate(images, masks, verbose=0, return_dict=True)
    accuracy = (expected == masks).mean()
    assert logs["pixel_accuracy"] == pytest.approx(accuracy, rel=1e-5)
