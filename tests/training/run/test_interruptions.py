"""A training that is killed goes on by the same command, to the weights it would have had.

Real trainings in processes of their own, killed by signal 9: on two devices, and on two machines.
As a script it kills one training, and then one on two workers, as often as it is told:

    python tests/training/test_interruptions.py 10
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
STEPS_PER_EPOCH = 4
TIMEOUT = 300
OPTIONS = """
    --batch-size 4 --width-multiplier 0.0625 --channels 8 --warmup-steps 2
    --checkpoint-every 3 --deterministic --learning-rate-batch 4
""".split()
# Workers need not round as devices of one process do, and codewords would make much of it.
QUICK = "--num-codewords 0 --cpu-devices 2".split()


class Training:
    """A training in processes of its own, one or, by their TF_CONFIG, several."""

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
        """What a worker has printed."""
        return Path(f"{self.output}.{index}").read_text()

    def finish(self):
        """Waits until all have ended well."""
        for index, process in enumerate(self.processes):
            assert process.wait(TIMEOUT) == 0, self.log(index)[-4000:]
        return self

    def kill(self, index=0, wait=0.0):
        """Kills a worker some time after it has written its first checkpoint.

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

    def weights(self):
        """The weights of the last checkpoint, and those of the saved model."""
        import keras_encnet  # noqa: F401, which registers the layers that Keras is to load

        path = newest(self.run_dir)
        with np.load(path) as checkpoint:
            state = {name: checkpoint[name] for name in checkpoint.files if name != "progress"}
            progress = json.loads(str(checkpoint["progress"]))
        model = keras.models.load_model(self.run_dir / "last.keras", compile=False)
        return {**state, **{w.path: w.numpy() for w in model.weights}}, progress


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
    from training.datasets import scenes

    # Three images for two devices: one is void.
    return scenes.write(root, train=4 * STEPS_PER_EPOCH, val=3, test=1)


def assert_equal(one, other, tolerance=0.0):
    (values, progress), (expected, expected_progress) = one.weights(), other.weights()
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
        # Replicas sum the logs of the interrupted epoch in another order.
        np.testing.assert_allclose(
            history[name], value, rtol=0, atol=max(tolerance, 1e-6), err_msg=name
        )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    with Training(data, tmp_path_factory.mktemp("runs") / "uninterrupted", QUICK) as training:
        return training.finish()


def test_a_killed_training_ends_bit_for_bit_as_if_it_had_not_been(data, uninterrupted, tmp_path):
    with Training(data, tmp_path / "run", QUICK) as training:
        assert training.kill()
    with Training(data, tmp_path / "run", QUICK) as training:
        assert_equal(training.finish(), uninterrupted)


def test_of_two_workers_the_other_stops_and_both_go_on_together(data, uninterrupted, tmp_path):
    options = QUICK[:2]
    with Training(data, tmp_path / "run", options, workers=2) as training:
        assert training.kill(1)
        assert training.processes[0].wait(60) == 1, training.log(0)[-4000:]
        assert "error: Another worker has stopped" in training.log(0)
    with Training(data, tmp_path / "run", options, workers=2) as training:
        assert_equal(training.finish(), uninterrupted, tolerance=1e-3)


def kill_often(times, epochs=30):
    """Kills a training, then one on two workers, so often, and compares bit for bit."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data = write_data(folder / "scenes")
        for workers in (1, 2):
            options = {"epochs": epochs, "workers": workers}
            with Training(data, folder / f"whole_{workers}", **options) as whole:
                whole.finish()
            for i in range(times):
                with Training(data, folder / f"run_{workers}", **options) as training:
                    running = training.kill(i % workers, random.uniform(0, 3))
                    if workers > 1:
                        began = time.monotonic()
                        training.processes[1 - i % 2].wait(60)
                        print(f"the other stopped after {time.monotonic() - began:.1f} s")
                last = newest(training.run_dir).name
                print(f"kill {i + 1} after {last}, running: {running}", flush=True)
            with Training(data, folder / f"run_{workers}", **options) as training:
                assert_equal(training.finish(), whole)
            print(f"{workers} worker(s): the same weights, bit for bit", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    kill_often(int(sys.argv[1]))
