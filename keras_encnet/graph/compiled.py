"""Outputs of segmentation models in one compiled call, for images of any size.

A call outside of a `tf.function` keeps all feature maps, which takes gigabytes per megapixel. Here
each is freed after its last use, and logits become class maps in strips.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.graph.folding import run_folded
from keras_encnet.graph.rebuilding import calls
from keras_encnet.layers import BilinearUpsampling
from keras_encnet.utils import compat
from keras_encnet.utils.checks import check_count
from keras_encnet.utils.class_maps import class_map_of_windows, class_maps
from keras_encnet.utils.sizes import resize_images
from keras_encnet.utils.windows import pixels_within, shifted_starts, stretches

# Number of pixels in one batch of images, unless one image has more.
BATCH_PIXELS = 2**21
IMAGES = tf.TensorSpec((None, None, None, 3), tf.float32)
OWN_SIZE = tf.TensorSpec((2,), tf.int32)


class CompiledOutputs:
    """Maps images `(batch, height, width, 3)` to a dict of NumPy arrays.

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
        self._areas = tf.function(self._classes_of_area, reduce_retracing=True)
        self._state = LayerState([])

    def __call__(
        self,
        images: np.ndarray,
        window: int | None = None,
        overlap: int | None = None,
        size: Sequence[int] | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs images in batches of bounded size, or in windows.

        Args:
            images: `(batch, height, width, 3)`, as the network expects them.
            window: height and width of the windows, or None for entire images.
            overlap: number of pixels that neighboring windows have in common, less than
                `window`; by default a quarter of it.
            size: height and width to which images are resized before they are cut into windows
                and run, by default their own. Class ids are at their own size.

        Returns:
            `"classes"` and the other outputs, of which windows give the maximum over the windows
            of an image.

        Raises:
            ValueError: if `window` or `overlap` is out of range.
        """
        overlap = checked_overlap(window, overlap)
        self._trace_again_if_changed()
        own = images.shape[1:3]
        size = own if size is None else tuple(size)
        if window is None or window >= max(size):
            step = max(1, BATCH_PIXELS // max(math.prod(own), math.prod(size)))
            batches = [images[i : i + step] for i in range(0, len(images), step)]
            parts = [self._of_batch(batch, size) for batch in batches]
        else:
            parts = [self._of_windows(image[None], size, window, overlap) for image in images]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _resized(self, images, size):
        if images.shape[1:3] == size:
            return tf.cast(images, tf.float32)
        return resize_images(tf.constant(images), size)

    def _of_batch(self, images, size):
        own = tf.constant(images.shape[1:3])
        predictions = self._predictions(self._resized(images, size), own)
        return {name: tensor.numpy() for name, tensor in predictions.items()}

    def _of_windows(self, images, size, window, overlap):
        """Runs windows of one image; logits of two rows of windows are in memory at a time."""
        image, own = self._resized(images, size), images.shape[1:3]
        shape = [min(side, window) for side in size]
        tops, lefts = (
            shifted_starts(side, length, max(length - overlap, 1))
            for side, length in zip(size, shape, strict=True)
        )
        logits, others, bands = {}, [], []
        for top, bottom, at_rows in stretches(tops, shape[0]):
            logits = {corner: x for corner, x in logits.items() if corner[0] in at_rows}
            for corner in itertools.product(at_rows, lefts):
                if corner not in logits:
                    outputs = self._of_window(image, corner, shape)
                    logits[corner] = outputs.pop("segmentation")
                    others.append(outputs)
            rows = pixels_within(top, bottom, size[0], own[0])
            if not len(rows):
                continue
            band = [
                self._of_area(logits, itertools.product(at_rows, at_columns), shape, rows, columns)
                for left, right, at_columns in stretches(lefts, shape[1])
                if len(columns := pixels_within(left, right, size[1], own[1]))
            ]
            bands.append(np.concatenate(band, 1))
        largest = {name: np.max([x[name] for x in others], 0) for name in others[0]}
        return {**largest, "classes": np.concatenate(bands)[None]}

    def _trace_again_if_changed(self):
        state = LayerState(compat.all_layers(self.inner))
        if state != self._state:
            self._state = state
            self._outputs = tf.function(self._network, input_signature=[IMAGES])
            self._predictions = tf.function(self._with_classes, input_signature=[IMAGES, OWN_SIZE])

    def _of_window(self, image, corner, shape):
        (top, left), (height, width) = corner, shape
        return self._outputs(image[:, top : top + height, left : left + width])

    def _of_area(self, logits, windows, shape, rows, columns):
        """Returns the class map of an area that these windows cover."""
        windows = list(windows)
        stacked = tf.concat([logits[window] for window in windows], 0)
        integers = (tf.constant(x, tf.int32) for x in (windows, shape))
        return self._areas(stacked, *integers, tf.constant(rows), tf.constant(columns))

    # Within the graph.

    def _network(self, images):
        outputs = run_folded(self.inner, images)
        return {**outputs, "segmentation": tf.cast(outputs["segmentation"], tf.float32)}

    def _with_classes(self, images, own):
        outputs = self._network(images)
        logits = outputs.pop("segmentation")
        return {**outputs, "classes": class_maps(logits, own[0], own[1], self.align_corners)}

    def _classes_of_area(self, *arguments):
        return class_map_of_windows(*arguments, self.align_corners)


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
        """Returns the outputs for images `(batch, height, width, 3)`, which were resized before."""
        outputs = self.inner(resized, training=False)
        for name, align_corners in self.align_corners.items():
            outputs[name] = BilinearUpsampling(align_corners)(outputs[name], images)
        return outputs


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


class LayerState:
    """What a traced graph of layers depends on, except for the values of variables.

    Two states are equal if all attributes of the layers are the same objects, with the same
    elements if they are collections and the same numbers if they are arrays.
    """

    def __init__(self, layers: Iterable[keras.layers.Layer]):
        # The objects are kept, so that none of their ids is reused.
        self.objects = [x for layer in layers for x in (layer, type(layer), *_parts(vars(layer)))]
        self.ids = [*map(id, self.objects)]
        self.numbers = [x.tobytes() for x in self.objects if isinstance(x, np.ndarray)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayerState) and (self.ids, self.numbers) == (
            other.ids,
            other.numbers,
        )


def _parts(attributes):
    for name, value in attributes.items():
        yield from (name, value)
        if isinstance(value, dict):
            yield from (*value.keys(), *value.values())
        elif isinstance(value, list | tuple | set):
            yield from value


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
