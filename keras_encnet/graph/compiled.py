"""Outputs of segmentation models in one compiled call, for images of any size.

A call outside of a `tf.function` keeps all feature maps, which takes gigabytes per megapixel. Here
each is freed after its last use, and logits become class maps in strips.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.graph.folding import run_folded
from keras_encnet.graph.layer_state import LayerState
from keras_encnet.graph.rebuilding import calls
from keras_encnet.layers import BilinearUpsampling
from keras_encnet.utils import compat
from keras_encnet.utils.checks import check_count
from keras_encnet.utils.class_maps import blended_windows, class_maps, dtype_of
from keras_encnet.utils.sizes import resize_images
from keras_encnet.utils.windows import pixels_within, shifted_starts, stretches

# Number of pixels in one batch of images, unless one image has more.
BATCH_PIXELS = 2**21
# Number of probabilities in memory at a time when an image is predicted from the top.
BAND_VALUES = 2**24
OWN_SIZE = tf.TensorSpec((2,), tf.int32)


class CompiledOutputs:
    """Maps images `(batch, height, width, channels)` to a dict of NumPy arrays.

    The network is traced at the first call, and again if an attribute of one of its layers has
    been assigned since: for example by `enable_lora` or `quantize`, which also add variables.
    Values of variables are read at each call.

    Args:
        model: a functional segmentation model.
        tensors: symbolic tensors of the model by name. `"segmentation"`, logits, is replaced by
            `"classes"`, their arg-max `(batch, height, width)`: uint8 for up to 256 classes,
            otherwise int32.
    """

    def __init__(self, model: keras.Model, tensors: Mapping[str, keras.KerasTensor]):
        logits, self.align_corners = before_upsampling(model, tensors["segmentation"])
        self.inner = keras.Model(model.input, {**tensors, "segmentation": logits})
        self.classes = logits.shape[-1]
        self._areas = tf.function(self._prediction_of_area, reduce_retracing=True)
        self._state = LayerState([])

    def __call__(
        self,
        images: np.ndarray,
        window: int | None = None,
        overlap: int | None = None,
        size: Sequence[int] | None = None,
        probabilities: bool = False,
    ) -> dict[str, np.ndarray]:
        """Runs images in batches of bounded size, or in windows.

        Args:
            images: `(batch, height, width, channels)`, as the network expects them.
            window: height and width of the windows, or None for entire images.
            overlap: number of pixels that neighboring windows have in common, less than
                `window`; by default a quarter of it.
            size: height and width to which images are resized before they are cut into windows
                and run, by default their own. Class ids are at their own size.
            probabilities: whether to return `"probabilities"`, float32
                `(batch, height, width, classes)`, in place of `"classes"`.

        Returns:
            `"classes"` and the other outputs, of which windows give the maximum over the windows
            of an image.

        Raises:
            ValueError: if `window` or `overlap` is out of range.
        """
        checked_overlap(window, overlap)
        own = images.shape[1:3]
        size = own if size is None else tuple(size)
        if probabilities or is_split(size, window):
            parts = [self._of_rows(x, window, overlap, size, probabilities) for x in images]
        else:
            self._trace_again_if_changed()
            step = max(1, BATCH_PIXELS // max(math.prod(own), math.prod(size)))
            batches = [images[i : i + step] for i in range(0, len(images), step)]
            parts = [self._of_batch(batch, size) for batch in batches]
        if len(parts) == 1:  # without a copy
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def rows(
        self,
        image: np.ndarray,
        window: int | None = None,
        overlap: int | None = None,
        size: Sequence[int] | None = None,
        probabilities: bool = False,
    ) -> tuple[Iterator[np.ndarray], dict[str, np.ndarray]]:
        """Runs one image a few rows at a time.

        In memory are the image and, before upsampling, the logits of the windows that share rows.

        Args:
            image: `(height, width, channels)`, as the network expects it.
            window: as above.
            overlap: as above.
            size: as above.
            probabilities: as above.

        Returns:
            An iterator of consecutive rows from the top: class ids `(rows, width)` or probabilities
            `(rows, width, classes)`. And a dict, which holds the other outputs, of which windows
            give the maximum, once all rows have been read.

        Raises:
            ValueError: if `window` or `overlap` is out of range.
        """
        overlap = checked_overlap(window, overlap)
        self._trace_again_if_changed()
        own = image.shape[:2]
        size = own if size is None else tuple(size)
        shape = [side if window is None else min(side, window) for side in size]
        starts = [
            shifted_starts(side, length, max(length - overlap, 1))
            for side, length in zip(size, shape, strict=True)
        ]
        outputs: dict[str, np.ndarray] = {}
        windows = self._rows_of_windows(self._resized(image[None], size), starts, shape, outputs)
        return self._blended_rows(windows, starts[1], shape, size, own, probabilities), outputs

    def _rows_of_windows(self, image, starts, shape, outputs):
        """Yields the stretches of rows, and the logits of the windows that cover each."""
        logits = {}
        for top, bottom, at_rows in stretches(starts[0], shape[0]):
            logits = {corner: x for corner, x in logits.items() if corner[0] in at_rows}
            for corner in itertools.product(at_rows, starts[1]):
                if corner not in logits:
                    found = self._of_window(image, corner, shape)
                    logits[corner] = found.pop("segmentation")
                    for name, x in found.items():
                        outputs[name] = np.maximum(x, outputs.get(name, x))
            yield top, bottom, logits

    def _blended_rows(self, windows, lefts, shape, size, own, probabilities):
        """Yields predictions, with no more than `BAND_VALUES` probabilities at a time."""
        columns = [
            (pixels, at_columns)
            for left, right, at_columns in stretches(lefts, shape[1])
            if len(pixels := pixels_within(left, right, size[1], own[1]))
        ]
        step = max(1, BAND_VALUES // (own[1] * self.classes)) if probabilities else own[0]
        for top, bottom, logits in windows:
            rows = pixels_within(top, bottom, size[0], own[0])
            for start in range(0, len(rows), step):
                parts = [
                    self._of_area(
                        {corner: x for corner, x in logits.items() if corner[1] in at_columns},
                        shape,
                        rows[start : start + step],
                        pixels,
                        probabilities,
                    )
                    for pixels, at_columns in columns
                ]
                yield np.concatenate(parts, 1)

    def _of_rows(self, image, window, overlap, size, probabilities):
        """Returns the outputs for one image, as a batch, from its rows."""
        rows, outputs = self.rows(image, window, overlap, size, probabilities)
        if probabilities:
            name, prediction = (
                "probabilities",
                np.empty((*image.shape[:2], self.classes), "float32"),
            )
        else:
            name, prediction = "classes", np.empty(image.shape[:2], dtype_of(self.classes))
        start = 0
        for band in rows:
            prediction[start : start + len(band)] = band
            start += len(band)
        return {**outputs, name: prediction[None]}

    def _resized(self, images, size):
        return images if images.shape[1:3] == size else resize_images(tf.constant(images), size)

    def _of_batch(self, images, size):
        own = tf.constant(images.shape[1:3])
        resized = tf.cast(self._resized(images, size), tf.float32)
        predictions = self._predictions(resized, own)
        return {name: tensor.numpy() for name, tensor in predictions.items()}

    def _trace_again_if_changed(self):
        state = LayerState(compat.all_layers(self.inner))
        if state != self._state:
            self._state = state
            images = tf.TensorSpec((None, None, None, self.inner.input.shape[-1]), tf.float32)
            self._outputs = tf.function(self._network, input_signature=[images])
            self._predictions = tf.function(self._with_classes, input_signature=[images, OWN_SIZE])

    def _of_window(self, image, corner, shape):
        (top, left), (height, width) = corner, shape
        pixels = image[:, top : top + height, left : left + width]
        return self._outputs(tf.cast(pixels, tf.float32))

    def _of_area(self, logits, shape, rows, columns, probabilities):
        """Returns the prediction for an area that the windows with these logits cover."""
        stacked = tf.concat([*logits.values()], 0)
        integers = (tf.constant(x, tf.int32) for x in ([*logits], shape))
        area = tf.constant(rows), tf.constant(columns)
        return self._areas(stacked, *integers, *area, probabilities)

    # Within the graph.

    def _network(self, images):
        outputs = run_folded(self.inner, images)
        return {**outputs, "segmentation": tf.cast(outputs["segmentation"], tf.float32)}

    def _with_classes(self, images, own):
        outputs = self._network(images)
        logits = outputs.pop("segmentation")
        return {**outputs, "classes": class_maps(logits, own[0], own[1], self.align_corners)}

    def _prediction_of_area(self, logits, corners, shape, rows, columns, probabilities):
        area = logits, corners, shape, rows, columns
        return blended_windows(*area, self.align_corners, probabilities)


class OutputsAtOwnSize:
    """Runs a network on resized images; logits of pixels get the size of the original images.

    Logits are resized once, from those before `BilinearUpsampling`.

    Args:
        model: a functional segmentation model with a dict of outputs.
    """

    def __init__(self, model: keras.Model):
        tensors, self.align_corners = dict(model.output), {}
        for name in tensors:
            if name.startswith("segmentation"):
                tensors[name], self.align_corners[name] = before_upsampling(model, tensors[name])
        self.inner = keras.Model(model.input, tensors)

    def __call__(self, images: tf.Tensor, resized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the outputs for images `(batch, height, width, channels)` and these resized."""
        outputs = self.inner(resized, training=False)
        for name, align_corners in self.align_corners.items():
            outputs[name] = BilinearUpsampling(align_corners)(outputs[name], images)
        return outputs


def is_split(size: Sequence[int], window: int | None) -> bool:
    """Returns whether images of a height and width are processed in several windows."""
    return window is not None and window < max(size)


def checked_overlap(window: int | None, overlap: int | None) -> int:
    """Returns the overlap of windows, by default a quarter of `window`.

    Raises:
        ValueError: if `window` or `overlap` is out of range.
    """
    if window is None:
        if overlap is not None:
            raise ValueError(f"`overlap` requires `window`. Received: overlap={overlap!r}")
        return 0
    check_count("window", window)
    if overlap is None:
        return window // 4
    check_count("overlap", overlap, least=0, most=window - 1)
    return overlap


def before_upsampling(
    model: keras.Model, logits: keras.KerasTensor
) -> tuple[keras.KerasTensor, bool]:
    """Returns logits before `BilinearUpsampling`, and its `align_corners`.

    Logits without `BilinearUpsampling` are returned as they are.
    """
    upsampling = compat.producer_of(logits)
    if not isinstance(upsampling, BilinearUpsampling):
        return logits, False
    [node] = [node for node in calls(model) if node.operation is upsampling]
    return node.input_tensors[0], upsampling.align_corners
