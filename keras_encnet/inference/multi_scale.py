"""Multi-scale evaluation, as for published scores."""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.graph.folding import fold_batch_normalization
from keras_encnet.inference.protocols import PROTOCOLS, Settings
from keras_encnet.models.images import check_values
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.utils.checks import check_count
from keras_encnet.utils.sizes import Size, checked_working_size

# Those of the official code.
BASE_SIZE, CROP_SIZE = 520, 480
# Default number of pixels of the windows in one batch.
BATCH_PIXELS = 4 * 480**2


class MultiScaleSegmenter:
    """Scores the pixels of an image at several scales, as published scores were measured.

    `protocol="official"` is the arithmetic of the official code. The image is resized to a long
    side of `ceil(base_size * scale)` and padded at the right and at the bottom. The scores of a
    window are exp of the sum of its logits and those of its mirror image. Overlapping windows are
    averaged, scales are summed.

    `protocol="mmsegmentation"` resizes the image to fit `base_size` and runs it whole or in
    windows, which are shifted to stay inside the image. Scores are the mean over scales and mirror
    images of the softmax of the logits, resized to the image. mmsegmentation rounds resized
    images; here they are not rounded.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 1)])
    >>> segmenter = MultiScaleSegmenter(model, base_size=26, crop_size=24)
    >>> scores = segmenter(np.zeros((15, 20, 3), "float32"))
    >>> scores.shape, scores.argmax(-1).shape
    ((15, 20, 4), (15, 20))

    Args:
        model: a Keras model from images `(batch, height, width, channels)` to logits
            `(batch, height, width, classes)`, or to a dict with logits under `"segmentation"`.
            The current weights of a `SegmentationModel` are copied. Any other model gets images
            as they are given: if it does not normalize them, normalize them before.
        base_size: long side of the image at scale 1. Defaults to the working size of the model, if
            the protocol can use it, otherwise to 520, with which published scores were measured
            (640 for EncNet101 on ADE20K). For mmsegmentation also the bounds of both sides, such
            as `(2048, 512)` for ADE20K and `(2048, 1024)` for Cityscapes, or `"native"` for the
            image's own size, as in mmsegmentation 1.x.
        crop_size: side of the square windows. Defaults to the share of the base size in the
            official code, 480 of 520, rounded to a multiple of 8; to 480 for other base sizes.
            Published scores of EncNet101 on ADE20K were measured with 576.
        scales: factors of `base_size`.
        flip: whether to run mirror images as well.
        protocol: `"official"` or `"mmsegmentation"`.
        pad_value: value of the official protocol's padding, a number or one per channel. Defaults
            to 0, black in raw images. For a model on normalized images, the official padding is
            `preprocess_input(np.zeros(3), mode)`.
        window: `"slide"`, or for mmsegmentation `"whole"` (its default). Whole images need much
            memory: 4 GiB for 3584x1792 pixels with EncNet50.
        stride: distance between windows, at most `crop_size`. Defaults to
            `int(crop_size * 2 / 3)`. mmsegmentation uses 513 with its `crop_size=769`.
        align_corners: how images and logits are resized. Defaults to True for `"official"` and to
            False for `"mmsegmentation"`, where it concerns logits only and must be True for
            models trained on 769x769 crops.
        batch_size: windows per batch, which bounds the memory. Defaults to as many as have the
            pixels of four 480x480 windows.

    Call arguments:
        image: one image `(height, width, channels)` as the model takes it: uint8 or float in 0 to
            255, unless it was built with `mean` and `std` or with `include_preprocessing=False`.

    Returns:
        Scores `(height, width, classes)`, a float32 NumPy array; their arg-max is the prediction.
        Official scores are sums of exponentials, which overflow in float32 above e^88.7, where
        the official code returns inf. Here such an image is run again with all exponents lowered
        by the same number, which scales the scores by a constant factor.

    Raises:
        ValueError: for an argument outside the above; for an image of another shape, dtype or
            range, or with NaN; for a model whose output is not finite logits of the size of its
            input.

    Reference:
        - `MultiEvalModule` of [PyTorch-Encoding](
          https://github.com/zhanghang1989/PyTorch-Encoding)
        - `slide_inference` and `aug_test` of [mmsegmentation](
          https://github.com/open-mmlab/mmsegmentation)
    """

    def __init__(
        self,
        model: keras.Model,
        base_size: Size = None,
        crop_size: int | None = None,
        scales: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        flip: bool = True,
        protocol: str = "official",
        pad_value: float | Sequence[float] = 0.0,
        window: str | None = None,
        stride: int | None = None,
        align_corners: bool | None = None,
        batch_size: int | None = None,
    ):
        if protocol not in PROTOCOLS:
            raise ValueError(
                f"`protocol` must be one of {sorted(PROTOCOLS)}. Received: protocol={protocol!r}"
            )
        build, channels = PROTOCOLS[protocol], model.inputs[0].shape[-1]
        size = _checked_base_size(base_size, model, protocol)
        if crop_size is None:
            crop_size = _crop_size(size)
        crop_size = _checked_count("crop_size", crop_size)
        if stride is None:
            stride = max(int(crop_size * 2 / 3), 1)
        if batch_size is None:
            batch_size = max(BATCH_PIXELS // crop_size**2, 1)
        self.model = model
        self.protocol = protocol
        self.settings = Settings(
            base_size=size,
            crop_size=crop_size,
            scales=_checked_scales(scales),
            flip=bool(flip),
            pad_value=_checked_pad_value(pad_value, channels),
            window=_checked_window(window, build.windows, protocol),
            stride=_checked_stride(stride, crop_size),
            align_corners=build.align_corners if align_corners is None else bool(align_corners),
            batch_size=_checked_count("batch_size", batch_size),
            channels=channels,
        )
        self._scores = build(_logits_function(model), self.settings)

    def __call__(self, image: np.ndarray | tf.Tensor) -> np.ndarray:
        scores = self._scores(_checked_image(image, self.model))
        # The maximum is NaN if any score is.
        if not np.isfinite(scores.max()):
            raise ValueError(f"The model's logits are not finite. Received: model={self.model}")
        return scores


def _logits_function(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a `tf.function` from images of any size to float32 logits."""
    if isinstance(model, SegmentationModel):
        # Folding saves time and a third of the memory.
        model = fold_batch_normalization(model.with_outputs("segmentation"))

    images = tf.TensorSpec((None, None, None, model.inputs[0].shape[-1]), tf.float32)

    @tf.function(input_signature=[images])
    def logits(images):
        outputs = model(images, training=False)
        if isinstance(outputs, dict):
            if "segmentation" not in outputs:
                raise ValueError(
                    "The model must have one output, logits, or an output named `segmentation`. "
                    f"Received: outputs={sorted(outputs)}"
                )
            outputs = outputs["segmentation"]
        return tf.cast(outputs, tf.float32)

    return logits


def _checked_image(image, model):
    image = np.asarray(image)
    channels = model.inputs[0].shape[-1]
    if image.ndim != 3 or image.shape[-1] != channels or 0 in image.shape:
        raise ValueError(
            f"Expected one image `(height, width, {channels})`. Received: image.shape={image.shape}"
        )
    if isinstance(model, SegmentationModel):
        check_values(image, model.expected_images)
    if not np.isfinite(image).all():
        raise ValueError("The image must be finite. Received: an image with NaN or inf")
    return image.astype("float32", copy=False)


def _checked_base_size(base_size, model, protocol):
    official = protocol == "official"
    if base_size is None:
        size = getattr(model, "working_size", None)
        return size if isinstance(size, int) or (size and not official) else BASE_SIZE
    size = checked_working_size(base_size, "base_size")
    if official and not isinstance(size, int):
        raise ValueError(
            "The official protocol resizes to a long side: `base_size` must be a positive integer. "
            f"Received: base_size={base_size!r}"
        )
    return size


def _crop_size(base_size):
    if not isinstance(base_size, int):
        return CROP_SIZE
    return max(round(base_size * CROP_SIZE / BASE_SIZE / 8), 1) * 8


def _checked_count(name, value):
    check_count(name, value)
    return int(value)


def _checked_stride(stride, crop_size):
    stride = _checked_count("stride", stride)
    if stride > crop_size:
        raise ValueError(
            "`stride` must be at most `crop_size`; otherwise there are gaps between windows. "
            f"Received: stride={stride}, crop_size={crop_size}"
        )
    return stride


def _checked_window(window, allowed, protocol):
    if window is None:
        return allowed[0]
    if window not in allowed:
        raise ValueError(
            f"`window` must be one of {allowed} for protocol {protocol!r}. "
            f"Received: window={window!r}"
        )
    return window


def _checked_scales(scales):
    scales = tuple(float(scale) for scale in np.ravel(scales))
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(
            f"`scales` must be at least one positive number. Received: scales={scales}"
        )
    return scales


def _checked_pad_value(value, channels):
    value = np.asarray(value, "float32")
    if value.shape not in [(), (channels,)] or not np.isfinite(value).all():
        raise ValueError(
            f"`pad_value` must be one finite number or {channels}, one per channel. "
            f"Received: pad_value={value}"
        )
    return value
