"""Timing, peak memory, operations, and the output of contestants that run in separate processes."""

import re
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_encnet.export.network import InferenceNetwork


def seconds_of(call: Callable[[], Any]) -> float:
    """Times one call, including the transfer of the tensor it returns."""
    start = time.perf_counter()
    result = call()
    if hasattr(result, "numpy"):
        result.numpy()
    return time.perf_counter() - start


def median_seconds(call: Callable[[], Any], repeats: int) -> float:
    """Returns the median time of `repeats` calls, except the first, which may compile."""
    return statistics.median([seconds_of(call) for _ in range(repeats)][1:])


def peak_mebibytes() -> float:
    """Returns the peak resident memory of this process so far, on Linux.

    `resource.getrusage` would include that of the process which started this one.
    """
    status = Path("/proc/self/status").read_text()
    return number_after("VmHWM:", status) / 1024


def output_of(command: Sequence[str]) -> str:
    """Runs a command and returns its output.

    Raises:
        SystemExit: if it cannot be run or fails, with the last line of its errors.
    """
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except OSError as error:
        problem = error.strerror
    except subprocess.CalledProcessError as error:
        problem = error.stderr.strip().rpartition("\n")[2]
    raise SystemExit(f"A contestant failed: {problem}. Received: {shlex.join(map(str, command))}")


def number_after(word: str, text: str) -> float:
    """Returns the number that follows a word, such as `median 0.123`."""
    found = re.search(rf"{word}\s+([\d.]+)", text)
    if found is None:
        raise ValueError(f"The output must contain a number after {word!r}. Received: {text!r}")
    return float(found[1])


def flops_of(model: keras.Model, size: tuple[int, int]) -> int:
    """Returns the floating-point operations of an exported model for one image.

    A multiplication and the addition of its result are two. Convolutions, matrix products and most
    element-wise operations count, not the upsampling of the logits.
    """
    graph = InferenceNetwork(model, size=size).outputs.graph
    one = tf.Graph()
    with one.as_default():
        images = tf.compat.v1.placeholder(tf.float32, (1, *size, 3))
        tf.import_graph_def(graph.as_graph_def(), {"images": images})
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(one, options=options).total_float_ops
