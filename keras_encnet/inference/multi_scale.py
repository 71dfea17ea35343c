"""Multi-scale evaluation, as published scores were measured."""

import math

import numpy as np
import tensorflow as tf

from keras_encnet.graph.folding import fold_batch_normalization
from keras_encnet.inference.windows import (
    average_of_windows,
    fitted_size,
    long_side_size,
    pad,
    resize,
    shifted_starts,
    window_starts,
)
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.preprocessing import normalized_zero
from keras_encnet.utils.checks import check_count

# The protocols, and the windows that each can use: the first unless told.
PROTOCOLS = {"official": ("slide",), "mmsegmentation": ("whole", "slide")}
# What the largest exponent is brought down to if exp overflows, at 88.7: it leaves room for a sum.
LARGEST_EXPONENT = 80.0
# Of the windows that are run together.
PIXELS_AT_A_TIME = 4 * 480**2


class MultiScaleSegmenter:
    """Scores every pixel of an image at several scales, as published scores were measured.

    `"official"`, the released code's arithmetic: the image's long side becomes
    `ceil(base_size * scale)`. Windows of `crop_size`, two thirds of it apart,
    are padded at the right and at the bottom. A window's scores are exp of the
    sum of its logits and those of its mirror image. Overlapping windows are
    averaged, scales are summed.

    `"mmsegmentation"`: the image is scaled to fit `base_size`, and run whole
    or in windows that are shifted back where they would leave it. Scores are
    the mean over scales and mirror images of the softmax of the logits at the
    image's size. It resizes raw bytes, so rounds them; here they're normalized.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 1)])
    >>> segmenter = MultiScaleSegmenter(model, base_size=26, crop_size=24)
    >>> scores = segmenter(np.zeros((15, 20, 3), "float32"))
    >>> scores.shape, scores.argmax(-1).shape
    ((15, 20, 4), (15, 20))

    Args:
        model: a Keras model from images `(batch, height, width, 3)` to logits
            `(batch, height, width, classes)`, or to a dict that holds them as
            `segmentation`. Of a `SegmentationModel` the weights are copied as
            they are now.
        base_size: what the long side is at scale 1. The networks published
            were measured at 520, and EncNet101 on ADE20K at 640. For
            mmsegmentation also the bounds of both sides, such as (2048, 512)
            for ADE20K, (2048, 1024) for Cityscapes; None for the image's own
            size, as in mmsegmentation's version 1.
        crop_size: side of the square windows; 480 to 520, 576 to 640.
        scales: factors of `base_size`.
        flip: whether mirror images are run, too.
        protocol: `"official"` or `"mmsegmentation"`.
        pad_value: what the official windows are padded with: a number or one
            a channel. By default what the model's normalization makes of
            black; of a plain model, that of `"torch"` is assumed.
        window: for mmsegmentation `"whole"` (default) or `"slide"`. Memory
            grows with a whole image: 4 GiB at 3584 x 1792 with EncNet50.
        stride: distance of windows, at most `crop_size`; `int(crop_size * 2 /
            3)` by default. For its `crop_size=769` mmsegmentation uses 513.
        align_corners: how images and logits are resized, by default true for
            official and false for mmsegmentation. The latter's networks for
            769 want True; it resizes images the other way all the same.
        batch_size: windows run at a time, which bounds the memory; by default
            four of 480 x 480 pixels, or as many as have no more pixels.

    Call arguments:
        image: one image `(height, width, 3)`, floats, normalized as the model
            wants it.

    Returns:
        Scores `(height, width, classes)`, a float32 NumPy array; the answer is
        their arg-max. Official scores are sums of exponentials, which float32
        can't hold beyond e^88.7, and the released code returns inf. Here such
        an image is run again, its exponents lowered by one number, so that
        the scores are the official ones but for a factor.

    Raises:
        ValueError: for an argument outside the above, an image that isn't one,
            is of integers (so raw) or has NaN, and for a model that doesn't
            answer with finite logits at input size.

    Reference:
        - `MultiEvalModule` of [PyTorch-Encoding](
          https://github.com/zhanghang1989/PyTorch-Encoding)
        - `slide_inference` and `aug_test` of [mmsegmentation](
          https://github.com/open-mmlab/mmsegmentation)
    """

    def __init__(
        self,
        model,
        base_size=520,
        crop_size=480,
        scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        flip=True,
        protocol="official",
        pad_value=None,
        window=None,
        stride=None,
        align_corners=None,
        batch_size=None,
    ):
        if protocol not in PROTOCOLS:
            raise ValueError(
                f"`protocol` must be one of {sorted(PROTOCOLS)}. Received: protocol={protocol!r}"
            )
        official = protocol == "official"
        self.model = model
        self.protocol = protocol
        self.base_size = _checked_base_size(base_size, official)
        self.crop_size = _checked_count("crop_size", crop_size)
        self.scales = _checked_scales(scales)
        self.flip = bool(flip)
        self.pad_value = _checked_pad_value(_zero_of(model) if pad_value is None else pad_value)
        self.window = PROTOCOLS[protocol][0] if window is None else window
        if self.window not in PROTOCOLS[protocol]:
            raise ValueError(
                f"`window` must be one of {PROTOCOLS[protocol]} for protocol {protocol!r}. "
                f"Received: window={window!r}"
            )
        default_stride = max(int(self.crop_size * 2 / 3), 1)
        self.stride = _checked_count("stride", default_stride if stride is None else stride)
        if self.stride > self.crop_size:
            raise ValueError(
                "`stride` must be at most `crop_size`, or windows would leave gaps. "
                f"Received: stride={stride}, crop_size={crop_size}"
            )
        self.align_corners = official if align_corners is None else bool(align_corners)
        if batch_size is None:
            batch_size = max(PIXELS_AT_A_TIME // self.crop_size**2, 1)
        self.batch_size = _checked_count("batch_size", batch_size)
        self._logits, self._exponentials = _compiled(model, self.flip)

    def __call__(self, image):
        image = _checked_image(image)
        scores = self._official(image) if self.protocol == "official" else self._mean(image)
        # The maximum of anything with NaN is NaN.
        if not np.isfinite(scores.max()):
            raise ValueError(f"The model's logits aren't finite. Received: model={self.model}")
        return scores

    def _official(self, image):
        scores, exponent = self._sum_of_scales(image, lowered=0.0)
        if not np.isfinite(scores.max()):
            scores, _ = self._sum_of_scales(image, lowered=exponent - LARGEST_EXPONENT)
        return scores

    def _sum_of_scales(self, image, lowered):
        """Returns the official scores, divided by exp(lowered), and the largest exponent."""
        exponents = []

        def run(windows):
            scores, exponent = self._exponentials(windows, lowered)
            exponents.append(float(exponent))
            return scores

        total = 0.0
        for scale in self.scales:
            size = long_side_size(image.shape[:2], math.ceil(self.base_size * scale))
            starts = [window_starts(side, self.crop_size, self.stride) for side in size]
            padded = pad(
                resize(image, size, self.align_corners),
                [places[-1] + self.crop_size for places in starts],
                self.pad_value,
            )
            crop = (self.crop_size, self.crop_size)
            scores = average_of_windows(run, padded, starts, crop, self.batch_size, inside=size)
            total = _add(total, resize(scores, image.shape[:2], self.align_corners))
        return total, max(exponents)

    def _mean(self, image):
        """Returns mmsegmentation's scores."""
        total = 0.0
        for scale in self.scales:
            scaled = resize(image, fitted_size(image.shape[:2], self._bounds(image, scale)), False)
            total = _add(total, self._probabilities(scaled, image.shape[:2]))
            if self.flip:
                mirrored = self._probabilities(scaled[:, ::-1], image.shape[:2])
                total = _add(total, mirrored[:, ::-1])
        total /= len(self.scales) * (1 + self.flip)
        return total

    def _bounds(self, image, scale):
        if self.base_size is None:
            return [int(side * scale + 0.5) for side in image.shape[:2]]
        return [int(side * scale) for side in np.broadcast_to(self.base_size, 2)]

    def _probabilities(self, scaled, size):
        sides = scaled.shape[:2]
        crop = sides if self.window == "whole" else [min(side, self.crop_size) for side in sides]
        starts = [
            shifted_starts(side, length, self.stride)
            for side, length in zip(sides, crop, strict=True)
        ]
        logits = average_of_windows(self._logits, scaled, starts, tuple(crop), self.batch_size)
        return np.asarray(tf.nn.softmax(resize(logits, size, self.align_corners)))


def _compiled(model, flip):
    """Returns two functions of windows `(batch, height, width, 3)`, of any size.

    The first returns their logits; the second, of an exponent to subtract, too,
    the official scores and the largest exponent before that.
    """
    if isinstance(model, SegmentationModel):
        # Folded, it holds a third less at a time, and takes less time.
        model = fold_batch_normalization(model.with_outputs("segmentation"))
    windows = tf.TensorSpec((None, None, None, 3), tf.float32)

    @tf.function(input_signature=[windows])
    def logits(windows):
        outputs = model(windows, training=False)
        if isinstance(outputs, dict):
            if "segmentation" not in outputs:
                raise ValueError(
                    "The model must have one output, logits, or name it `segmentation`. "
                    f"Received: outputs {sorted(outputs)}"
                )
            outputs = outputs["segmentation"]
        return tf.cast(outputs, tf.float32)

    @tf.function(input_signature=[windows, tf.TensorSpec((), tf.float32)])
    def exponentials(windows, lowered):
        exponents = logits(windows)
        if flip:
            # One after the other: at once, they would hold twice the memory.
            with tf.control_dependencies([exponents]):
                mirrored = tf.reverse(windows, [2])
            exponents += tf.reverse(logits(mirrored), [2])
        return tf.exp(exponents - lowered), tf.reduce_max(exponents)

    return logits, exponentials


def _add(total, scores):
    """Adds in place where there is something to add to."""
    if isinstance(total, float):
        return np.array(scores)
    with np.errstate(over="ignore"):
        total += scores
    return total


def _zero_of(model):
    return normalized_zero(model.preprocessing if isinstance(model, SegmentationModel) else "torch")


def _checked_image(image):
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(
            f"Expected one image `(height, width, 3)`. Received: image.shape={image.shape}"
        )
    if image.dtype.kind != "f":
        raise ValueError(
            "Expected a normalized image of floats, not a raw one: "
            "`keras_encnet.preprocess_input(image, model.preprocessing)` makes it. "
            f"Received: image.dtype={image.dtype}"
        )
    if not np.isfinite(image).all():
        raise ValueError("The image must be finite. Received: an image with NaN or inf")
    return image.astype("float32", copy=False)


def _checked_base_size(base_size, official):
    if base_size is None and not official:
        return None
    sides = np.asarray(base_size)
    shapes = [()] if official else [(), (2,)]
    if sides.dtype.kind not in "iu" or sides.shape not in shapes or sides.min() < 1:
        raise ValueError(
            "`base_size` must be a positive integer; mmsegmentation takes two of them, or None, "
            f"too. Received: base_size={base_size!r}"
        )
    return base_size


def _checked_count(name, value):
    check_count(name, value)
    return int(value)


def _checked_scales(scales):
    scales = tuple(float(scale) for scale in np.ravel(scales))
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(
            f"`scales` must be positive numbers, at least one. Received: scales={scales}"
        )
    return scales


def _checked_pad_value(value):
    value = np.asarray(value, "float32")
    if value.shape not in [(), (3,)] or not np.isfinite(value).all():
        raise ValueError(
            "`pad_value` must be a finite number, or three, one a channel. "
            f"Received: pad_value={value}"
        )
    return value
