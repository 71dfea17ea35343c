"""`SegmentationModel` segments raw images, is saved with its attributes, and lists its layers."""

import keras
import numpy as np
import pytest

from keras_encnet import FCN, objectives, preprocess_input
from keras_encnet.backbones import ResNet
from tests.fixtures import CLASSES, assert_same_classes, assert_unchanged, weights_of


def balance(model, images):
    """Centers the logits of all classes, so that no class covers every pixel."""
    logits = model(images)["segmentation"]
    model.get_layer("segmentation_logits").bias.assign_sub(np.mean(logits, (0, 1, 2)))


def raw_images(*shape):
    return np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype("uint8")


@pytest.mark.parametrize("mode", ["torch", "caffe", "tf"])
def test_segment_is_the_argmax_of_logits_of_normalized_images(fcn, randomize, mode):
    model = randomize(fcn(preprocessing=mode))
    images = raw_images(2, 17, 23)
    balance(model, images)
    inner = fcn(include_preprocessing=False)
    inner.set_weights(model.get_weights())
    normalized = preprocess_input(images, mode)
    logits = inner(normalized)["segmentation"]
    np.testing.assert_array_equal(inner.segment(normalized), np.argmax(logits, -1))
    labels = model.segment(images)
    assert labels.dtype == "uint8"
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels, np.argmax(logits, -1))


def test_segment_accepts_an_image_a_batch_or_a_list(fcn, randomize):
    model = randomize(fcn())
    images = raw_images(11, 17, 23)
    balance(model, images)
    batch = model.segment(images)
    assert batch.shape == (11, 17, 23)
    np.testing.assert_array_equal(model.segment(images[3]), batch[3])
    listed = model.segment([images[0], images[1, :9, :5]])
    assert [labels.shape for labels in listed] == [(17, 23), (9, 5)]
    np.testing.assert_array_equal(listed[0], batch[0])
    np.testing.assert_array_equal(listed[1], model.segment(images[1, :9, :5]))


def test_segment_accepts_a_single_pixel(fcn):
    assert fcn().segment(raw_images(1, 1)).shape == (1, 1)


def test_segment_accepts_floats_in_0_to_255(fcn, randomize):
    model = randomize(fcn())
    images = raw_images(17, 23)
    for dtype in ("float32", "float64", "int32"):
        np.testing.assert_array_equal(model.segment(images.astype(dtype)), model.segment(images))
    # A black image does not indicate a wrong range.
    assert model.segment(np.zeros((4, 4, 3), "float32")).shape == (4, 4)


def test_segment_uses_the_current_weights(fcn, randomize):
    model = randomize(fcn(), seed=0)
    images = raw_images(17, 23)
    first = model.segment(images)
    randomize(model, seed=1)
    second = model.segment(images)
    assert (first != second).any()
    logits = model(images[None])["segmentation"]
    np.testing.assert_array_equal(second, np.argmax(logits, -1)[0])


def change_activation(model, randomize):
    model.get_layer("segmentation_logits").activation = keras.ops.negative


def enable_lora(model, randomize):
    model.get_layer("segmentation_logits").enable_lora(2)
    randomize(model)


def quantize(model, randomize):
    model.quantize("int8")


def set_weights(model, randomize):
    model.set_weights([-weight for weight in model.get_weights()])


def freeze(model, randomize):
    model.trainable = False
    model.compile("sgd")


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
@pytest.mark.parametrize("change", [change_activation, enable_lora, quantize, set_weights, freeze])
def test_segment_follows_changes_of_the_model(encnet, randomize, change):
    model = randomize(encnet())
    images = raw_images(1, 17, 23)
    balance(model, images)
    before = model.segment(images)
    change(model, randomize)
    after = model.segment(images)
    logits = model(images, training=False)["segmentation"]
    assert (after == np.argmax(logits, -1)).mean() > 0.99
    assert (after != before).any() or change in (quantize, freeze)


def test_segment_in_windows_differs_from_entire_images_by_context_only(fcn, randomize):
    model = randomize(fcn())
    images = raw_images(2, 33, 41)
    balance(model, images)
    assert model.segment(images, window=16, overlap=8).shape == (2, 33, 41)
    for window in (64, 41):
        np.testing.assert_array_equal(model.segment(images, window=window), model.segment(images))
    listed = model.segment([images[0]], window=16, overlap=8)
    np.testing.assert_array_equal(listed[0], model.segment(images, window=16, overlap=8)[0])
    with pytest.raises(ValueError, match="`overlap` must be an integer from 0 to 15"):
        model.segment(images, window=16, overlap=16)


@pytest.mark.parametrize("options", [{}, {"window": 16, "overlap": 8}, {"size": 20}])
def test_segment_returns_probabilities(fcn, randomize, options):
    model = randomize(fcn())
    images = raw_images(2, 33, 41)
    balance(model, images)
    probabilities = model.segment(images, probabilities=True, **options)
    assert (probabilities.dtype, probabilities.shape) == ("float32", (2, 33, 41, CLASSES))
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    assert_same_classes(model.segment(images, **options), probabilities)
    if not options:
        expected = keras.ops.softmax(model(images)["segmentation"])
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    [one] = model.segment([images[1]], probabilities=True, **options)
    np.testing.assert_allclose(one, probabilities[1], atol=1e-6)


def test_segment_computes_only_the_segmentation(encnet, monkeypatch):
    model = encnet()
    monkeypatch.setattr(model.get_layer("presence"), "call", lambda code, **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(np.zeros((1, 8, 8, 3), "float32"))
    assert model.segment(raw_images(8, 8)).shape == (8, 8)


def test_more_than_256_classes_are_returned_as_int32(tiny_backbone):
    model = FCN(tiny_backbone(), classes=300)
    model.get_layer("segmentation_logits").bias.assign(np.eye(300)[299] * 100)
    labels = model.segment(raw_images(4, 4))
    assert labels.dtype == "int32"
    assert (labels == 299).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((4, 4, 3), 0.5, "float32"), "scaled to 0 to 1.*Received: values from 0.5 to 0.5"),
        (np.full((4, 4, 3), -1, "int32"), "0 to 255.*Received: values from -1 to -1"),
        (np.full((4, 4, 3), 256.0), "0 to 255.*Received: values from 256.0 to 256.0"),
        (np.full((4, 4, 3), np.nan), "0 to 255.*Received: values from nan"),
        (np.zeros((4, 4, 4), "uint8"), r"RGB.*Received: shape=\(4, 4, 4\)"),
        (np.zeros((4, 4), "uint8"), r"RGB.*Received: shape=\(4, 4\)"),
        (np.zeros((1, 1, 4, 4, 3), "uint8"), r"RGB.*Received: shape=\(1, 1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), "uint8"), r"RGB.*Received: shape=\(0, 4, 3\)"),
        (np.zeros((4, 4, 3), "bool"), "numbers.*Received: dtype=bool"),
        ([np.zeros((4, 4, 3), "uint8"), np.zeros((4, 4), "uint8")], r"Received: shape=\(4, 4\)"),
    ],
)
def test_segment_rejects_anything_but_raw_images(fcn, images, message):
    with pytest.raises(ValueError, match=message):
        fcn().segment(images)


def test_attributes_are_saved_with_the_model(fcn, tmp_path):
    model = fcn(preprocessing="caffe")
    model.class_names = ["sky", "tree", "road"]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.preprocessing == "caffe"
    assert loaded.class_names == ("sky", "tree", "road")
    assert loaded.classes == CLASSES
    assert loaded.backbone_layers == model.backbone_layers
    assert loaded.head_layers == model.head_layers
    images = raw_images(2, 9, 9)
    np.testing.assert_array_equal(loaded.segment(images), model.segment(images))


def test_class_names_default_to_numbers(fcn, tmp_path):
    model = fcn()
    assert model.class_names == ("0", "1", "2")
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").class_names == ("0", "1", "2")


def test_number_of_class_names_must_match_the_classes(fcn):
    with pytest.raises(ValueError, match="each of the 3 classes. Received: 2 names"):
        fcn().class_names = ["sky", "tree"]


def test_loaded_model_continues_training_identically(fcn, data, tmp_path):
    model = fcn(dropout=0)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), run_eagerly=True, **objectives(model))
    model.fit(*data, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        one.run_eagerly = True
        one.fit(*data, shuffle=False, verbose=0)
    assert_unchanged(loaded, weights_of(model))


def test_model_with_fewer_outputs_shares_weights(encnet, randomize):
    model = encnet(preprocessing="tf")
    model.class_names = ["a", "b", "c"]
    part = model.with_outputs(("presence",))
    assert set(part.output) == {"presence"}
    shared = {id(weight) for weight in model.weights}
    assert part.weights
    assert all(id(weight) in shared for weight in part.weights)
    assert len(part.layers) < len(model.layers)
    randomize(model)
    x = np.ones((1, 8, 8, 3), "float32")
    np.testing.assert_array_equal(part(x)["presence"], model(x)["presence"])
    again = model.with_outputs(("segmentation", "presence"))
    assert (again.preprocessing, again.class_names) == ("tf", ("a", "b", "c"))
    assert again.backbone_layers == model.backbone_layers


@pytest.mark.parametrize("outputs", [("segmentation", "depth"), "presence", ()])
def test_unknown_outputs_raise_an_error(fcn, outputs):
    with pytest.raises(
        ValueError, match=r"must name some of \['segmentation'\]. Received: outputs="
    ):
        fcn().with_outputs(outputs)


def test_every_layer_with_weights_belongs_to_backbone_or_head(encnet):
    model = encnet()
    backbone, head = set(model.backbone_layers), set(model.head_layers)
    assert not backbone & head
    assert {layer.name for layer in model.layers if layer.weights} <= backbone | head
    assert {"head_conv", "context_encoding", "segmentation_logits", "presence"} <= head


def test_frozen_batch_normalization_does_not_change(data, tmp_path):
    images, masks = data
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=1 / 16)
    model = FCN(backbone, classes=CLASSES)
    model.freeze_backbone_batch_normalization()
    model.save(tmp_path / "model.keras")
    for trained in (model, keras.models.load_model(tmp_path / "model.keras")):
        before = {weight.path: weight.numpy() for weight in trained.weights}
        trained.compile("sgd", run_eagerly=True, **objectives(trained))
        trained.fit(images, masks, batch_size=2, verbose=0)
        changed = {w.path for w in trained.weights if (w.numpy() != before[w.path]).any()}
        norms = [name for name in trained.backbone_layers if name.endswith("_bn")]
        assert len(norms) == 12
        assert not {path for path in changed if path.split("/")[0] in norms}
        assert {"conv1_conv/kernel", "segmentation_bn/moving_mean"} <= changed


def test_unfrozen_batch_normalization_is_trained(data):
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=1 / 16)
    model = FCN(backbone, classes=CLASSES)
    before = model.get_layer("conv1_bn").moving_mean.numpy()
    model.compile("sgd", run_eagerly=True, **objectives(model))
    model.fit(*data, verbose=0)
    assert (model.get_layer("conv1_bn").moving_mean.numpy() != before).any()
