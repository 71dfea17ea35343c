"""Time and memory of converting a checkpoint of EncNet101, compared with the size of its weights.

    python -m benchmarks.conversion

Writes a checkpoint of random weights in the format of the official code for ADE20K and converts it
in a separate process. What TensorFlow, Keras and torch use themselves is not counted.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import tyro

from benchmarks.measuring import output_of
from tests.pytorch import published

MEASURE = """
import json, sys, time
import torch, keras_encnet
from benchmarks.measuring import peak_mebibytes
from keras_encnet.pytorch.convert import main
before, start = peak_mebibytes(), time.perf_counter()
main(sys.argv[1:])
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "mebibytes": peak_mebibytes() - before}))
"""


def main(classes: int = 150):
    """Converts a checkpoint and reports time and memory.

    Args:
        classes: Number of classes of the network.
    """
    import torch  # an optional dependency of the package

    shapes = published.official(classes=classes, blocks=published.R101)
    rng = np.random.default_rng(0)
    state = {
        name: torch.from_numpy(rng.standard_normal(shape, "float32"))
        for name, shape in shapes.items()
    }
    weights = sum(tensor.nbytes for tensor in state.values()) / 2**20
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("encnet101.pth.tar", "encnet101.keras")]
        torch.save({"state_dict": state}, paths[0])
        printed = output_of([sys.executable, "-c", MEASURE, *paths])
    print(printed.splitlines()[0].removeprefix(folder))
    result = json.loads(printed.splitlines()[-1])
    print(
        f"{result['seconds']:.1f} s, {result['mebibytes']:.0f} MiB for {weights:.0f} MiB of "
        f"weights: {result['mebibytes'] / weights:.2f} times their size"
    )


if __name__ == "__main__":
    tyro.cli(main)
