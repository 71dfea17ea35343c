"""Networks with random weights, and random images, for benchmarks of exports."""

from typing import Any

import keras
import numpy as np

import keras_encnet

# Options of the networks that benchmarks compare.
NETWORKS: dict[str, dict[str, Any]] = {"dilated": {}, "jpu": {"neck": "jpu"}}


def encnet50(variant: str, classes: int, **options: Any) -> keras_encnet.SegmentationModel:
    """Returns an EncNet50 with random weights; `options` are structural."""
    return randomize(
        keras_encnet.EncNet50(classes, backbone_weights=None, variant=variant, **options)
    )


def randomize(model: keras.Model) -> keras.Model:
    """Randomizes biases and normalization, whose initial zeros and ones an optimizer may remove.

    Moving statistics become those of random images, so that activations neither grow nor vanish
    with depth.
    """
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("beta", "bias")):
            weight.assign(rng.normal(0.0, 0.1, weight.shape))
        elif weight.path.endswith("gamma"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    height, width = (side or 128 for side in model.input.shape[1:3])
    images = smooth_noise(4, height, width)
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model


def smooth_noise(batch: int, height: int, width: int) -> np.ndarray:
    """Returns raw images of patches and noise, uint8."""
    rng = np.random.default_rng(0)
    patches = rng.uniform(0, 255, (batch, -(-height // 16), -(-width // 16), 3))
    patches = patches.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    return np.clip(patches + rng.normal(0, 20, patches.shape), 0, 255).astype("uint8")
