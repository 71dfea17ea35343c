"""SGD matches PyTorch, and the schedule matches the paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import EncNet
from keras_encnet.optimizers import SGD, PolySchedule


def poly(step, initial, steps, power, warmup_steps=0):
    rate = initial * max(1 - step / steps, 0) ** power
    return rate * min((step + 1) / warmup_steps, 1) if warmup_steps else rate


@pytest.fixture
def network():
    """Two layers with random weights."""
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, name="body")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(hidden))


def gradients_of(model, rng):
    return [rng.normal(size=weight.shape).astype("float32") for weight in model.weights]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_steps_match_pytorch(rng, network, momentum, l2):
    optimizer = SGD(PolySchedule(0.5, steps=8), momentum, l2, multipliers={"head": 10})
    expected = [weight.numpy().astype("float64") for weight in network.weights]
    velocities = [np.zeros_like(value) for value in expected]
    for step in range(6):
        gradients = gradients_of(network, rng)
        optimizer.apply(gradients, network.trainable_variables)
        for i, (weight, gradient) in enumerate(zip(network.weights, gradients, strict=True)):
            rate = poly(step, 0.5, 8, 0.9) * (10 if weight.path.startswith("head") else 1)
            # torch.optim.SGD adds the decay to the gradient and keeps the rate out of the velocity.
            velocities[i] = momentum * velocities[i] + gradient + l2 * expected[i]
            expected[i] -= rate * velocities[i]
    for weight, value in zip(network.weights, expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_matches_keras_sgd_at_a_constant_rate_without_decay(rng, network, momentum):
    initial = network.get_weights()
    ends = []
    for optimizer in (SGD(0.1, momentum), keras.optimizers.SGD(0.1, momentum)):
        network.set_weights(initial)
        draw = np.random.default_rng(1)
        for _ in range(5):
            optimizer.apply(gradients_of(network, draw), network.trainable_variables)
        ends.append(network.get_weights())
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_multiplier_applies_to_every_variable_of_its_layers(tiny_backbone):
    model = EncNet(tiny_backbone(), classes=3, num_codewords=4, channels=8)
    optimizer = SGD(1.0, momentum=0, multipliers=dict.fromkeys(model.head_layers, 10))
    before = [weight.numpy() for weight in model.trainable_weights]
    optimizer.apply([np.ones(value.shape) for value in before], model.trainable_weights)
    for weight, value in zip(model.trainable_weights, before, strict=True):
        backbone = weight.path.split("/")[0] in model.backbone_layers
        np.testing.assert_allclose(value - weight, 1 if backbone else 10, rtol=1e-5)


def test_multiplier_of_an_unknown_layer_raises_a_warning(network):
    optimizer = SGD(0.1, multipliers={"head": 10, "haed": 10})
    with pytest.warns(UserWarning, match="Received: 'haed'$"):
        optimizer.build(network.trainable_variables)


def test_compiled_step_follows_the_schedule(network, rng):
    # Rates of 1, 0.5, and 0 from then on.
    network.compile(SGD(PolySchedule(1.0, steps=2, power=1.0), momentum=0), "mse")
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    network.fit(x, y, batch_size=4, verbose=0)
    trained = network.get_weights()
    network.fit(x, y, batch_size=4, verbose=0)
    for weight, value in zip(network.weights, trained, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_loaded_model_continues_with_its_velocities(network, rng, tmp_path):
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    optimizer = SGD(PolySchedule(0.1, steps=10), l2=0.1, multipliers={"head": 10})
    network.compile(optimizer, "mse", run_eagerly=True)
    network.fit(x, y, epochs=2, shuffle=False, verbose=0)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for model in (network, loaded):
        model.run_eagerly = True
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(network.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.1),
        SGD(
            PolySchedule(0.1, 10, warmup_steps=2),
            momentum=0.5,
            l2=0.01,
            multipliers={"head": 10.0},
            name="mine",
            clipnorm=1.0,
        ),
    ],
)
def test_config_round_trip(optimizer):
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is SGD
    assert again.get_config() == optimizer.get_config()
    assert (again.momentum, again.l2) == (optimizer.momentum, optimizer.l2)
    assert again.multipliers == optimizer.multipliers


@pytest.mark.parametrize(
    ("argument", "value"), [("momentum", 1.0), ("momentum", -0.1), ("l2", -1e-4)]
)
def test_momentum_and_decay_out_of_range_raise_an_error(argument, value):
    with pytest.raises(ValueError, match=f"Received: {argument}={value}"):
        SGD(**{argument: value})


@pytest.mark.parametrize("warmup_steps", [0, 1, 20])
@pytest.mark.parametrize("power", [0.9, 1.0, 2.0])
def test_schedule_decays_to_zero_and_stays_there(power, warmup_steps):
    schedule = PolySchedule(0.01, 100, power, warmup_steps)
    for step in (0, 1, 10, 19, 20, 50, 99, 100, 101, 10**6):
        expected = poly(step, 0.01, 100, power, warmup_steps)
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert float(schedule(99)) > 0
    assert float(schedule(100)) == float(schedule(101)) == 0


def test_schedule_can_be_traced():
    schedule = PolySchedule(0.01, 100)
    traced = tf.function(schedule, input_signature=[tf.TensorSpec((), tf.int64)])
    assert float(traced(tf.constant(50, tf.int64))) == pytest.approx(0.01 * 0.5**0.9)


def test_schedule_config_round_trip():
    schedule = PolySchedule(0.01, 100, 0.8, 5)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert type(again) is PolySchedule
    assert [float(again(s)) for s in range(9)] == [float(schedule(s)) for s in range(9)]


def test_negative_multipliers_raise_an_error():
    with pytest.raises(ValueError, match="Received: multipliers={'head': -10}"):
        SGD(0.1, multipliers={"head": -10})


@pytest.mark.parametrize("power", [0, -1.0])
def test_schedule_rejects_powers_that_are_not_positive(power):
    with pytest.raises(ValueError, match=f"Received: power={power}"):
        PolySchedule(0.01, 10, power)


@pytest.mark.parametrize(("steps", "warmup_steps"), [(0, 0), (-1, 0), (10, 10), (10, -1)])
def test_schedule_rejects_impossible_lengths(steps, warmup_steps):
    with pytest.raises(ValueError, match=f"steps={steps}, warmup_steps={warmup_steps}"):
        PolySchedule(0.01, steps, warmup_steps=warmup_steps)


def test_deferred_averaging_spans_several_fits(network, rng):
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    network.compile(SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    initial = network.get_weights()
    network.fit(x, y, epochs=4, shuffle=False, verbose=0)
    expected = network.get_weights()
    network.set_weights(initial)
    network.compile(SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    with network.optimizer.deferred_averaging(network):
        network.fit(x, y, epochs=2, shuffle=False, verbose=0)
        network.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for weight, value in zip(network.weights, expected, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_swapping_averages_twice_restores_every_bit(network, rng):
    optimizer = SGD(0.3, use_ema=True, ema_momentum=0.9)
    for _ in range(3):
        optimizer.apply(gradients_of(network, rng), network.trainable_variables)
    weights = network.get_weights()
    optimizer.swap_averages(network.trainable_variables)
    averages = network.get_weights()
    optimizer.swap_averages(network.trainable_variables)
    for weight, value, average in zip(network.weights, weights, averages, strict=True):
        np.testing.assert_array_equal(weight, value)
        assert np.any(value != average)
