"""Follow the first steps of a training run: how far they move the backbone, and due to which loss.

    python -m training.research.first_steps RECIPE [--option value ...]

It takes the recipes and options of `training.train` and the first `STEPS` steps of the same
training, on one device. A short training relies on the features of its pretrained backbone; with a
learning rate too high for a randomly initialized head, the first ten steps destroy them, and no
loss shows it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_encnet
from keras_encnet.layers import FeatureMapAttention
from keras_encnet.utils.files import write_json
from training import cli
from training.configs import RECIPES, SegmentationConfig
from training.research.experiments import markdown_table, option_value
from training.run import run_folder
from training.run.environment import environment
from training.run.fit import optimizer, set_up
from training.tasks.segmentation import Segmentation

STEPS = 40
# The steps after which features and gradients are measured.
MEASURED = (0, 1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40)
# The step whose batch the drift is measured on: one that a training run hardly ever reaches.
HELD_OUT_STEP = 1_000_000
COLUMNS = {
    "step": "step",
    "loss": "loss",
    "pixel_accuracy": "pixAcc %",
    "drift": "features moved by",
    "classifier": "gradient: classifier",
    "gates": "gates",
    "presence": "SE-loss",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Follow the first steps of the recipe that the command line names."""
    recipes = {name: kind for name, kind in RECIPES.items() if issubclass(kind, SegmentationConfig)}
    name, config = cli.choose(recipes, arguments, prog="python -m training.research.first_steps")
    output = Path(config.run_dir or f"runs/{name}-first-steps")
    with cli.plain_errors():
        measurements = follow(config, STEPS)
        record = {"config": run_folder.describe(config), "measurements": measurements}
        record["environment"] = environment()
        write_json(output / "first_steps.json", record)
        print(f"{table(measurements)}Results written to {output}")


def follow(config: SegmentationConfig, steps: int) -> list[dict[str, float]]:
    """Takes the first steps of a training run and measures features and gradients.

    Args:
        config: the recipe.
        steps: number of steps.

    Returns:
        One dict per measurement: `step`, the number of steps taken; `loss` and `pixel_accuracy` of
        the next batch; `drift`, the distance of the backbone's features from the initial ones,
        divided by their norm; and the norms of the gradient at these features: of the segmentation
        loss through the `classifier` and through the `gates`, and of the SE-loss through the
        `presence` branch. Other heads than that of EncNet have the first of these only.

    Raises:
        ValueError: if the head uses several stages, or if an option has no effect.
    """
    _check(config)
    set_up(config)
    task = Segmentation(config)
    model = task.build_model()
    objectives = task.objectives(model)
    model.compile(
        optimizer(config, task.steps_per_epoch * config.epochs, task.multipliers(model)),
        **objectives,
    )
    held_out, _ = next(iter(task.train_batches(HELD_OUT_STEP)))
    probe = Probe(model, objectives, held_out)
    measurements = []
    for step, batch in zip(range(steps + 1), task.train_batches(), strict=False):
        measured = probe.measure(*batch) if step in MEASURED else None
        model.reset_metrics()
        logs = model.train_on_batch(*batch, return_dict=True)
        if measured:
            scores = {name: float(logs[name]) for name in ("loss", "pixel_accuracy")}
            measurements.append({"step": step, **scores, **measured})
    return measurements


def _check(config):
    config.check()
    cli.refuse(config.changed(("strategy", "cpu_devices")), "on one device")
    lateral, neck = (option_value(config, name) for name in ("lateral", "neck"))
    if lateral or neck != "none":
        raise ValueError(
            "Gradients are measured at the last stage of the backbone, but with `lateral` or a "
            "neck the head uses three stages: add `--lateral False --neck none`. "
            f"Received: lateral={lateral}, neck={neck!r}"
        )


class Probe:
    """Measures the drift of a backbone's features and the gradients that reach them.

    Args:
        model: the model in training.
        objectives: its losses and their weights, as `keras_encnet.objectives` returns them.
        held_out: a batch of images to measure the drift on.
    """

    def __init__(
        self,
        model: keras_encnet.SegmentationModel,
        objectives: Mapping[str, Any],
        held_out: tf.Tensor,
    ):
        self.model = model
        features = keras.Model(model.input, model.get_layer(model.backbone_layers[-1]).output)
        losses = _losses(model, features.output, objectives)

        @tf.function
        def held_out_features():
            return tf.cast(features(held_out, training=False), tf.float32)

        @tf.function
        def norms(images, masks):
            x = features(images, training=False)
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(x)
                values = losses(x, images, masks)
            gradients = {name: tape.gradient(value, x) for name, value in values.items()}
            return {name: tf.norm(tf.cast(value, tf.float32)) for name, value in gradients.items()}

        self._held_out_features, self._norms = held_out_features, norms
        self._start = held_out_features()

    def measure(self, images: tf.Tensor, masks: tf.Tensor) -> dict[str, float]:
        """Returns the drift since the probe was made, and the norms of the gradients."""
        drift = tf.norm(self._held_out_features() - self._start) / tf.norm(self._start)
        # Measuring changes moving statistics and seeds of dropout; training must not notice.
        state = [(v, v.numpy()) for v in self.model.variables if not v.trainable]
        norms = {name: float(norm) for name, norm in self._norms(images, masks).items()}
        for variable, value in state:
            variable.assign(value)
        return {"drift": float(drift), **norms}


def _losses(
    model: keras_encnet.SegmentationModel, features: Any, objectives: Mapping[str, Any]
) -> Callable[..., dict[str, tf.Tensor]]:
    """Returns a function from features, images and masks to one loss per path of the gradient."""
    names = {"segmentation", "presence"} & set(model.output)
    outputs = {name: model.output[name] for name in names}

    def loss(name, masks, logits):
        return objectives["loss_weights"][name] * objectives["loss"][name](masks, logits[name])

    attention = [layer for layer in model.layers if isinstance(layer, FeatureMapAttention)]
    if not attention:
        to_outputs = keras.Model([features, model.input], outputs)

        def direct_losses(x, images, masks):
            return {
                "classifier": loss("segmentation", masks, to_outputs([x, images], training=True))
            }

        return direct_losses

    reduced, code = attention[0].input
    to_reduced, to_code = keras.Model(features, reduced), keras.Model(reduced, code)
    to_outputs = keras.Model([reduced, code, model.input], outputs)

    def encnet_losses(x, images, masks):
        x = to_reduced(x, training=True)
        code = to_code(x, training=True)
        direct = to_outputs([x, tf.stop_gradient(code), images], training=True)
        gated = to_outputs([tf.stop_gradient(x), code, images], training=True)
        return {
            "classifier": loss("segmentation", masks, direct),
            "gates": loss("segmentation", masks, gated),
            "presence": loss("presence", masks, gated),
        }

    return encnet_losses


def table(measurements: Sequence[Mapping[str, float]]) -> str:
    """Returns the measurements as a Markdown table."""
    columns = {key: title for key, title in COLUMNS.items() if key in measurements[0]}
    rows = [[_text(key, values[key]) for key in columns] for values in measurements]
    return markdown_table(rows, list(columns.values()))


def _text(key, value):
    if key == "step":
        return str(value)
    if key == "pixel_accuracy":
        return f"{100 * value:.1f}"
    return f"{value:.2f}" if key in ("loss", "drift") else np.format_float_scientific(value, 1)


if __name__ == "__main__":
    main()
