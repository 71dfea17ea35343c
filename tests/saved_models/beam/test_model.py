"""Exported models in Beam: batches, limits and errors."""

import json

import numpy as np
import pytest
import tensorflow as tf

import keras_encnet
from keras_encnet.export import export_saved_model
from saved_models.beam.model import SavedModelHandler, ServedModel
from tests.fixtures import raw_images


@pytest.fixture(scope="module")
def model(models):
    return ServedModel(str(models / "2"))


@pytest.fixture(scope="module")
def images():
    return [tf.io.encode_png(image).numpy() for image in raw_images(3, 20, 24)]


def test_batches_predict_what_single_images_do(model, images):
    single = [model.predict([image])[0] for image in images]
    for one, other in zip(single, model.predict(images), strict=True):
        assert one.mask == other.mask
        assert one.outputs["presence"] == pytest.approx(other.outputs["presence"])


def test_image_that_fails_does_not_fail_its_batch(model, images):
    kinds = [prediction.error for prediction in model.predict([images[0], b"no image", images[1]])]
    assert kinds[::2] == [None, None]
    assert kinds[1].startswith("Not a JPEG")


def test_batch_that_fails_is_repeated_image_by_image(model, images):
    # More than the limit of the export, which its graph refuses.
    predictions = model.predict([*images, images[0]])
    assert [prediction.error for prediction in predictions] == [None] * 4
    assert predictions[0] == predictions[3]
    [refused] = model.predict([b"\xff" * 6000])
    assert "5000" in refused.error


def test_handler_batches_up_to_the_limit_of_the_export(models, images):
    handler = SavedModelHandler(str(models / "2"), 3)
    assert handler.batch_elements_kwargs()["max_batch_size"] == 3
    assert handler.load_model() is handler.load_model()  # the launcher and its worker share it
    assert len(handler.run_inference(images, handler.load_model())) == 3
    assert handler.get_num_bytes([b"ab", b"c"]) == 3


def test_outputs_that_are_not_finite_are_an_error(model):
    prediction = model._prediction(b"ok", presence=np.full(3, np.nan))
    assert "not finite" in prediction.error


@pytest.mark.slow
def test_classifiers_have_records_without_masks(tmp_path, images):
    classifier = keras_encnet.ResNet14(width=2)
    classifier.class_names = [f"class {i}" for i in range(classifier.classes)]
    export_saved_model(classifier, tmp_path / "1")
    model = ServedModel(str(tmp_path / "1"))
    assert not model.has_masks
    [prediction] = model.predict(images[:1])
    assert prediction.mask is None
    outputs = json.loads(json.dumps(prediction.outputs))
    assert outputs["class_name"] == max(outputs["probabilities"], key=outputs["probabilities"].get)


def test_other_saved_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="incomplete or damaged.*Received: model="):
        ServedModel(str(tmp_path))
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(ValueError, match="saved_models.export` has written.*Received: model="):
        ServedModel(str(tmp_path / "other"))
