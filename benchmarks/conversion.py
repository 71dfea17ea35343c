"""Time and memory of converting a checkpoint of EncNet101, against the size of its weights.

    python -m benchmarks.conversion

Writes a checkpoint of random weights as PyTorch-Encoding's for ADE20K, then converts it in a
process of its own. What TensorFlow, Keras and torch take by themselves doesn't count.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tyro

MEASURE = """
import json, resource, sys, time
import torch, keras_encnet
from keras_encnet.pytorch.convert import main
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = peak(), time.perf_counter()
main(sys.argv[1:])
print(json.dumps({"seconds": time.perf_counter() - start, "mebibytes": peak() - before}))
"""


def main(classes: int = 150):
    """Converts a checkpoint and tells what it took.

    Args:
        classes: of the network.
    """
    import torch

    from tests.pytorch import published

    shapes = published.official(classes=classes, blocks=published.R101)
    draw = np.random.default_rng(0)
    state = {
        name: torch.from_numpy(draw.standard_normal(shape, "float32"))
        for name, shape in shapes.items()
    }
    weights = sum(tensor.nbytes for tensor in state.values()) / 2**20
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("encnet101.pth.tar", "encnet101.keras")]
        torch.save({"state_dict": state}, paths[0])
        printed = subprocess.run(
            [sys.executable, "-c", MEASURE, *paths], check=True, capture_output=True, text=True
        ).stdout
    print(printed.splitlines()[0].removeprefix(folder))
    took = json.loads(printed.splitlines()[-1])
    print(
        f"{took['seconds']:.1f} s, {took['mebibytes']:.0f} MiB for {weights:.0f} MiB of weights: "
        f"{took['mebibytes'] / weights:.2f} times their size"
    )


if __name__ == "__main__":
    tyro.cli(main)
