"""The learning rate range test."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
from PIL import Image

from keras_encnet.optimizers import SGD
from training.configs.cifar10 import CIFAR10ResNet64d
from training.datasets import cifar
from training.research import learning_rate
from training.research.learning_rate import RangeTest, measure, smoothed, suggest
from training.run import fit

pytestmark = pytest.mark.usefixtures("eager")

OPTIONS = {"width": 4, "batch_size": 8, "steps": 12}


@pytest.fixture(autouse=True)
def small_cifar(monkeypatch, rng):
    images, labels = rng.integers(0, 256, (16, 32, 32, 3)), rng.integers(0, 10, 16)
    split = cifar.Split(
        "train", images.astype("uint8"), labels.astype("int32"), tuple("abcdefghij")
    )
    monkeypatch.setattr(cifar, "read_split", lambda *arguments: split)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Test(RangeTest, CIFAR10ResNet64d):
    __test__ = False


def test_rates_grow_by_a_constant_factor_from_the_lowest_to_the_highest():
    rates = Test(steps=11, lowest_rate=1e-3, highest_rate=1e2).rates()
    np.testing.assert_allclose(rates, 10.0 ** np.arange(-3, 2.1, 0.5))


def test_each_step_has_its_rate():
    rates = learning_rate.Rates([0.1, 0.2, 0.4])
    assert [float(rates(step)) for step in range(3)] == pytest.approx([0.1, 0.2, 0.4])


def test_smoothed_losses_are_weighted_means_of_the_losses_so_far(rng):
    losses = rng.uniform(1, 2, 20)
    average = 0.0
    for i, value in enumerate(smoothed(losses)):
        average = 0.9 * average + 0.1 * losses[i]
        assert value == pytest.approx(average / (1 - 0.9 ** (i + 1)))


def test_suggestion_is_a_tenth_of_the_rate_of_the_lowest_loss():
    rates = np.geomspace(1e-5, 1, 51)
    averages = np.abs(np.log10(rates) + 1.3) + 1
    rate, sentence = suggest(rates, averages)
    assert rate == pytest.approx(rates[np.argmin(averages)] / 10)
    assert f"`--learning-rate {rate:.2g}`" in sentence


@pytest.mark.parametrize(
    ("averages", "remedy"),
    [
        ([3.0, 2.0, 1.0], "`--highest-rate`"),
        ([1.0, 2.0, 3.0], "`--lowest-rate`"),
        ([1.0], "`--lowest-rate`"),
        ([], "`--lowest-rate`"),
    ],
)
def test_nothing_is_suggested_if_the_loss_is_lowest_at_either_end(averages, remedy):
    rate, sentence = suggest([0.1, 0.2, 0.3][: len(averages)], averages)
    assert rate is None
    assert remedy in sentence


@pytest.mark.slow
def test_losses_are_those_of_a_training_with_these_rates():
    config = Test(**OPTIONS, lowest_rate=0.01, highest_rate=0.02)
    rates, losses = measure(config)
    fit.set_up(config)
    task = fit.task_of(config)
    model = task.build_model()
    optimizer = SGD(0.0, momentum=config.momentum, l2=config.l2)
    model.compile(optimizer, **task.objectives(model))
    expected = []
    for rate, batch in zip(rates, task.train_batches(), strict=False):
        optimizer.learning_rate = rate / 16  # as the batch is a sixteenth of that of the recipe
        model.reset_metrics()
        expected.append(float(model.train_on_batch(*batch, return_dict=True)["loss"]))
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_test_ends_when_the_loss_diverges(monkeypatch):
    losses = iter([2.0, 1.9, 1.8, 30.0, 1.0])
    monkeypatch.setattr(
        keras.Model, "train_on_batch", lambda *unused, **options: {"loss": next(losses)}
    )
    rates, measured = measure(Test(**OPTIONS))
    assert measured == [2.0, 1.9, 1.8]
    assert len(rates) == 3
    losses = iter([2.0, math.nan])
    assert measure(Test(**OPTIONS))[1] == [2.0]


@pytest.mark.slow
def test_command_writes_plot_and_record_and_leaves_a_run_unchanged(tmp_path, capsys, monkeypatch):
    falling_and_rising = [2.0, 1.5, 1.0, *np.linspace(1, 3, 20)]
    losses = iter(falling_and_rising)
    monkeypatch.setattr(
        keras.Model, "train_on_batch", lambda *unused, **options: {"loss": next(losses)}
    )
    run = {name: tmp_path / name for name in ("config.json", "best.keras", "history.json")}
    for path in run.values():
        path.write_text("of a run")
    arguments = ["--width", "4", "--batch-size", "8", "--steps", "12", "--run-dir", str(tmp_path)]
    learning_rate.main(["cifar10_resnet_64d", *arguments])
    assert all(path.read_text() == "of a run" for path in run.values())
    record = json.loads((tmp_path / "learning_rate.json").read_text())
    assert record["config"]["recipe"] == "CIFAR10ResNet64d"
    assert record["loss"] == falling_and_rising[:12]
    assert (
        record["suggestion"]
        == min(zip(record["smoothed_loss"], record["learning_rate"], strict=True))[1]
        / learning_rate.MARGIN
    )
    assert Image.open(tmp_path / "learning_rate.png").size[0] > 100
    assert "`--learning-rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowest_rate": 1.0, "highest_rate": 0.1}, "`--lowest-rate` must be below"),
        ({"steps": 3}, "`--steps` must be at least 10. Received: steps=3"),
        ({"lowest_rate": 0.0}, "`--lowest-rate` must be above 0"),
        ({"learning_rate": 0.2, "epochs": 2}, "`--epochs` and `--learning-rate` have no effect"),
        ({"callback": ("a:b",)}, "`--callback` has no effect in a range test"),
    ],
)
def test_invalid_options_raise(options, message):
    with pytest.raises(ValueError, match=message):
        measure(Test(**options))


def test_options_of_the_recipe_and_of_the_range_test_are_in_the_help(capsys):
    with pytest.raises(SystemExit):
        learning_rate.main(["folder_encnet50", "--help"])
    shown = capsys.readouterr().out
    assert "--lowest-rate" in shown
    assert "--crop-size" in shown
