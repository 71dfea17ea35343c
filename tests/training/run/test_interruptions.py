"""Trainings that are killed by signal 9 and resumed end with the weights of uninterrupted ones.

These run the command line in separate processes, on two devices and on two workers.
`test_resume.py` has the fast form. As a script, this file kills one training, then one on two
workers, a number of times at random:

    python tests/training/run/test_interruptions.py 10
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))  # as a script

import keras_encnet  # noqa: E402, F401, registers the layers for loading models
from training.datasets import scenes  # noqa: E402

STEPS_PER_EPOCH = 4
TIMEOUT = 300
OPTIONS = """
    --batch-size 4 --width-multiplier 0.0625 --channels 8 --warmup-steps 2
    --checkpoint-every 3 --deterministic --learning-rate-batch 4
""".split()
# Workers round differently from the devices of one process, which codewords would amplify.
WITHOUT_CODEWORDS = "--num-codewords 0".split()
TWO_DEVICES = [*WITHOUT_CODEWORDS, "--cpu-devices", "2"]

pytestmark = pytest.mark.slow


class Training:
    """A training run in separate processes: one, or several workers with a TF_CONFIG."""

    def __init__(self, data, run_dir, options=(), epochs=2, workers=1):
        self.run_dir = run_dir
        self.output = run_dir.with_suffix(".log")
        command = [sys.executable, "-m", "training.train", "scenes_encnet", "--data", str(data)]
        command += ["--run-dir", str(run_dir), "--epochs", str(epochs), *OPTIONS, *options]
        addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
        self.processes = []
        for index in range(workers):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = {"TF_CONFIG": json.dumps(task)} if workers > 1 else {}
            with open(f"{self.output}.{index}", "w") as output:
                self.processes.append(
                    subprocess.Popen(
                        command,
                        cwd=ROOT,
                        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def log(self, index=0):
        """Returns the output of a worker."""
        return Path(f"{self.output}.{index}").read_text()

    def finish(self):
        """Waits until all processes have ended successfully."""
        for index, process in enumerate(self.processes):
            assert process.wait(TIMEOUT) == 0, self.log(index)[-4000:]
        return self

    def kill(self, index=0, wait=0.0):
        """Kills a worker, `wait` seconds after its next checkpoint.

        Returns:
            Whether it was still running.
        """
        before = newest(self.run_dir)
        deadline = time.monotonic() + TIMEOUT
        while newest(self.run_dir) == before and self.processes[index].poll() is None:
            assert time.monotonic() < deadline, self.log(index)[-4000:]
            time.sleep(0.01)
        time.sleep(wait)
        running = self.processes[index].poll() is None
        self.processes[index].send_signal(signal.SIGKILL)
        self.processes[index].wait()
        return running

    def result(self):
        """Returns the arrays of the last checkpoint and the saved model, and the progress."""
        with np.load(newest(self.run_dir)) as checkpoint:
            arrays = {name: checkpoint[name] for name in checkpoint.files if name != "progress"}
            progress = json.loads(str(checkpoint["progress"]))
        model = keras.models.load_model(self.run_dir / "last.keras", compile=False)
        return {**arrays, **{w.path: w.numpy() for w in model.weights}}, progress


def newest(run_dir):
    return max((run_dir / "checkpoints").glob("step-*.npz"), default=None)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def write_data(root):
    # Three validation images for two devices: one device gets an image of ignored pixels.
    return scenes.write(root, train=4 * STEPS_PER_EPOCH, val=3, test=1)


def assert_equal(one, other, tolerance=0.0):
    (values, progress), (expected, expected_progress) = one.result(), other.result()
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(
            values[name], value, rtol=tolerance, atol=tolerance, err_msg=name
        )
    assert progress["step"] == expected_progress["step"]
    assert progress["epoch"] == expected_progress["epoch"]
    history, expected_history = progress["history"], expected_progress["history"]
    assert history.keys() == expected_history.keys()
    for name, value in expected_history.items():
        # Replicas add up the logs of the interrupted epoch in another order.
        np.testing.assert_allclose(
            history[name], value, rtol=0, atol=max(tolerance, 1e-6), err_msg=name
        )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "uninterrupted"
    with Training(data, run_dir, TWO_DEVICES) as training:
        return training.finish()


def test_killed_training_on_two_devices_resumes_with_identical_weights(
    data, uninterrupted, tmp_path
):
    with Training(data, tmp_path / "run", TWO_DEVICES) as training:
        assert training.kill()
    with Training(data, tmp_path / "run", TWO_DEVICES) as training:
        assert_equal(training.finish(), uninterrupted)
        assert f"python -m training.evaluate {tmp_path}/run --split test" in training.log()


def test_two_workers_stop_together_and_resume(data, uninterrupted, tmp_path):
    with Training(data, tmp_path / "run", WITHOUT_CODEWORDS, workers=2) as training:
        assert training.kill(1)
        assert training.processes[0].wait(60) == 1, training.log(0)[-4000:]
        assert "error: Another worker has stopped" in training.log(0)
    with Training(data, tmp_path / "run", WITHOUT_CODEWORDS, workers=2) as training:
        assert_equal(training.finish(), uninterrupted, tolerance=1e-3)


def kill_repeatedly(times, epochs=30):
    """Kills a training run, then one on two workers, and compares the results bit for bit."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data = write_data(folder / "scenes")
        for workers in (1, 2):
            options = {"epochs": epochs, "workers": workers}
            with Training(data, folder / f"uninterrupted_{workers}", **options) as uninterrupted:
                uninterrupted.finish()
            for i in range(times):
                with Training(data, folder / f"run_{workers}", **options) as training:
                    running = training.kill(i % workers, random.uniform(0, 3))
                    if workers > 1:
                        start = time.monotonic()
                        training.processes[1 - i % 2].wait(60)
                        print(f"the other stopped after {time.monotonic() - start:.1f} s")
                last = newest(training.run_dir).name
                print(f"kill {i + 1} after {last}, running: {running}", flush=True)
            with Training(data, folder / f"run_{workers}", **options) as training:
                assert_equal(training.finish(), uninterrupted)
            print(f"{workers} worker(s): identical weights", flush=True)


if __name__ == "__main__":
    kill_repeatedly(int(sys.argv[1]))
