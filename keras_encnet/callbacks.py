"""A callback that measures the Context Encoding Module during training."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.layers import Encoding, FeatureMapAttention
from keras_encnet.losses import class_presence
from keras_encnet.metrics import presence_scores
from keras_encnet.utils.checks import check_count

# A codeword is live if its share of the pixels is at least this fraction of an even share.
LIVE = 0.1


class ContextDiagnostics(keras.callbacks.Callback):
    """Measures whether codewords, gates and the presence branch learn.

    Segmentation also learns without them, and the losses do not show whether they contribute. On
    a fixed set of images, after each epoch and optionally every few steps, this measures:

    - per Encoding layer: `live_codewords`, the number of codewords whose share of the pixels is
      at least a tenth of an even share; `largest_share` of a codeword; `assignment_entropy`, the
      mean entropy of the assignment per pixel, from 0 to 1 (even);
    - per FeatureMapAttention layer: `gate_mean`; `gate_spread_images`, the standard deviation of
      a gate over the images, averaged over the gates, which is near 0 if the gates do not depend
      on the image; `gate_spread_channels`, the standard deviation over the channels;
    - per presence branch: `se_loss`, `base_rate_loss`, `average_precision` and
      `calibration_error`, see `keras_encnet.metrics.presence_scores`.

    At the end of an epoch it warns if most codewords are dead and, after the first epoch, if a
    presence branch does not beat the base rates.

    Example:

    >>> import numpy as np
    >>> from keras_encnet import EncNet, objectives
    >>> from keras_encnet.backbones import ResNet18
    >>> images, masks = np.zeros((4, 32, 32, 3)), np.zeros((4, 32, 32), int)
    >>> model = EncNet(ResNet18(width_multiplier=0.125), classes=2, channels=8)
    >>> model.compile("sgd", **objectives(model))
    >>> diagnostics = ContextDiagnostics([(images, masks)])
    >>> history = model.fit(images, masks, verbose=0, callbacks=[diagnostics])
    >>> diagnostics.history[-1]["context_encoding/live_codewords"]
    32

    Args:
        batches: Finite iterable, such as a `tf.data.Dataset` or a list, of images
            `(batch, height, width, channels)`, with or without masks. It is read once when
            training begins. About thirty images suffice.
        log_dir: Path of a folder for TensorBoard, or None.
        every: Integer, number of steps between measurements, or None to measure only at the end
            of epochs.
        ignore_class: Integer or sequence of integers, the ignored labels.

    Attributes:
        history: List of one dict per measurement, with `step` and the values above under the
            keys `<layer>/<value>`.

    Raises:
        ValueError: If `every` is not positive; when training begins, if the model has none of
            these layers or `batches` is empty.
    """

    def __init__(
        self,
        batches: Iterable,
        log_dir: str | os.PathLike | None = None,
        every: int | None = None,
        ignore_class: int | Sequence[int] = 255,
    ):
        super().__init__()
        if every is not None:
            check_count("every", every)
        self.batches = batches
        self.log_dir = log_dir
        self.every = every
        self.ignore_class = ignore_class
        self.history: list[dict] = []

    def on_train_begin(self, logs=None):
        batches = [_images_and_masks(batch) for batch in self.batches]
        if not batches:
            raise ValueError(f"Expected at least one batch. Received: batches={self.batches}")
        self._images, self._masks = zip(*batches, strict=True)
        self._probes = _probes_of(self.model, self.ignore_class)
        inner = keras.Model(self.model.input, {probe.name: probe.tensor for probe in self._probes})
        resized = getattr(self.model, "resized", tf.identity)  # to the working size, if any
        self._observe = tf.function(
            lambda images: inner(resized(images), training=False), reduce_retracing=True
        )
        self._measured_step = None
        self._measured_interval = self._interval()
        self._writer = None
        if self.log_dir is not None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))

    def on_train_batch_end(self, batch, logs=None):
        # One call of the compiled step may run several steps.
        if self._interval() > self._measured_interval:
            self._measured_interval = self._interval()
            self._measure()

    def on_epoch_end(self, epoch, logs=None):
        if self._measured_step != self._step():
            self._measure()
        for probe in self._probes:
            message = probe.warning(first_epoch=epoch == 0)
            if message:
                warnings.warn(message, stacklevel=2)

    def _step(self):
        return int(self.model.optimizer.iterations.numpy())

    def _interval(self):
        return 0 if self.every is None else self._step() // self.every

    def _measure(self):
        outputs = [self._observe(images) for images in self._images]
        values = {}
        for probe in self._probes:
            probe.measure([output[probe.name] for output in outputs], self._masks)
            values |= {f"{probe.name}/{key}": value for key, value in probe.values.items()}
        self._measured_step = self._step()
        self.history.append({"step": self._measured_step, **values})
        if self._writer is not None:
            with self._writer.as_default(step=self._measured_step):
                for name, value in values.items():
                    tf.summary.scalar(f"context/{name}", value)
            self._writer.flush()


class _EncodingProbe:
    """Measures how pixels are assigned to the codewords of an Encoding layer."""

    def __init__(self, layer):
        self.layer, self.name, self.tensor = layer, layer.name, layer.input

    def measure(self, features, masks):
        assignment = np.concatenate([self._assignment(x) for x in features])
        codewords = assignment.shape[1]
        shares = assignment.mean(0)
        entropy = -(assignment * np.log(np.maximum(assignment, 1e-12))).sum(1).mean()
        self.values = {
            "live_codewords": int((shares >= LIVE / codewords).sum()),
            "largest_share": float(shares.max()),
            "assignment_entropy": float(entropy / max(np.log(codewords), 1e-12)),
        }

    def _assignment(self, x):
        """Returns the assignment of all pixels of a batch, `(pixels, codewords)`."""
        return np.reshape(self.layer.assignment(x), (-1, self.layer.num_codewords))

    def warning(self, first_epoch):
        live = self.values["live_codewords"]
        if live >= self.layer.num_codewords / 2:
            return None
        remedy = "Check the learning rate of the layer and its factors `scale`."
        if self.layer.aggregation == "sum":
            remedy = "`aggregation='mean'`, as in the default variant, keeps them alive."
        return (
            f"{live} of the {self.layer.num_codewords} codewords of {self.name!r} are live: the "
            "others are assigned almost no pixels, and batch normalization amplifies their noise. "
            f"{remedy}"
        )


class _AttentionProbe:
    """Measures the gates of a FeatureMapAttention layer."""

    def __init__(self, layer):
        self.layer, self.name, self.tensor = layer, layer.name, layer.input[1]

    def measure(self, codes, masks):
        gates = np.concatenate([self.layer.gates(code) for code in codes])
        self.values = {
            "gate_mean": float(gates.mean()),
            "gate_spread_images": float(gates.std(0).mean()),
            "gate_spread_channels": float(gates.mean(0).std()),
        }

    def warning(self, first_epoch):
        return None


class _PresenceProbe:
    """Measures the predictions of a presence branch on images with masks."""

    def __init__(self, name, tensor, ignore_class):
        self.name, self.tensor, self.ignore_class = name, tensor, ignore_class

    def measure(self, logits, masks):
        self.values = {}
        if any(mask is None for mask in masks):
            return
        classes = self.tensor.shape[-1]
        targets = [class_presence(mask, classes, self.ignore_class) for mask in masks]
        presence, labeled = (np.concatenate(part) for part in zip(*targets, strict=True))
        if labeled.any():
            self.values = presence_scores(presence[labeled], np.concatenate(logits)[labeled])
            self.expected_loss = _expected_base_rate_loss(presence[labeled])

    def warning(self, first_epoch):
        if first_epoch or not self.values:
            return None
        loss, base = self.values["se_loss"], self.expected_loss
        if loss < base:
            return None
        return (
            f"{self.name!r} does not beat the base rates: its SE-loss is {loss:.3f}, and always "
            f"predicting how often each class is present gives {base:.3f}. Check the live "
            "codewords and the learning rate of this layer."
        )


def _expected_base_rate_loss(presence):
    """Returns the SE-loss of base rates that are estimated from these images.

    Half an image more counts as showing each class, and another half as showing none: without them,
    the base rates of one image, or of images of the same classes, would have no loss at all.
    """
    rates = (presence.sum(0) + 0.5) / (len(presence) + 1)
    return -np.log(np.where(presence, rates, 1 - rates)).mean()


def _probes_of(model, ignore_class):
    """Returns one probe per Encoding layer, FeatureMapAttention layer and presence branch."""
    kinds = {Encoding: _EncodingProbe, FeatureMapAttention: _AttentionProbe}
    probes = [
        probe(layer)
        for layer in model.layers
        for kind, probe in kinds.items()
        if isinstance(layer, kind)
    ]
    if not probes:
        raise ValueError(
            "Expected a model with Encoding or FeatureMapAttention layers, such as an EncNet. "
            f"Received: model={model.name!r}"
        )
    outputs = model.output if isinstance(model.output, dict) else {}
    branches = [name for name in outputs if name.startswith("presence")]
    return probes + [_PresenceProbe(name, outputs[name], ignore_class) for name in branches]


def _images_and_masks(batch):
    """Returns images and masks, or None, of a batch as `fit` accepts it, weights included."""
    if not isinstance(batch, (tuple, list)):
        return batch, None
    images, masks = batch[0], batch[1] if len(batch) > 1 else None
    if masks is not None and len(masks.shape) == 4:
        masks = keras.ops.squeeze(masks, -1)
    return images, masks
