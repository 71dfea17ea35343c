"""Timing, peak memory, and the output of contestants that run in separate processes."""

import re
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any


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
    """Returns the peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def output_of(command: Sequence[str]) -> str:
    """Runs a command and returns its output."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def number_after(word: str, text: str) -> float:
    """Returns the number that follows a word, such as `median 0.123`."""
    found = re.search(rf"{word} ([\d.]+)", text)
    if found is None:
        raise ValueError(f"The output must contain a number after {word!r}. Received: {text!r}")
    return float(found[1])
