"""A run resumes on the same data only; interruptions say how to resume it."""

import dataclasses
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tests.fixtures import SMALL_CIFAR, SMALL_FCN
from training import cli
from training.configs.cifar10 import CIFAR10ResNet64d
from training.configs.scenes import ScenesFCN
from training.datasets import cifar, scenes
from training.run import checkpoints, fit, lock, run_folder

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=8, val=2, test=1)


class InterruptAt(keras.callbacks.Callback):
    def __init__(self, step, error=KeyboardInterrupt):
        super().__init__()
        self.step = step
        self.error = error

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.step:
            raise self.error


@pytest.fixture
def interrupted(monkeypatch):
    """Trains with an interruption before one step of the first epoch."""

    def train(config, run_dir, step=1, error=KeyboardInterrupt):
        callbacks = fit.callbacks.run_callbacks
        with monkeypatch.context() as patch:
            patch.setattr(
                fit.callbacks,
                "run_callbacks",
                lambda *args, **kwargs: [InterruptAt(step, error), *callbacks(*args, **kwargs)],
            )
            with pytest.raises(KeyboardInterrupt) as stop:
                fit.train(config, run_dir)
        return stop.value

    return train


def recipe(data, **options):
    return ScenesFCN(data=str(data), **{**SMALL_FCN, "checkpoint_every": 1, **options})


def test_changed_data_are_refused_and_named(data, tmp_path):
    config = recipe(data)
    found = {"train": {"classes": ["a", "b"], "images": {"x": "1 2", "y": "3 4"}}}
    run_folder.create(tmp_path, config, found)
    run_folder.check_data(tmp_path, config, found)
    run_folder.check_free(tmp_path, dataclasses.replace(config, data="elsewhere"))
    changed = {"train": {**found["train"], "images": {"x": "1 2", "y": "3 5"}}}
    message = r"have changed .* in the split 'train' 1 of 2 images were changed: y \(label\)"
    with pytest.raises(FileExistsError, match=message):
        run_folder.check_data(tmp_path, config, changed)
    run_folder.check_data(tmp_path, dataclasses.replace(config, overwrite=True), changed)


@pytest.mark.slow
def test_run_resumes_on_a_copy_of_its_data_and_is_refused_on_changed_data(
    data, interrupted, tmp_path
):
    error = interrupted(recipe(data), tmp_path / "run")
    assert "run the same command to resume it from step 1." in str(error)
    copy, changed = tmp_path / "copy", tmp_path / "changed"
    for folder in (copy, changed):
        shutil.copytree(data, folder, copy_function=shutil.copyfile)
    path = changed / "labels" / "val_00001.png"
    mask = np.array(Image.open(path))
    mask[mask == mask[0, 0]] = 255
    Image.fromarray(mask).save(path)
    with pytest.raises(FileExistsError, match=r"'val' 1 of 2 images .*val_00001 \(label\)"):
        fit.train(recipe(changed), tmp_path / "run")
    assert not (tmp_path / "run" / lock.NAME).exists()
    fit.train(recipe(copy), tmp_path / "run")
    assert fit.is_finished(recipe(data), tmp_path / "run")
    assert fit.is_finished(recipe(copy), tmp_path / "run")
    with pytest.raises(FileExistsError, match="val_00001"):
        fit.is_finished(recipe(changed), tmp_path / "run")


@pytest.mark.slow
def test_run_on_cifar_is_refused_on_changed_data(interrupted, monkeypatch, tmp_path, rng):
    images = rng.integers(0, 256, (16, 32, 32, 3)).astype("uint8")
    names = tuple("abcdefghij")

    def read_split(*arguments):
        return cifar.Split("train", images, np.arange(16, dtype="int32") % 10, names)

    monkeypatch.setattr(cifar, "read_split", read_split)
    config = CIFAR10ResNet64d(epochs=1, width=SMALL_CIFAR["width"], batch_size=8)
    error = interrupted(config, tmp_path)
    assert "start it again, as there is no checkpoint yet" in str(error)
    images[5] = 0
    with pytest.raises(FileExistsError, match=r"'test' 1 of 16 images were changed: 5 \(image\)"):
        fit.train(config, tmp_path)


def test_second_training_in_a_run_folder_is_refused_before_it_reads_data(data, tmp_path):
    with lock.locked(tmp_path), pytest.raises(FileExistsError, match="process .* since"):
        fit.train(recipe("no such folder"), tmp_path)


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt, 130), (cli.Terminated, 143)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_interruption_ends_with_a_sentence_and_a_status(error, status, capsys):
    with pytest.raises(SystemExit) as stop, cli.plain_errors():
        raise error("run the same command")
    assert stop.value.code == status
    assert capsys.readouterr().err == "run the same command\n"
    with pytest.raises(SystemExit), cli.plain_errors():
        raise error
    assert capsys.readouterr().err == "The command was interrupted.\n"


def test_sigterm_raises_only_within_a_command():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop, cli.plain_errors():
        signal.raise_signal(signal.SIGTERM)
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_training_with_one_sentence(number, status, data, tmp_path):
    command = [sys.executable, "-m", "training.train", "scenes_fcn", "--data", str(data)]
    command += ["--run-dir", str(tmp_path / "run"), "--epochs", "1000", "--batch-size", "4"]
    command += ["--width-multiplier", "0.125", "--checkpoint-every", "1"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A shell may have started the tests in the background, where SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            while not checkpoints.checkpoints(tmp_path / "run" / "checkpoints"):
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.1)
            time.sleep(1)
            process.send_signal(number)
            errors = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("The training was interrupted: run the same command to resume it from")
    left = {path.name for path in (tmp_path / "run").glob("*")}
    assert lock.NAME not in left
    assert not [name for name in left if name.startswith(".tmp-")]
