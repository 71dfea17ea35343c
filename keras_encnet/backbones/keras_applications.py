"""The networks of Keras Applications as backbones."""

import contextlib
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_encnet.backbones.conversion import classifier_stages, convert
from keras_encnet.backbones.normalization import check_statistics, with_normalization
from keras_encnet.graph.channels import RGB
from keras_encnet.layers.image_normalization import KERAS_NORMALIZATIONS
from keras_encnet.preprocessing import MODES, preprocess_input
from keras_encnet.utils.checks import check_input_shape
from keras_encnet.utils.downloads import DownloadError, naming_imagenet
from keras_encnet.utils.keras_files import first_sentence

# Size at which the networks are built before they take images of any size: NASNet is built
# incorrectly for an unknown size, and several networks warn about other sizes than this.
SIZE = 224


def _networks():
    """Returns name, builder and `preprocess_input` by the names in lower case."""
    functions = {k: f for k, f in vars(keras.applications).items() if inspect.isfunction(f)}
    modules = [m for m in vars(keras.applications).values() if hasattr(m, "preprocess_input")]
    # MobileNetV3 is not in the module that has its `preprocess_input`.
    preprocess = {m.preprocess_input.__module__: m.preprocess_input for m in modules}
    return {k.lower(): (k, f, preprocess[f.__module__]) for k, f in sorted(functions.items())}


NETWORKS: dict[str, tuple[str, Callable[..., keras.Model], Callable]] = _networks()


def from_keras_applications(
    name: str,
    weights: str | os.PathLike | None = None,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    **arguments: Any,
) -> keras.Model:
    """Builds a network of Keras Applications that returns the features of its four stages.

    Example:

    >>> backbone = from_keras_applications("MobileNetV3Small")
    >>> {stage: features.shape[-1] for stage, features in backbone.output.items()}
    {'stage1': 72, 'stage2': 96, 'stage3': 288, 'stage4': 576}

    Args:
        name: name of a function of `keras.applications`, such as `"EfficientNetV2B0"`, in any case.
        weights: None (random), `"imagenet"` (downloads), or the path of a
            `.weights.h5` file saved by the function with `include_top=False`.
        input_shape: `(height, width, channels)`; height and width may be None. For another number
            of channels than three, weights for RGB are adapted as by `ResNet`.
        include_preprocessing: whether the images are raw, in 0 to 255. The
            model then has an `ImageNormalization` with the mode that the
            weights expect, `"none"` if layers of the network normalize them.
        mean: mean of the raw images, see `ImageNormalization`.
        std: standard deviation of the raw images, see `ImageNormalization`.
        **arguments: further arguments of the function, such as `alpha` of
            MobileNet.

    Returns:
        A `keras.Model` from images, `(batch, height, width, channels)`, to a
        dict of features, `stage1` to `stage4`, each `(batch, height, width,
        channels)`. Height and width are those of the images divided by 4, 8,
        16 and 32, rounded up. See `as_backbone` for the differences to the
        network of Keras.

    Raises:
        ValueError: for an invalid value, or if the weights cannot be read.
        DownloadError: if `"imagenet"` cannot be downloaded.
    """
    found = NETWORKS.get(name.lower())
    if found is None:
        raise ValueError(
            "`name` must be the name of a network in `keras.applications`: "
            f"{', '.join(name for name, *_ in NETWORKS.values())}. Received: name={name!r}"
        )
    name, build, _ = found
    check_input_shape(input_shape)
    check_statistics(include_preprocessing, mean, std)
    if weights not in (None, "imagenet") and not os.path.isfile(weights):
        raise ValueError(
            "The weights of a backbone must be None (random initialization), 'imagenet' "
            "(downloads), or the path of a `.weights.h5` file saved by "
            f"`keras.applications.{name}(include_top=False)`. Received: weights={weights!r}"
        )
    if "include_preprocessing" in inspect.signature(build).parameters:
        arguments["include_preprocessing"] = include_preprocessing
    try:
        with naming_imagenet(name, weights):
            model = _built(build, input_shape[-1], weights, arguments)
    except DownloadError:
        raise
    except Exception as error:
        raise ValueError(
            f"Could not build {name}(include_top=False): {first_sentence(error)}. A file of "
            "weights must be complete and of this network. "
            f"Received: weights={weights!r}, input_shape={input_shape}, {arguments}"
        ) from error
    omitted = _variable_normalization(model)
    images = keras.Input(input_shape, name="images")
    backbone = convert(classifier_stages(model), classifies=True, images=images, omitted=omitted)
    if not include_preprocessing:
        return backbone
    mode = "torch" if omitted else preprocessing_of_network(name)
    return with_normalization(backbone, mode, mean, std)


def _built(build, channels, weights, arguments):
    """Returns a network for images with these channels if Keras can build it, or else for RGB.

    The weights for ImageNet are for RGB, and so are some networks that normalize images themselves.
    """
    arguments = {"include_top": False, "weights": weights, **arguments}
    if channels != RGB and weights != "imagenet":
        with contextlib.suppress(Exception):
            return build(input_shape=(SIZE, SIZE, channels), **arguments)
    return build(input_shape=(SIZE, SIZE, RGB), **arguments)


def preprocessing_of_network(name: str) -> str:
    """Returns the mode that equals the `preprocess_input` of a network."""
    *_, preprocess = NETWORKS[name.lower()]
    pixels = np.array([[[0, 100, 200], [255, 30, 60]]], "float32")
    expected = preprocess(pixels.copy())
    return next(m for m in MODES if np.allclose(preprocess_input(pixels, m), expected, atol=1e-3))


def _variable_normalization(model):
    """Returns the names of the layers that normalize images differently with and without weights.

    EfficientNet adds layers only if it loads the weights for ImageNet, and has the values of
    others among its weights. Together, they are the mode "torch".
    """
    own = [layer for layer in model.layers if isinstance(layer, KERAS_NORMALIZATIONS)]
    return {layer.name for layer in own} if any(layer.weights for layer in own) else set()
