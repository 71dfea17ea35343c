"""N replicas compute what one device computes, on one machine and on several.

The runs that are compared are those of `replicas.py`.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.models import replicas

ROOT = Path(__file__).parents[2]
TIMEOUT = 400

pytestmark = pytest.mark.slow


def start(part, out, **environment):
    return subprocess.Popen(
        [sys.executable, replicas.__file__, part, str(out)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Logs, final weights and further findings of all runs, by the name of the run."""
    folder = tmp_path_factory.mktemp("runs")
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    processes = [start("devices", folder)]
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        processes.append(start("worker", folder, TF_CONFIG=json.dumps(task)))
    try:
        logs = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, log in zip(processes, logs, strict=True):
        assert process.returncode == 0, log[-4000:]
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@pytest.mark.parametrize("name", ["mirrored", "worker_0", "worker_1"])
def test_replicas_match_one_device(runs, name):
    for prefix in ("fit/", "evaluate/", "weight/"):
        compare(runs["one_device_float64"], runs[f"{name}_float64"], prefix, 1e-9)


def test_replicas_match_the_logs_of_one_device_in_float32(runs):
    # Not the weights, see docs/reports/reproducibility.md: where a codeword is dead, batch
    # normalization divides by almost 0, and another order of summation changes the result.
    for prefix in ("fit/", "evaluate/"):
        compare(runs["one_device_float32"], runs["mirrored_float32"], prefix, 1e-5)


def compare(expected, actual, prefix, tolerance):
    assert set(actual) >= set(expected)
    keys = [key for key in expected if key.startswith(prefix)]
    assert len(keys) > 3
    for key in keys:
        np.testing.assert_allclose(
            actual[key], expected[key], rtol=tolerance, atol=tolerance, err_msg=key
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compared_runs_lower_the_loss(runs, dtype):
    # Otherwise equal results would prove nothing.
    run = runs[f"one_device_{dtype}"]
    assert np.isfinite(run["fit/loss"]).all()
    assert run["fit/loss"][-1] < run["fit/loss"][0]
    assert {"fit/presence_loss", "fit/mean_iou", "evaluate/loss"} <= set(run)


def test_keras_model_still_fails_on_two_workers(runs):
    # Once it fits, `utils.compat.Model` and the reshaped logs can go.
    assert bool(runs["worker_0_float64"]["plain_keras_fails"])


def test_keras_clips_before_it_sums(runs):
    # Once a plain model moves by the clip norm, too, `utils.compat.sum_gradients_first` can go.
    assert runs["findings"]["plain_step"] == pytest.approx(0.1 * replicas.REPLICAS, rel=1e-4)
    assert runs["findings"]["scalable_step"] == pytest.approx(0.1, rel=1e-4)
    assert runs["findings"]["adam_scalable_step"] == pytest.approx(
        runs["findings"]["adam_one_device_step"], rel=1e-4
    )


def test_overflow_on_one_replica_skips_the_step_on_all(runs):
    assert bool(runs["findings"]["overflow_is_skipped"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("steps_per_execution", "steps_per_execution=2"),
        ("gradient_accumulation", "gradient_accumulation_steps=2"),
        ("batch", "a batch of 4"),
        ("last_batch", "a batch of 1"),
        ("wrong_id", "Received: ids=[7]"),
        ("wrong_size", "height and width of the images"),
        ("unknown_rank", "tf.ensure_shape"),
        ("empty_replica", "too few samples for all replicas"),
        ("normalization", "separate_norm"),
    ],
)
def test_unsupported_settings_and_masks_raise_an_error(runs, option, message):
    assert message in str(runs["findings"][option])


@pytest.mark.parametrize("images", [1, 4, 7, 8])
def test_predict_accepts_a_last_batch_of_any_size(runs, images):
    # Of batches of 6 on 3 replicas; with 1 and 7 images, two replicas get none.
    findings = runs["findings"]
    np.testing.assert_allclose(
        findings[f"predicted_{images}"], findings["called"][:images], rtol=1e-5, atol=1e-6
    )
