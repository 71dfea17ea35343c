"""Precision, averaged weights, clipping, idle options, and a loss that isn't finite any more."""

import json

import keras
import numpy as np
import pytest

from tests.fixtures import SMALL_CIFAR, SMALL_ENCNET
from training.configs.cifar10 import CIFAR10EncNet16k64d, CIFAR10ResNet64d
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import cifar, scenes
from training.run import checkpoints, fit
from training.tasks.segmentation_callbacks import CheckPixels


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=8, val=2, test=1))


@pytest.fixture
def small_cifar(monkeypatch, rng):
    images, labels = rng.integers(0, 256, (16, 32, 32, 3)), rng.integers(0, 10, 16)
    split = cifar.Split(
        "train", images.astype("uint8"), labels.astype("int32"), tuple("abcdefghij")
    )
    monkeypatch.setattr(cifar, "read_split", lambda *arguments: split)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_segmentation_trains_in_mixed_precision(precision, data, tmp_path):
    config = ScenesEncNet(data=data, precision=precision, **SMALL_ENCNET)
    check_mixed(config, tmp_path, precision)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_classification_trains_in_mixed_precision(precision, small_cifar, tmp_path):
    check_mixed(
        CIFAR10EncNet16k64d(precision=precision, epochs=1, **SMALL_CIFAR), tmp_path, precision
    )


def check_mixed(config, run_dir, precision):
    before = fit.task_of(config).build_model().get_weights()
    model, history = fit.train(config, run_dir)
    assert all(np.isfinite(values).all() for values in history.values())
    assert any((one != other).any() for one, other in zip(before, model.get_weights(), strict=True))
    # The convolutions in half the bits, the weights and the answers in float32.
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert convolutions[0].compute_dtype == precision
    assert {weight.dtype for weight in model.weights} == {"float32"}
    for output in keras.tree.flatten(model.output):
        assert output.dtype == "float32"
    scales = isinstance(model.optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert scales == (precision == "float16")


def test_averaged_weights_are_saved_and_the_weights_go_on(small_cifar, tmp_path):
    options = {**SMALL_CIFAR, "average_weights": 0.5, "clip_norm": 0.1, "learning_rate": 0.5}
    model, history = fit.train(CIFAR10EncNet16k64d(epochs=3, **options), tmp_path / "run")
    plain, _ = fit.train(
        CIFAR10EncNet16k64d(epochs=3, **{**options, "average_weights": None}), tmp_path / "plain"
    )
    # The checkpoint has the weights, which averaging must not have touched, and the averages.
    again = fit.task_of(CIFAR10EncNet16k64d(**options)).build_model()
    again.compile(fit.optimizer(CIFAR10EncNet16k64d(**options), 6), "mse")
    checkpoints.restore(again, tmp_path / "run" / "checkpoints")
    for one, other in zip(again.weights, plain.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    averages = again.optimizer._model_variables_moving_average
    # The model that is returned and the one that was saved have the averages.
    saved = keras.models.load_model(tmp_path / "run" / "last.keras", compile=False)
    for of_end, of_file, average, weight in zip(
        model.trainable_variables,
        saved.trainable_variables,
        averages,
        again.trainable_variables,
        strict=True,
    ):
        np.testing.assert_array_equal(of_end, average)
        np.testing.assert_array_equal(of_file, average)
        if len(weight.shape) == 4:
            assert np.abs(weight.numpy() - average.numpy()).max() > 0
    split = cifar.read_split()
    answers = saved.classify(split.images).argmax(-1)
    assert history["val_accuracy"][-1] == pytest.approx((answers == split.labels).mean())


def test_a_long_gradient_is_shortened(small_cifar):
    config = CIFAR10EncNet16k64d(clip_norm=0.1, learning_rate=1.0, momentum=0.0, l2=0.0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    optimizer = fit.optimizer(config, steps=10)
    before = np.concatenate([w.numpy().ravel() for w in model.weights])
    optimizer.apply([np.full(w.shape, 100.0, "float32") for w in model.weights], model.weights)
    after = np.concatenate([w.numpy().ravel() for w in model.weights])
    assert np.linalg.norm(after - before) == pytest.approx(0.1, rel=1e-4)


def test_a_loss_that_is_not_finite_stops_training_and_names_step_and_output(data, tmp_path):
    options = {
        **SMALL_ENCNET,
        "epochs": 2,
        "warmup_steps": 0,
        "checkpoint_every": 1,
        "learning_rate": 1e30,
    }
    with pytest.raises(FloatingPointError) as stop:
        fit.train(ScenesEncNet(data=data, **options), tmp_path)
    message = str(stop.value)
    assert "not finite at step 2: " in message
    assert "segmentation_loss is " in message
    assert "The last good checkpoint is that of step 1." in message
    assert "--learning-rate" in message
    (path,) = checkpoints.checkpoints(tmp_path / "checkpoints")
    with np.load(path) as checkpoint:
        assert all(np.isfinite(checkpoint[n]).all() for n in checkpoint.files if n != "progress")
        assert json.loads(str(checkpoint["progress"]))["step"] == 1
    assert not (tmp_path / "last.keras").exists()


def test_validation_that_misses_or_repeats_an_image_is_found(rng):
    from keras_encnet import SegmentationMetrics

    masks = rng.integers(0, 3, (4, 5, 5))
    metric = SegmentationMetrics(3)
    check = CheckPixels(metric, np.bincount(masks.ravel(), minlength=3))
    metric.update_state(masks, rng.integers(0, 3, masks.shape))
    check.on_test_end()
    metric.update_state(masks[:1], masks[:1])
    with pytest.raises(RuntimeError, match="it must see each image exactly once"):
        check.on_test_end()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (ScenesFCN(channels=256, num_codewords=16), "`--channels` and `--num-codewords`"),
        (ScenesFCN(se_weight=0.0), "`--se-weight`"),
        (ScenesFCN(aggregation="sum"), "`--aggregation`"),
        (ScenesFCN(auxiliary_weight=0.4), "`--auxiliary-weight`"),
        (ScenesEncNet(auxiliary_weight=0.4), "`--auxiliary-weight`"),
        (ScenesEncNet(num_codewords=0, codeword_pooling="mean"), "`--codeword-pooling`"),
        (ScenesEncNet(start_from="x.keras", backbone_weights="imagenet"), "`--backbone-weights`"),
        (CIFAR10ResNet64d(stochastic_scale=False), "`--stochastic-scale`"),
        (ScenesEncNet(head="fcn", lateral=True), "`--lateral`"),
        (ScenesEncNet(schedule="cosine", power=1.0), "`--power`"),
        (CIFAR10ResNet64d(num_codewords=32), "`--num-codewords`"),
        (CIFAR10EncNet16k64d(reduction=8), "`--reduction`"),
    ],
)
def test_options_without_effect_raise_before_data_is_read(config, named, tmp_path):
    with pytest.raises(ValueError, match=f"{named} ha(s|ve) no effect in this recipe. Received: "):
        fit.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_invalid_structural_option_raises_before_data_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"must be one of \('fcn', 'none'\).*'context'"):
        fit.train(ScenesFCN(auxiliary="context"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -1.0),
        ("learning_rate_batch", 0),
        ("warmup_steps", -1),
        ("clip_norm", 0.0),
        ("average_weights", 1.0),
        ("head_multiplier", float("nan")),
        ("presence_multiplier", -1.0),
        ("diagnostics", -1),
        ("epochs", 0),
    ],
)
def test_options_out_of_range_raise_before_data_is_read(name, value, tmp_path):
    option = name.replace("_", "-")
    with pytest.raises(ValueError, match=f"`--{option}` must be .*Received: {name}={value}"):
        fit.train(ScenesEncNet(**{name: value}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "config",
    [
        ScenesFCN(),
        ScenesFCN(gate_bias=None),
        ScenesEncNet(variant="official", auxiliary_weight=0.4),
        ScenesFCN(auxiliary="fcn", auxiliary_weight=0.4, dropout=0.0),
        ScenesEncNet(head="fcn"),
        ScenesEncNet(channels=256, power=1.0),
        CIFAR10ResNet64d(width=16),
    ],
)
def test_options_with_effect_are_accepted(config):
    config.check()
