"""The diagnostics distinguish a module that learns from one that does not."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from keras_encnet import EncNet, EncNet14, objectives
from keras_encnet.callbacks import ContextDiagnostics

CLASSES = 3


@pytest.fixture
def data(rng):
    """Images of one class each, shown by their color; the last is not labeled."""
    classes = np.arange(9) % CLASSES
    masks = np.broadcast_to(classes[:, None, None], (9, 16, 16)).copy()
    images = np.eye(3)[classes][:, None, None] + 0.1 * rng.normal(size=(9, 16, 16, 3))
    masks[-1] = 255
    return (120 + 60 * images).clip(0, 255).astype("float32"), masks


@pytest.fixture
def network(tiny_backbone):
    def build(**options):
        options = {"num_codewords": 4, "channels": 8, "auxiliary": "none", **options}
        model = EncNet(tiny_backbone(), CLASSES, **options)
        # Eager, since most tests train for a few steps only.
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True, **objectives(model))
        return model

    return build


def fit(model, data, diagnostics, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*data, batch_size=3, shuffle=False, verbose=0, callbacks=[diagnostics], **options)
    return [str(w.message) for w in caught if "codewords" in str(w.message)]


def test_diagnostics_match_the_outputs_of_the_layers(network, data):
    model = network()
    diagnostics = ContextDiagnostics([data])
    fit(model, data, diagnostics, epochs=1)
    (numbers,) = diagnostics.history
    outputs = keras.Model(
        model.input,
        [
            model.get_layer("context_encoding").input,
            model.get_layer("context_mean").output,
            model.output["presence"],
        ],
    )
    features, code, logits = outputs(data[0], training=False)
    assignment = np.asarray(model.get_layer("context_encoding").assignment(features))
    gates = model.get_layer("context_attention").gates(4 * code).numpy()
    shares = assignment.mean((0, 1))
    assert numbers["step"] == 3
    assert numbers["context_encoding/live_codewords"] == (shares >= 0.025).sum()
    assert numbers["context_encoding/largest_share"] == pytest.approx(shares.max(), rel=1e-5)
    assert 0 <= numbers["context_encoding/assignment_entropy"] <= 1 + 1e-6
    assert numbers["context_attention/gate_mean"] == pytest.approx(gates.mean(), rel=1e-4)
    spread = gates.std(0).mean()
    assert numbers["context_attention/gate_spread_images"] == pytest.approx(spread, rel=1e-3)
    # The unlabeled image is left out.
    truth = np.eye(CLASSES)[np.arange(8) % CLASSES]
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)(truth, logits[:8])
    assert numbers["presence/se_loss"] == pytest.approx(float(entropy), rel=1e-4)


def test_batches_may_have_a_trailing_axis_and_weights(network, data):
    images, masks = data
    model = network()
    histories = []
    for batch in (data, (images, masks[..., None]), (images, masks, np.ones(len(images)))):
        diagnostics = ContextDiagnostics([batch])
        diagnostics.set_model(model)
        diagnostics.on_train_begin()
        diagnostics.on_epoch_end(0)
        histories.append(diagnostics.history)
    assert histories[0] == histories[1] == histories[2]


def test_measures_every_few_steps_and_at_the_end_of_epochs(network, data):
    diagnostics = ContextDiagnostics([data], every=2)
    fit(network(), data, diagnostics, epochs=2)
    assert [numbers["step"] for numbers in diagnostics.history] == [2, 3, 4, 6]


def test_even_assignment_has_entropy_one_and_only_live_codewords(network, data):
    model = network()
    model.get_layer("context_encoding").scale.assign([0.0] * 4)
    model.get_layer("context_encoding").trainable = False
    diagnostics = ContextDiagnostics([data])
    assert not any("live" in message for message in fit(model, data, diagnostics))
    numbers = diagnostics.history[-1]
    assert numbers["context_encoding/assignment_entropy"] == pytest.approx(1, abs=1e-6)
    assert numbers["context_encoding/largest_share"] == pytest.approx(1 / 4, abs=1e-6)
    assert numbers["context_encoding/live_codewords"] == 4


def test_dead_codewords_raise_a_warning(network, data):
    model = network()
    model.get_layer("context_encoding").scale.assign([0.0, -1e6, -1e6, -1e6])
    model.get_layer("context_encoding").trainable = False
    messages = fit(model, data, ContextDiagnostics([data]))
    (message,) = [m for m in messages if "1 of the 4 codewords of 'context_encoding' are live" in m]
    assert "aggregation=" not in message  # it is on


def test_presence_below_the_base_rates_raises_a_warning_after_the_first_epoch(network, data):
    model = network()
    model.get_layer("presence").trainable = False
    diagnostics = ContextDiagnostics([data])
    assert not any("base rates" in message for message in fit(model, data, diagnostics, epochs=1))
    messages = fit(model, data, diagnostics, epochs=2, initial_epoch=1)
    assert any(
        "'presence' does not beat the base rates: its SE-loss is 0.693" in m for m in messages
    )


def test_base_rates_of_one_image_do_not_describe_it_without_a_loss(network, data):
    model = network()
    presence = model.get_layer("presence")
    presence.trainable = False
    images, masks = (part[:1] for part in data)
    # Confident, and right.
    bias = np.where(np.isin(np.arange(model.classes), masks), 3.0, -3.0)
    presence.set_weights([np.zeros(presence.kernel.shape), bias])
    diagnostics = ContextDiagnostics([(images, masks)])
    messages = fit(model, data, diagnostics, epochs=2, initial_epoch=1)
    assert diagnostics.history[-1]["presence/base_rate_loss"] < 1e-6
    assert not any("base rates" in message for message in messages)


@pytest.mark.slow
def test_improving_presence_raises_no_warning(network, data):
    model = network()
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=True, **objectives(model, se_weight=1))
    model.fit(*data, batch_size=3, shuffle=False, verbose=0, epochs=11)
    diagnostics = ContextDiagnostics([data])
    messages = fit(model, data, diagnostics, epochs=12, initial_epoch=11)
    assert not any("base rates" in message for message in messages)
    numbers = diagnostics.history[-1]
    assert numbers["presence/se_loss"] < numbers["presence/base_rate_loss"]
    assert numbers["presence/average_precision"] == pytest.approx(1)


def test_every_value_is_written_to_tensorboard(network, data, tmp_path):
    diagnostics = ContextDiagnostics(tf.data.Dataset.from_tensors(data), log_dir=tmp_path)
    fit(network(), data, diagnostics)
    (file,) = tmp_path.iterdir()
    tags = set()
    for record in tf.data.TFRecordDataset(str(file)):
        event = event_pb2.Event.FromString(record.numpy())
        tags |= {value.tag for value in event.summary.value}
    assert tags == {f"context/{name}" for name in diagnostics.history[-1] if name != "step"}


def test_classifiers_are_measured_without_masks(rng):
    images, labels = rng.integers(0, 256, (4, 32, 32, 3)).astype("uint8"), np.arange(4)
    model = EncNet14(width=4, num_codewords=2)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    diagnostics = ContextDiagnostics([images])
    model.fit(images, labels, verbose=0, callbacks=[diagnostics])
    assert sum(name.endswith("live_codewords") for name in diagnostics.history[-1]) > 1


def test_interval_holds_with_several_steps_per_execution(network, data):
    model = network()
    model.compile("sgd", steps_per_execution=2, **objectives(model))
    diagnostics = ContextDiagnostics([data], every=3)
    dataset = tf.data.Dataset.from_tensors(data).repeat()
    model.fit(dataset, steps_per_epoch=10, verbose=0, callbacks=[diagnostics])
    # After the first call that reaches each multiple of 3, and at the end of the epoch.
    assert [values["step"] for values in diagnostics.history] == [4, 6, 10]


def test_unlabeled_masks_give_no_presence_scores(network, data):
    images, masks = data
    diagnostics = ContextDiagnostics([(images, np.full_like(masks, 255))])
    assert not fit(network(), data, diagnostics)
    assert not any(name.startswith("presence") for name in diagnostics.history[-1])


def test_model_without_the_module_raises_an_error(data):
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Dense(CLASSES)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="Expected a model with Encoding.*Received: model="):
        model.fit(data[0], data[0], verbose=0, callbacks=[ContextDiagnostics([data])])


def test_empty_batches_raise_an_error(network, data):
    with pytest.raises(ValueError, match="Expected at least one batch"):
        fit(network(), data, ContextDiagnostics([]))


@pytest.mark.parametrize("every", [0, -1, 2.5])
def test_interval_must_be_a_positive_integer(data, every):
    with pytest.raises(ValueError, match=f"Received: every={every}"):
        ContextDiagnostics([data], every=every)
