"""A callback that looks into the Context Encoding Module while it trains."""

import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.layers import Encoding, FeatureMapAttention
from keras_encnet.losses import class_presence
from keras_encnet.metrics import presence_scores
from keras_encnet.utils.checks import check_count

# A codeword is live if it takes this part of an even share of the pixels, or more.
LIVE = 0.1


class ContextDiagnostics(keras.callbacks.Callback):
    """Tells whether codewords, gates and the presence branch learn anything.

    Segmentation learns without them, and no loss tells whether they joined in.
    On a fixed set of images, after each epoch and every so many steps:

    - of each Encoding layer: `live_codewords`, how many take at least a tenth
      of an even share of the pixels; `largest_share`, what the greediest
      takes; `assignment_entropy`, of a pixel's assignment, 0 to 1 (even);
    - of each FeatureMapAttention: `gate_mean`; `gate_spread_images`, the
      standard deviation of a gate over the images, the mean of all gates:
      near 0, the gates don't depend on the image; `gate_spread_channels`, that
      over the channels;
    - of each presence branch: `se_loss`, `base_rate_loss` and
      `average_precision`, see `keras_encnet.metrics.presence_scores`.

    Warns at the end of an epoch when most codewords are dead, and when a
    presence branch doesn't beat the base rates after the first epoch.

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
        batches: what is looked at: a finite iterable, read once at the start
            of training, of normalized images `(batch, height, width,
            channels)` and masks, such as a `tf.data.Dataset` or a list. Some
            thirty images tell enough. Masks may be missing, as for
            classifiers.
        log_dir: folder for TensorBoard, or None.
        every: steps between two looks, or None, at the end of epochs alone.
        ignore_class: the label, or labels, that count nowhere.

    Attributes:
        history: list of dicts, one a look, with `step` and the numbers above as
            `<layer>/<number>`.

    Raises:
        ValueError: for another `every`; as training begins, if the model has
            none of these layers or `batches` is empty.
    """

    def __init__(self, batches, log_dir=None, every=None, ignore_class=255):
        super().__init__()
        if every is not None:
            check_count("every", every)
        self.batches = batches
        self.log_dir = log_dir
        self.every = every
        self.ignore_class = ignore_class
        self.history = []

    def on_train_begin(self, logs=None):
        self._batches = [_images_and_masks(batch) for batch in self.batches]
        if not self._batches:
            raise ValueError(f"Expected at least one batch. Received: batches={self.batches}")
        self._inside, self._looks = _inside(self.model)
        self._looked = self._interval()
        self._writer = None
        if self.log_dir is not None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))

    def on_train_batch_end(self, batch, logs=None):
        # A call of the compiled step may take several steps.
        if self._interval() > self._looked:
            self._looked = self._interval()
            self._look()

    def on_epoch_end(self, epoch, logs=None):
        if not self.history or self.history[-1]["step"] != self._step():
            self._look()
        for message in _complaints(self.history[-1], self._looks, first=epoch == 0):
            warnings.warn(message, stacklevel=2)

    def _step(self):
        return int(self.model.optimizer.iterations.numpy())

    def _interval(self):
        return 0 if self.every is None else self._step() // self.every

    def _look(self):
        answers = [self._inside(images) for images, _ in self._batches]
        numbers = {}
        for name, layer in self._looks.items():
            tensors = [answer[name] for answer in answers]
            if isinstance(layer, Encoding):
                found = _of_assignment(np.concatenate([_flat(layer, x) for x in tensors]))
            elif isinstance(layer, FeatureMapAttention):
                found = _of_gates(np.concatenate([layer.gates(code) for code in tensors]))
            else:
                found = self._of_presence(tensors)
            numbers |= {f"{name}/{key}": value for key, value in found.items()}
        self.history.append({"step": self._step(), **numbers})
        if self._writer is not None:
            with self._writer.as_default(step=self._step()):
                for name, value in numbers.items():
                    tf.summary.scalar(f"context/{name}", value)
            self._writer.flush()

    def _of_presence(self, logits):
        masks = [mask for _, mask in self._batches]
        if any(mask is None for mask in masks):
            return {}
        presence, told = zip(
            *(
                class_presence(mask, logit.shape[-1], self.ignore_class)
                for mask, logit in zip(masks, logits, strict=True)
            ),
            strict=True,
        )
        told = np.concatenate(told)
        if not told.any():
            return {}
        return presence_scores(np.concatenate(presence)[told], np.concatenate(logits)[told])


def _images_and_masks(batch):
    """A batch as `fit` takes it, whose masks may have a trailing 1, and which may have weights."""
    if not isinstance(batch, (tuple, list)):
        return batch, None
    images, masks, *_ = (*batch, None)
    if masks is not None and len(masks.shape) == 4:
        masks = keras.ops.squeeze(masks, -1)
    return images, masks


def _inside(model):
    """Returns a function from images to what the module's layers see, and these layers by name."""
    looks, tensors = {}, {}
    for layer in model.layers:
        if isinstance(layer, Encoding):
            looks[layer.name], tensors[layer.name] = layer, layer.input
        elif isinstance(layer, FeatureMapAttention):
            looks[layer.name], tensors[layer.name] = layer, layer.input[1]
    if not looks:
        raise ValueError(
            "Expected a model with Encoding or FeatureMapAttention layers, such as an EncNet. "
            f"Received: model={model.name!r}"
        )
    if isinstance(model.output, dict):
        for name in model.output:
            if name.startswith("presence"):
                looks[name], tensors[name] = None, model.output[name]
    inside = keras.Model(model.input, tensors)
    return tf.function(lambda images: inside(images, training=False), reduce_retracing=True), looks


def _flat(encoding, x):
    """The assignment of all pixels of a batch: `(pixels, codewords)`."""
    return np.reshape(encoding.assignment(x), (-1, encoding.num_codewords))


def _of_assignment(assignment):
    codewords = assignment.shape[1]
    shares = assignment.mean(0)
    entropy = -(assignment * np.log(np.maximum(assignment, 1e-12))).sum(1).mean()
    return {
        "live_codewords": int((shares >= LIVE / codewords).sum()),
        "largest_share": float(shares.max()),
        "assignment_entropy": float(entropy / max(np.log(codewords), 1e-12)),
    }


def _of_gates(gates):
    return {
        "gate_mean": float(gates.mean()),
        "gate_spread_images": float(gates.std(0).mean()),
        "gate_spread_channels": float(gates.mean(0).std()),
    }


def _complaints(numbers, looks, first):
    """Returns what is wrong at the end of an epoch, a sentence each."""
    messages = []
    for name, layer in looks.items():
        if isinstance(layer, Encoding):
            live = numbers[f"{name}/live_codewords"]
            if live < layer.num_codewords / 2:
                remedy = "Look at the layer's learning rate and at the factors `scale`."
                if layer.aggregation == "sum":
                    remedy = "`aggregation='mean'` (the default variant) keeps them alive."
                messages.append(
                    f"{live} of the {layer.num_codewords} codewords of {name!r} are live: the "
                    "others take next to no pixels, and batch normalization makes signals of "
                    f"their noise. {remedy}"
                )
        elif layer is None and f"{name}/se_loss" in numbers and not first:
            loss, base = numbers[f"{name}/se_loss"], numbers[f"{name}/base_rate_loss"]
            if loss >= base:
                messages.append(
                    f"{name!r} does not beat the base rates: its SE-loss is {loss:.3f}, that of "
                    f"always telling how often each class is shown is {base:.3f}. Look at the "
                    "live codewords, and at the learning rate of this layer."
                )
    return messages
