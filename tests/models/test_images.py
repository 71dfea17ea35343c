"""Models refuse images of another range than theirs, in everything that Keras accepts as data."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import ResNet14, preprocess_input
from tests.fixtures import CLASSES

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


class Batches(keras.utils.PyDataset):
    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(part[2 * index : 2 * index + 2] for part in self.parts)


def generator(*parts):
    batches = Batches(*parts)
    return (batches[i] for i in range(2))


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(2)


# Every kind of data as arguments of `fit`, from images and masks.
KINDS = {
    "array": lambda *parts: parts,
    "tensor": lambda *parts: tuple(map(tf.constant, parts)),
    "dict": lambda x, *rest: ({"images": x}, *rest),
    "tf.data": lambda *parts: (dataset(*parts),),
    "PyDataset": lambda *parts: (Batches(*parts),),
    "generator": lambda *parts: (generator(*parts),),
}


@pytest.fixture
def parts(rng):
    masks = rng.integers(0, CLASSES, (4, 8, 8)).astype("int32")
    return rng.integers(0, 256, (4, 8, 8, 3)).astype("uint8"), masks


pytestmark = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed", "ignore:.*ran out of")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_images_scaled_to_0_to_1_are_refused(fcn, parts, kind, method):
    images, masks = parts
    data = (images / np.float32(255), *(() if method == "predict" else (masks,)))
    with pytest.raises(ValueError, match="by 255.*include_preprocessing=False.*[Vv]alues from"):
        getattr(fcn(), method)(*KINDS[kind](*data), verbose=0)


@pytest.mark.parametrize("kind", ["array", "tf.data"])
@pytest.mark.parametrize("wrong", WRONG)
def test_images_that_are_not_raw_are_refused(fcn, parts, wrong, kind):
    images, masks = parts
    with pytest.raises(ValueError, match="raw, with values in 0 to 255"):
        fcn().fit(*KINDS[kind](WRONG[wrong](images), masks), verbose=0)


@pytest.mark.parametrize("wrong", WRONG)
def test_segment_and_classify_refuse_normalized_images(fcn, parts, wrong):
    images = WRONG[wrong](parts[0])
    for refuses in (fcn().segment, ResNet14(4, input_shape=(8, 8, 3)).classify):
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
        lambda raw: raw + np.float32(0.004) * (raw == 255),
    ],
    ids=["uint8", "float32", "int64", "black", "rounding above 255"],
)
def test_raw_images_are_accepted(fcn, parts, kind, convert):
    images, masks = parts
    history = fcn().fit(*KINDS[kind](convert(images), masks), verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("kind", ["array", "tf.data", "PyDataset", "generator"])
def test_validation_data_are_checked(fcn, parts, kind):
    validation = KINDS[kind](parts[0] / np.float32(255), parts[1])
    validation = validation if kind == "array" else validation[0]
    with pytest.raises(ValueError, match="raw, with values in 0 to 255"):
        fcn().fit(*parts, validation_data=validation, validation_steps=1, verbose=0)


def test_images_in_compiled_steps_are_checked(fcn, parts):
    # XLA, the default of Keras on GPUs, drops the assertions of a step.
    model = fcn()
    model.compile("sgd", model.loss, jit_compile=True)
    with pytest.raises(ValueError, match="raw, with values in 0 to 255.*values from 0 to 1"):
        model.fit(dataset(parts[0] / np.float32(255), parts[1]), verbose=0)


def test_check_keeps_every_batch_of_a_generator(fcn, parts):
    images, _ = parts
    model = fcn()
    outputs = model.predict(generator(images), verbose=0)["segmentation"]
    np.testing.assert_array_equal(outputs, model.predict(images, verbose=0)["segmentation"])


@pytest.mark.parametrize("kind", ["array", "tf.data", "PyDataset", "generator"])
def test_raw_images_are_refused_without_preprocessing(fcn, parts, kind):
    images, masks = parts
    model = fcn(include_preprocessing=False)
    with pytest.raises(ValueError, match="normalized floats.*Received: dtype=uint8"):
        model.fit(*KINDS[kind](images, masks), verbose=0)
    with pytest.raises(ValueError, match="normalized floats.*Received: dtype=uint8"):
        model.segment(images)
    model.fit(*KINDS[kind](preprocess_input(images), masks), verbose=0)


def test_training_prediction_and_segmentation_see_the_same_images(fcn, parts, randomize):
    images, masks = parts
    model = randomize(fcn(preprocessing="caffe"))
    expected = model.predict(images, verbose=0)["segmentation"].argmax(-1)
    for given in (images, images.astype("float32"), images.astype("int32")):
        np.testing.assert_array_equal(model.segment(given), expected)
        predicted = model.predict(dataset(given), verbose=0)["segmentation"]
        np.testing.assert_array_equal(predicted.argmax(-1), expected)
    logs = model.evaluate(images, masks, verbose=0, return_dict=True)
    accuracy = (expected == masks).mean()
    assert logs["pixel_accuracy"] == pytest.approx(accuracy, rel=1e-5)
