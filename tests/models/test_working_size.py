"""Networks see images at the working size; predictions and scores are those of the images."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import EncNet, SegmentationMetrics, objectives
from tests.fixtures import CLASSES, raw_images

SHAPES = [(61, 43), (37, 90), (1, 9)]
WORKING_SIZES = [48, (60, 32), "native"]


@pytest.fixture(scope="module")
def shared():
    return {}


@pytest.fixture
def model_of(shared, tiny_backbone, randomize):
    """Returns the same model with a working size; built once for each."""

    def build(working_size, run_eagerly=True, **options):
        key = (working_size, run_eagerly, *options)
        if key not in shared:
            model = randomize(EncNet(tiny_backbone(), CLASSES, channels=8, num_codewords=4))
            model.working_size = working_size
            model.compile("sgd", run_eagerly=run_eagerly, **options, **objectives(model))
            shared[key] = model
        return shared[key]

    return build


def by_hand(model, images, size):
    """Logits of resized images, resized: twice, where the model resizes them once."""
    seen = tf.image.resize(images, size, antialias=True)
    return tf.image.resize(model(seen)["segmentation"], images.shape[1:3]).numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("working_size", WORKING_SIZES)
def test_all_predictions_agree(working_size, shape, model_of):
    model = model_of(working_size)
    images = raw_images(2, *shape)
    classes = model.segment(images)
    assert classes.shape == (2, *shape)
    outputs = model.predict(images, verbose=0)
    assert outputs["segmentation"].shape == (2, *shape, CLASSES)
    np.testing.assert_array_equal(outputs["segmentation"].argmax(-1), classes)
    size = model.network_size(shape)
    expected = by_hand(model, images, size)
    close = np.abs(np.diff(np.sort(expected), axis=-1)[..., -1]) < 0.05
    assert ((classes == expected.argmax(-1)) | close).mean() > 0.97
    presence = model(tf.image.resize(images, size, antialias=True))["presence"]
    np.testing.assert_allclose(outputs["presence"], presence, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        model.outputs_for(tf.constant(images))["segmentation"].numpy().argmax(-1), classes
    )


@pytest.mark.parametrize("working_size", WORKING_SIZES)
def test_evaluate_counts_every_pixel_of_the_mask(working_size, model_of, rng):
    model = model_of(working_size)
    images, masks = raw_images(3, 37, 50), rng.integers(0, CLASSES, (3, 37, 50))
    masks[:, :5] = 255
    expected = SegmentationMetrics(CLASSES)
    expected.update_state(masks, model.segment(images))
    scores = model.evaluate(images, masks, batch_size=2, verbose=0, return_dict=True)
    for name, value in expected.result().items():
        assert scores[name] == pytest.approx(float(value), abs=1e-6)


def test_size_overrides_the_working_size(model_of):
    model, native = model_of(48), model_of("native")
    images = raw_images(2, 37, 90)
    for size in ("native", 100, (60, 32)):
        expected = native.segment(images, size=size)
        np.testing.assert_array_equal(model.segment(images, size=size), expected)
    np.testing.assert_array_equal(model.segment(images, size=48), model.segment(images))
    assert model.working_size == 48
    listed = model.segment([images[0], images[1, :20]], size="native")
    np.testing.assert_array_equal(listed[0], native.segment(images[0]))


def test_a_new_working_size_takes_effect(model_of, tiny_backbone):
    model = model_of(48)
    images = raw_images(1, 37, 90)
    before = model.predict(images, verbose=0)["segmentation"]
    model.working_size = "native"
    try:
        assert model.working_size is None
        native = model.predict(images, verbose=0)["segmentation"]
        np.testing.assert_array_equal(native.argmax(-1), model.segment(images))
        assert (native != before).any()
    finally:
        model.working_size = 48


@pytest.mark.slow
def test_images_are_evaluated_without_xla_which_has_no_kernel_for_antialiasing(model_of, rng):
    model, compiled = model_of(48), model_of(48, run_eagerly=False, jit_compile=True)
    images, masks = raw_images(2, 37, 50), rng.integers(0, CLASSES, (2, 37, 50))
    expected, found = (m.evaluate(images, masks, verbose=0) for m in (model, compiled))
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    expected, found = (m.predict(images, verbose=0) for m in (model, compiled))
    for name, logits in expected.items():
        np.testing.assert_allclose(found[name], logits, rtol=1e-3, atol=1e-4)
    assert compiled.jit_compile  # for training


@pytest.mark.filterwarnings("ignore")  # a generator has no known number of batches
def test_steps_traced_for_images_of_unknown_size_compute_the_same(model_of, rng):
    images, masks = raw_images(2, 37, 50), rng.integers(0, CLASSES, (2, 37, 50))
    spec = (tf.TensorSpec((2, None, None, 3), tf.uint8), tf.TensorSpec((2, None, None), tf.int64))
    data = tf.data.Dataset.from_generator(lambda: [(images, masks)], output_signature=spec)
    expected = model_of(48).evaluate(images, masks, verbose=0)
    found = model_of(48, run_eagerly=False).evaluate(data, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_training_and_calls_take_images_as_they_are(tiny_backbone, randomize, rng):
    images, masks = raw_images(2, 24, 32), rng.integers(0, CLASSES, (2, 24, 32))
    losses, logits = [], []
    for working_size in (None, 16):
        keras.utils.set_random_seed(0)
        model = randomize(EncNet(tiny_backbone(), CLASSES, channels=8, working_size=working_size))
        logits.append(model(images)["segmentation"])
        model.compile("sgd", run_eagerly=True, **objectives(model))
        losses.append(model.train_on_batch(images, masks))
    np.testing.assert_array_equal(*logits)
    np.testing.assert_array_equal(*losses)


def test_checks_of_masks_are_as_strict(model_of, rng):
    model = model_of(48)
    images, masks = raw_images(2, 37, 50), rng.integers(0, CLASSES, (2, 48, 48))
    with pytest.raises(ValueError, match="height and width of the images"):
        model.evaluate(images, masks, verbose=0)


def test_a_photo_of_12_megapixels_is_seen_at_the_working_size(model_of, monkeypatch):
    model = model_of(48)
    photo = np.zeros((3000, 4000, 3), "uint8")
    outputs, seen = model._compiled_segmentation, []
    outputs(photo[None, :1], size=(1, 48))  # traces
    predict = outputs._predictions
    monkeypatch.setattr(
        outputs, "_predictions", lambda *x: (seen.append(x[0].shape), predict(*x))[1]
    )
    assert model.segment(photo).shape == (3000, 4000)
    assert seen == [(1, 36, 48, 3)]


@pytest.mark.parametrize("size", [0, "large", (1, 2, 3), 2.0])
def test_other_sizes_are_refused(size, model_of):
    model = model_of(48)
    with pytest.raises(ValueError, match="`working_size` must be.*Received: working_size="):
        model.working_size = size
    with pytest.raises(ValueError, match="`size` must be.*Received: size="):
        model.segment(raw_images(1, 9, 9), size=size)
    assert model.working_size == 48


def test_networks_of_a_fixed_size_have_no_working_size():
    images = keras.Input((24, 32, 3), name="images")
    stages = {f"stage{i}": keras.layers.Conv2D(4, 3, 8, "same")(images) for i in range(1, 5)}
    backbone = keras.Model(images, stages)
    with pytest.raises(ValueError, match="24 x 32 pixels only.*Received: working_size=16"):
        EncNet(backbone, CLASSES, channels=8, working_size=16)
    model = EncNet(backbone, CLASSES, channels=8)
    assert model.segment(raw_images(1, 24, 32)).shape == (1, 24, 32)
    with pytest.raises(ValueError, match="Received: size=16"):
        model.segment(raw_images(1, 24, 32), size=16)
