"""ImageNet weights of Keras Applications for the dilated ResNets."""

import os
from collections.abc import Callable

import keras

from keras_encnet.graph.channels import image_convolutions, inflated
from keras_encnet.utils.downloads import DownloadError, naming_imagenet
from keras_encnet.utils.keras_files import first_sentence

# The networks of Keras Applications by their blocks per stage.
NETWORKS: dict[tuple[int, ...], Callable[..., keras.Model]] = {
    (3, 4, 6, 3): keras.applications.ResNet50,
    (3, 4, 23, 3): keras.applications.ResNet101,
    (3, 8, 36, 3): keras.applications.ResNet152,
}


def check(
    weights: str | os.PathLike,
    blocks: tuple[int, ...],
    bottleneck: bool,
    stem: str,
    stride_on: str,
    width_multiplier: float,
) -> None:
    """Raises ValueError unless Keras Applications has weights for a ResNet of this structure."""
    exists = (
        bottleneck
        and blocks in NETWORKS
        and (stem, stride_on, width_multiplier) == ("plain", "1x1", 1)
    )
    if not exists:
        raise ValueError(
            "Keras Applications has ImageNet weights for ResNet-50, 101 and 152 with "
            "`stem='plain'`, `stride_on='1x1'` and `width_multiplier=1`. For any other structure,"
            " pass None (random initialization). Received: "
            f"weights={weights!r}, blocks={blocks}, bottleneck={bottleneck}, "
            f"stem={stem!r}, stride_on={stride_on!r}, width_multiplier={width_multiplier}"
        )
    if weights != "imagenet" and not os.path.exists(weights):
        raise ValueError(
            "The weights of a backbone must be None (random initialization), 'imagenet' "
            "(downloads), or the path of a `.weights.h5` file saved by "
            f"`keras.applications.ResNetXX(include_top=False)`. Received: weights={weights!r}"
        )


def load_weights(model: keras.Model, weights: str | os.PathLike, blocks: tuple[int, ...]) -> None:
    """Copies the weights of Keras Applications into `model`, by layer name.

    Keras Applications has biases in its convolutions and an epsilon of
    1.001e-5 in its batch normalization. Both are equivalent to other moving
    statistics: `mean - bias` and `variance + (1.001e-5 - epsilon)`. For images
    with another number of channels than three, see `graph.channels.inflated`.

    Raises:
        DownloadError: if `"imagenet"` cannot be downloaded.
        ValueError: if a file is damaged or of another network.
    """
    network = NETWORKS[blocks]
    try:
        with naming_imagenet(network.__name__, weights):
            source = network(include_top=False, weights=weights)
    except DownloadError:
        raise
    except Exception as error:  # damaged files make reading fail in many ways
        raise ValueError(
            f"Could not read {network.__name__}(include_top=False) weights: "
            f"{first_sentence(error)}. The file must be complete and of this network. "
            f"Received: weights={weights!r}"
        ) from error
    source = {layer.name: layer for layer in source.layers}
    first = image_convolutions(model)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = source[layer.name].kernel
            if layer.name in first:
                kernel = inflated(kernel.numpy(), layer.kernel.shape[2])
            layer.kernel.assign(kernel)
        elif isinstance(layer, keras.layers.BatchNormalization):
            norm = source[layer.name]
            bias = source[layer.name.removesuffix("_bn") + "_conv"].bias
            layer.gamma.assign(norm.gamma)
            layer.beta.assign(norm.beta)
            layer.moving_mean.assign(norm.moving_mean - bias)
            layer.moving_variance.assign(norm.moving_variance + (norm.epsilon - layer.epsilon))
