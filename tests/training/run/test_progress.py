"""What a run prints: progress in logs, and its conclusion with commands that work."""

import re
import shlex

import pytest

from tests.training.folders import write_split
from training import evaluate, predict
from training.configs.cifar10 import CIFAR10ResNet64d
from training.configs.folder import FolderEncNet50
from training.run.checkpoints import State
from training.run.progress import LogProgress, conclusion, duration
from training.tasks.next_commands import next_commands


def lines_of(seconds, capsys, epochs=2, steps=10, state=None):
    """Returns the lines printed by a training run whose steps take these seconds."""
    now = 0.0
    state = State() if state is None else state
    log = LogProgress(state, epochs, steps, clock=lambda: now)
    for i, taken in enumerate(seconds):
        if i == 0 or state.step % steps == 0:
            log.on_epoch_begin(state.epoch)
        now += taken
        log.on_train_batch_end(i, {"loss": 2.0})
        state.step += 1
        if state.step % steps == 0:
            state.epoch += 1
    return capsys.readouterr().out.splitlines()


def test_log_has_a_line_about_every_minute_with_speed_and_time_left(capsys):
    lines = lines_of([40.0] + [7.0] * 19, capsys)
    assert lines[0] == (
        "epoch 1 of 2, step 4 of 10: loss 2, 7 s per step, 2 min of training steps left"
    )
    assert [re.match(r"epoch \d of 2, step \d+", line)[0] for line in lines] == [
        "epoch 1 of 2, step 4",
        "epoch 2 of 2, step 3",
    ]


def test_slow_first_step_is_reported_without_a_speed(capsys):
    lines = lines_of([300.0, 70.0], capsys)
    assert "step 1 of 10: loss 2, the first step may include compilation" in lines[0]
    assert "70 s per step, 21 min of training steps left" in lines[1]


def test_resumed_run_reports_its_step_of_the_epoch(capsys):
    state = State(step=13, epoch=1)
    assert "epoch 2 of 2, step 4 of 10" in lines_of([61.0], capsys, state=state)[0]


def test_long_validation_is_reported(capsys):
    now = 0.0
    log = LogProgress(State(epoch=1), 2, 10, clock=lambda: now)
    for batch in range(5):
        now += 25.0
        log.on_test_batch_end(batch, {"loss": 2.0})
    assert capsys.readouterr().out.splitlines() == ["epoch 2, validation: 3 batches"]


def test_fast_training_prints_nothing(capsys):
    assert not lines_of([1.0] * 20, capsys)


@pytest.fixture
def data(tmp_path, rng):
    samples = {name: (None, rng.integers(0, 3, (8, 8), "uint8")) for name in ("a b", "c")}
    for split in ("train", "val"):
        write_split(tmp_path / "my data", samples, name=split)
    return tmp_path / "my data"


def arguments_of(commands, run_dir):
    """Returns the words after `python -m MODULE RUN` of commands, by module."""
    words = {command: shlex.split(command) for command in commands}
    assert all(w[:2] == ["python", "-m"] and w[3] == str(run_dir) for w in words.values())
    return {w[2]: w[4:] for w in words.values()}


def test_next_commands_name_a_split_and_an_image_that_exist(data, tmp_path):
    config, run_dir = FolderEncNet50(data=str(data)), tmp_path / "my run"
    found = arguments_of(next_commands(config, run_dir), run_dir)
    assert found[evaluate.__name__] == ["--split", "val"]
    image, *output = found[predict.__name__]
    assert image == str(data / "images" / "a b.png")
    assert output == ["--output", str(run_dir / "predictions")]
    (data / "test.txt").write_text("c")
    found = arguments_of(next_commands(config, run_dir), run_dir)
    assert found[evaluate.__name__] == ["--split", "test"]
    assert found[predict.__name__][0].endswith("c.png")
    (data / "test.txt").write_text("no such image")
    shared = FolderEncNet50(data=str(data), val_share=0.5)
    found = arguments_of(next_commands(shared, run_dir), run_dir)
    assert found[evaluate.__name__] == ["--split", "train[50%]"]


def test_next_commands_of_a_classifier_need_no_data(tmp_path):
    found = arguments_of(next_commands(CIFAR10ResNet64d(), tmp_path), tmp_path)
    assert found == {"training.evaluate": [], "saved_models.export": ["--name", tmp_path.name]}


def test_conclusion_names_folder_score_and_commands(tmp_path):
    metrics = {"epoch": 4, "val_mean_iou": 0.71236}
    text = conclusion(FolderEncNet50(data="x"), tmp_path, metrics, ["one", "two"])
    assert text.splitlines() == [
        f"The run is in {tmp_path}; its best model has val_mean_iou 0.7124 after epoch 4. Next:",
        *("", "    one", "    two"),
    ]


def test_durations_are_rounded():
    assert [duration(seconds) for seconds in (0.4, 59, 90, 3590, 3600, 7260)] == [
        *("0 s", "59 s", "2 min", "1 h 0 min", "1 h 0 min", "2 h 1 min")
    ]
