"""Random weights and images of the reference outputs in `golden/`, computed from their names.

The seed of each array is the CRC-32 of its name, so only names and shapes are stored.
"""

import json
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
PATCH = 16

# By the last part of a PyTorch name, except for `weight`.
DRAWS = {
    "running_mean": lambda draw, shape: draw.normal(0.0, 0.1, shape),
    "running_var": lambda draw, shape: draw.uniform(0.5, 1.5, shape),
    "bias": lambda draw, shape: draw.normal(0.0, 0.1, shape),
    "codewords": lambda draw, shape: draw.uniform(-0.5, 0.5, shape),
    "scale": lambda draw, shape: draw.uniform(-0.02, -0.001, shape),
}


def weights(shapes):
    """Returns random float32 arrays for a dict from PyTorch names to shapes."""
    return {name: _weight(name, tuple(shape)) for name, shape in shapes.items()}


def image(name, height, width):
    """Returns a normalized float32 image `(height, width, 3)` of 16-pixel patches and noise."""
    draw = _generator(name)
    patches = draw.normal(0.0, 1.0, (-(-height // PATCH), -(-width // PATCH), 3))
    patches = patches.repeat(PATCH, axis=0).repeat(PATCH, axis=1)[:height, :width]
    return (patches + draw.normal(0.0, 0.3, patches.shape)).astype("float32")


def golden(name):
    """Returns the description of a reference, with its `shapes`, and its arrays by name."""
    description = json.loads((GOLDEN / f"{name}.json").read_text())
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return description, dict(arrays)


def _weight(name, shape):
    draw = DRAWS.get(name.rpartition(".")[2])
    if draw is None:
        # Kernels keep activations about as large as they are; factors stay around 1.
        draw = _kernel if len(shape) > 1 else _factor
    return draw(_generator(name), shape).astype("float32")


def _kernel(draw, shape):
    return draw.normal(0.0, 1.0 / np.sqrt(np.prod(shape[1:])), shape)


def _factor(draw, shape):
    return draw.uniform(0.8, 1.2, shape)


def _generator(name):
    return np.random.default_rng(zlib.crc32(name.encode()))
