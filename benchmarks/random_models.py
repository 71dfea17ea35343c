"""Networks and images that the benchmarks of exports draw."""

import numpy as np


def encnet50(variant, classes):
    import keras_encnet

    return drawn(
        keras_encnet.EncNet50(classes, weights=None, backbone_weights=None, variant=variant)
    )


def drawn(model):
    """Gives biases and statistics values as of training: at zero the optimizer drops them.

    Statistics are those of drawn images, so that signals neither grow nor vanish with depth.
    """
    from keras import layers

    from keras_encnet import preprocess_input

    draw = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("beta", "bias")):
            weight.assign(draw.normal(0.0, 0.1, weight.shape))
        elif weight.path.endswith("gamma"):
            weight.assign(draw.uniform(0.5, 1.5, weight.shape))
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    height, width = (side or 128 for side in model.input.shape[1:3])
    model(preprocess_input(smooth_noise(4, height, width), model.preprocessing), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model


def smooth_noise(batch, height, width):
    """Returns raw images of patches and noise, uint8."""
    draw = np.random.default_rng(0)
    patches = draw.uniform(0, 255, (batch, -(-height // 16), -(-width // 16), 3))
    patches = patches.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    return np.clip(patches + draw.normal(0, 20, patches.shape), 0, 255).astype("uint8")
