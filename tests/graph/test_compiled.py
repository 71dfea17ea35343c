"""Compiled outputs are those of the model: whole, in windows, and after changes of its layers."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_encnet.graph import compiled
from keras_encnet.graph.compiled import CompiledOutputs
from keras_encnet.graph.folding import run_folded
from keras_encnet.layers import BatchNormalization, BilinearUpsampling
from tests.fixtures import NETWORKS, assert_same_classes


@pytest.fixture
def images(rng):
    return rng.normal(size=(3, 29, 23, 3)).astype("float32")


def network(align_corners=False, stride=4):
    """A network whose logits do not depend on pixels outside of patches of 4x4."""
    x = inputs = keras.Input((None, None, 3))
    x = logits = layers.Conv2D(5, 4, strides=stride, name="logits")(x)
    x = BilinearUpsampling(align_corners, name="up")(x, inputs)
    mean = layers.GlobalAveragePooling2D()(logits)
    return keras.Model(inputs, {"segmentation": x, "presence": mean})


def upsampled(model, image):
    return np.asarray(model(image[None])["segmentation"])[0]


@pytest.mark.parametrize("align_corners", [False, True])
def test_whole_images_give_the_arg_max_and_the_other_outputs(images, align_corners):
    model = network(align_corners)
    outputs = CompiledOutputs(model, model.output)(images)
    assert outputs["classes"].dtype == "uint8"
    np.testing.assert_array_equal(outputs["classes"], np.argmax(model(images)["segmentation"], -1))
    np.testing.assert_allclose(outputs["presence"], model(images)["presence"], 1e-5, 1e-6)


def test_logits_without_upsampling_are_unchanged(images):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, {"segmentation": layers.Conv2D(5, 3, padding="same")(inputs)})
    classes = CompiledOutputs(model, model.output)(images)["classes"]
    np.testing.assert_array_equal(classes, np.argmax(model(images)["segmentation"], -1))


def blended(model, image, window, stride):
    """The mean of the logits of windows, weighted by distances from their borders, in float64."""
    total, weights = np.zeros((29, 23, 5)), np.zeros((29, 23, 1))
    sides = [min(side, window) for side in (29, 23)]
    distances = [np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) for n in sides]
    weight = np.multiply.outer(*distances)[..., None]
    for top in sorted({min(i, 29 - sides[0]) for i in range(0, 29, stride)}):
        for left in sorted({min(i, 23 - sides[1]) for i in range(0, 23, stride)}):
            area = np.s_[top : top + sides[0], left : left + sides[1]]
            total[area] += weight * upsampled(model, image[area])
            weights[area] += weight
    return total / weights


@pytest.mark.parametrize(
    ("window", "overlap", "align_corners"),
    [(12, 4, False), (12, 4, True), (8, 0, False), (16, 13, True), (28, None, False)],
)
def test_windows_are_blended_where_they_overlap(
    images, window, overlap, align_corners, monkeypatch
):
    monkeypatch.setattr(compiled, "BAND_VALUES", 3 * 23 * 5)  # three rows at a time
    model = network(align_corners)
    outputs = CompiledOutputs(model, model.output)
    classes = outputs(images[:2], window, overlap)["classes"]
    found = outputs(images[:2], window, overlap, probabilities=True)["probabilities"]
    assert found.dtype == "float32"
    stride = window - (window // 4 if overlap is None else overlap)
    for image, ids, probabilities in zip(images[:2], classes, found, strict=True):
        logits = blended(model, image, window, stride)
        assert_same_classes(ids, logits, margin=1e-4)
        np.testing.assert_allclose(probabilities, tf.nn.softmax(logits), atol=1e-5)


def test_other_outputs_are_the_maximum_over_windows(images):
    model = network()
    presence = CompiledOutputs(model, model.output)(images[:1], 12, 4)["presence"]
    corners = itertools.product((0, 8, 16, 17), (0, 8, 11))
    windows = np.stack([images[0, i : i + 12, j : j + 12] for i, j in corners])
    np.testing.assert_allclose(presence[0], np.max(model(windows)["presence"], 0), 1e-5, 1e-6)


def test_rows_are_yielded_from_the_top(images):
    model = network()
    outputs = CompiledOutputs(model, model.output)
    rows, others = outputs.rows(images[0], 12, 4)
    rows, whole = [*rows], outputs(images[:1], 12, 4)
    assert [len(part) for part in rows] == [8, 4, 4, 1, 3, 8, 1]
    np.testing.assert_array_equal(np.concatenate(rows), whole["classes"][0])
    np.testing.assert_array_equal(others["presence"], whole["presence"])


def test_probabilities_of_entire_images_are_the_softmax_of_logits(images):
    model = network()
    probabilities = CompiledOutputs(model, model.output)(images, probabilities=True)
    assert set(probabilities) == {"probabilities", "presence"}
    expected = tf.nn.softmax(model(images)["segmentation"])
    np.testing.assert_allclose(probabilities["probabilities"], expected, atol=1e-5)


def test_borders_of_windows_leave_no_seams():
    """Where windows disagree completely, classes change halfway between them."""
    inputs = keras.Input((None, None, 3))
    side = layers.GlobalAveragePooling2D(keepdims=True)(inputs)[..., :2]
    model = keras.Model(inputs, {"segmentation": side + 0 * inputs[..., :2]})
    image = np.zeros((20, 32, 3), "float32")
    image[:, :12, 0], image[:, 20:, 1] = 8.0, 8.0
    outputs = CompiledOutputs(model, model.output)
    probabilities = outputs(image[None], 20, 8, probabilities=True)["probabilities"][0, ..., 1]
    np.testing.assert_allclose(probabilities, probabilities[:1].repeat(20, 0), atol=1e-6)
    steps = np.diff(probabilities[0])
    assert (steps >= 0).all()
    # From one window to the other in eight equal steps of the logits, 4.8 apart each way.
    logits = np.log(probabilities[0] / (1 - probabilities[0]))
    expected = np.interp(np.arange(32), (11.5, 19.5), (-4.8, 4.8))
    np.testing.assert_allclose(logits, expected, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(58, 46), (17, 14), (29, 23)])
def test_windows_of_resized_images_give_class_ids_of_the_own_size(size, align_corners):
    # Logits of single pixels of smooth images hardly depend on windows.
    x = inputs = keras.Input((None, None, 3))
    x = BilinearUpsampling(align_corners)(layers.Conv2D(5, 1)(x), inputs)
    outputs = CompiledOutputs(keras.Model(inputs, {"segmentation": x}), {"segmentation": x})
    coarse = np.random.default_rng(0).normal(size=(1, 4, 3, 3))
    images = tf.image.resize(coarse, (29, 23), "bicubic").numpy()
    whole = outputs(images, size=size)["classes"]
    assert len(np.unique(whole)) > 2
    for window, overlap in [(9, 4), (12, 0), (size[0] - 1, None)]:
        classes = outputs(images, window, overlap, size)["classes"]
        assert classes.shape == (1, 29, 23)
        assert (classes == whole).mean() > 0.97


def test_image_that_fits_into_a_window_is_not_split(images):
    model = network()
    outputs = CompiledOutputs(model, model.output)
    np.testing.assert_array_equal(outputs(images, 29, 8)["classes"], outputs(images)["classes"])


def test_batches_are_bounded_by_their_pixels(images, monkeypatch):
    monkeypatch.setattr(compiled, "BATCH_PIXELS", 2 * 29 * 23)
    model = network()
    outputs = CompiledOutputs(model, model.output)
    whole, sizes = outputs._of_batch, []
    monkeypatch.setattr(outputs, "_of_batch", lambda *x: (sizes.append(len(x[0])), whole(*x))[1])
    assert outputs(images)["classes"].shape == (3, 29, 23)
    assert sizes == [2, 1]


@pytest.mark.parametrize(
    ("window", "overlap", "message"),
    [
        (0, None, "`window` must be an integer of at least 1. Received: window=0"),
        (64.0, None, "`window`.*Received: window=64.0"),
        (16, 16, "`overlap` must be an integer from 0 to 15. Received: overlap=16"),
        (16, -1, "`overlap`.*Received: overlap=-1"),
        (None, 4, "`overlap` requires `window`. Received: overlap=4"),
    ],
)
def test_windows_out_of_range_raise_an_error(images, window, overlap, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        CompiledOutputs(model, model.output)(images, window, overlap)


def enable_lora(layer):
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.arange(10).reshape(2, 5))


CHANGES = {
    "activation": lambda layer: setattr(layer, "activation", keras.ops.negative),
    "strides": lambda layer: setattr(layer, "strides", (2, 2)),
    "lora": enable_lora,
    "call": lambda layer: setattr(
        layer, "call", lambda x: -tf.nn.conv2d(x, layer.kernel, 4, "VALID")
    ),
    "weights": lambda layer: layer.bias.assign([0, 0, 100, 0, 0]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_outputs_follow_changes_of_a_layer(images, change):
    model = network()
    outputs = CompiledOutputs(model, model.output)
    before = outputs(images)["classes"]
    CHANGES[change](model.get_layer("logits"))
    after = outputs(images)["classes"]
    np.testing.assert_array_equal(after, np.argmax(model(images)["segmentation"], -1))
    assert (after != before).any()


def test_graph_is_traced_once_for_all_sizes_and_weights(images):
    model = network()
    traces = []
    call = model.get_layer("logits").call
    model.get_layer("logits").call = lambda x: (traces.append(x), call(x))[1]
    outputs = CompiledOutputs(model, model.output)
    for height in (8, 16, 29):
        outputs(images[:, :height])
        model.set_weights([2 * weight for weight in model.get_weights()])
        model.trainable = model.trainable
        model.compile("sgd")
    assert len(traces) == 1


class Offset(layers.Layer):
    """Adds numbers that a graph holds as constants."""

    def __init__(self, offsets, **kwargs):
        super().__init__(**kwargs)
        self.offsets = np.array(offsets, "float32")
        self.scales = {"scale": 1.0}

    def call(self, x):
        return x * self.scales["scale"] + self.offsets


@pytest.mark.parametrize("kind", ["array", "dict"])
def test_changed_collection_is_traced_again(images, kind):
    inputs = keras.Input((None, None, 3))
    offset = Offset([0.0, 0.0, 0.0])
    model = keras.Model(inputs, {"segmentation": offset(inputs)})
    outputs = CompiledOutputs(model, model.output)
    outputs(images)
    if kind == "array":
        offset.offsets[1] = 100.0
    else:
        offset.scales["scale"] = -1.0
    classes = outputs(images)["classes"]
    np.testing.assert_array_equal(classes, np.argmax(model(images)["segmentation"], -1))


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_within_the_graph_keeps_the_outputs(name, randomize, rng):
    model = randomize(NETWORKS[name]())
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    run = tf.function(lambda x: run_folded(model, x))
    for folded, output in zip(*map(tf.nest.flatten, (run(images), model(images))), strict=True):
        np.testing.assert_allclose(folded, output, rtol=1e-3, atol=1e-4 * np.abs(output).max())


@pytest.mark.parametrize("norm", [layers.BatchNormalization, BatchNormalization])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
@pytest.mark.parametrize("kind", ["convolution", "depthwise"])
def test_folding_within_the_graph_reads_current_weights(norm, options, kind, randomize, rng):
    x = inputs = keras.Input((None, None, 3))
    if kind == "convolution":
        x = layers.Conv2D(4, 3, padding="same", dilation_rate=2, name="conv")(x)
    else:
        x = layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2, name="conv")(x)
    model = keras.Model(inputs, norm(**options)(x))
    run = tf.function(lambda x: run_folded(model, x))
    images = rng.normal(size=(2, 9, 9, 3)).astype("float32")
    for seed in range(2):
        randomize(model, seed=seed)
        np.testing.assert_allclose(run(images), model(images), 1e-4, 1e-5)
    names = {node.op.type for node in [run.get_concrete_function(images).outputs[0]]}
    assert names <= {"Identity", "BiasAdd"}
