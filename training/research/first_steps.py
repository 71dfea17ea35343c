"""Follows the first steps of a training: how far they move the backbone, and which loss does it.

    python -m training.research.first_steps RECIPE [--option value ...]

Takes the recipes and options of `training.train`, on one device, and takes the first `STEPS` steps
of that very training. A short training lives on the features of its pretrained backbone; a rate
that is too high for a head at random destroys them within ten steps, and no loss shows it.
"""

from pathlib import Path

import keras
import numpy as np
import tabulate
import tensorflow as tf

from keras_encnet.layers import FeatureMapAttention
from training import cli
from training.configs import RECIPES, SegmentationConfig
from training.run import run_folder
from training.run.fit import optimizer, set_up
from training.tasks.segmentation import Segmentation

STEPS = 40
# The steps after which features and gradients are looked at.
LOOKS = (0, 1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40)
# A batch that the training comes to much later, if ever, whose features are followed.
WATCHED_STEP = 1_000_000
COLUMNS = {
    "step": "step",
    "loss": "loss",
    "pixel_accuracy": "pixAcc %",
    "drift": "features moved by",
    "classifier": "gradient: classifier",
    "gates": "gates",
    "presence": "SE-loss",
}


def main(arguments=None):
    """Follows the first steps of the recipe that the command line names."""
    recipes = {name: kind for name, kind in RECIPES.items() if issubclass(kind, SegmentationConfig)}
    name, config = cli.choose(recipes, arguments, prog="python -m training.research.first_steps")
    output = Path(config.run_dir or f"runs/{name}-first-steps")
    with cli.plain_errors():
        looks = follow(config)
        record = {"config": run_folder.describe(config), "looks": looks}
        record["environment"] = run_folder.environment()
        run_folder.write_json(output / "first_steps.json", record)
        print(f"{table(looks)}written to {output}")


def follow(config, steps=STEPS):
    """Takes the first steps of a training and looks at its features and gradients.

    Args:
        config: a `SegmentationConfig`.
        steps: how many.

    Returns:
        A list of dicts, one a look: `step`, the number of steps taken; `loss` and
        `pixel_accuracy` of the batch that comes next; `drift`, the distance of the backbone's
        features from what they were, over their norm; and the norms of the gradient that reaches
        these features from the loss of the segmentation by way of the `classifier`, by way of the
        `gates`, and from the SE-loss on the `presence` branch. FCN has the first alone.

    Raises:
        ValueError: for a network whose head joins several stages, or an option of no use.
    """
    config.check()
    devices = config.changed(("strategy", "cpu_devices"))
    cli.refuse(devices, "on one device")
    if config.lateral:
        raise ValueError(
            "The gradient is followed to the backbone's last stage, and with `lateral` the head "
            f"begins at three: give `--lateral False`. Received: lateral={config.lateral}"
        )
    set_up(config)
    task = Segmentation(config)
    model = task.build_model()
    objectives = task.objectives(model)
    model.compile(
        optimizer(config, task.steps_per_epoch * config.epochs, task.multipliers(model)),
        **objectives,
    )
    features = keras.Model(model.input, _features(model))
    watched, _ = next(iter(task.train_batches(model, WATCHED_STEP)))
    of_watched = tf.function(lambda: tf.cast(features(watched, training=False), tf.float32))
    start, gradients = of_watched(), _gradients(model, features, objectives)
    looks = []
    for step, batch in zip(range(steps + 1), task.train_batches(model), strict=False):
        if step in LOOKS:
            drift = tf.norm(of_watched() - start) / tf.norm(start)
            # Statistics and seeds of dropout move by that; the training is to go on as if alone.
            kept = [(v, v.numpy()) for v in model.variables if not v.trainable]
            norms = {name: float(norm) for name, norm in gradients(*batch).items()}
            for variable, value in kept:
                variable.assign(value)
        model.reset_metrics()
        logs = model.train_on_batch(*batch, return_dict=True)
        if step in LOOKS:
            scores = {name: float(logs[name]) for name in ("loss", "pixel_accuracy")}
            looks.append({"step": step, **scores, "drift": float(drift), **norms})
    return looks


def _features(model):
    """The backbone's last tensor, which the head begins at."""
    return model.get_layer(model.backbone_layers[-1]).output


def _gradients(model, features, objectives):
    """Returns a function from a batch to the norms of the gradients that reach the features."""
    outputs = {
        name: model.output[name] for name in {"segmentation", "presence"} & set(model.output)
    }
    attention = [layer for layer in model.layers if isinstance(layer, FeatureMapAttention)]
    if attention:
        x, code = attention[0].input
        to_x = keras.Model(features.output, x)
        to_code = keras.Model(x, code)
        to_outputs = keras.Model([x, code, model.input], outputs)
    else:
        to_outputs = keras.Model([features.output, model.input], outputs)

    def loss(name, masks, logits):
        return objectives["loss_weights"][name] * objectives["loss"][name](masks, logits)

    @tf.function
    def norms(images, masks):
        watched = features(images, training=False)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(watched)
            if attention:
                x = to_x(watched, training=True)
                code = to_code(x, training=True)
                direct = to_outputs([x, tf.stop_gradient(code), images], training=True)
                gated = to_outputs([tf.stop_gradient(x), code, images], training=True)
                losses = {
                    "classifier": loss("segmentation", masks, direct["segmentation"]),
                    "gates": loss("segmentation", masks, gated["segmentation"]),
                }
                losses["presence"] = loss("presence", masks, gated["presence"])
            else:
                answer = to_outputs([watched, images], training=True)
                losses = {"classifier": loss("segmentation", masks, answer["segmentation"])}
        found = {name: tape.gradient(value, watched) for name, value in losses.items()}
        return {name: tf.norm(tf.cast(value, tf.float32)) for name, value in found.items()}

    return norms


def table(looks):
    """Returns the looks as a Markdown table."""
    columns = {key: title for key, title in COLUMNS.items() if key in looks[0]}
    rows = [[_text(key, look[key]) for key in columns] for look in looks]
    return (
        tabulate.tabulate(rows, columns.values(), tablefmt="github", disable_numparse=True) + "\n"
    )


def _text(key, value):
    if key == "step":
        return str(value)
    if key == "pixel_accuracy":
        return f"{100 * value:.1f}"
    return f"{value:.2f}" if key in ("loss", "drift") else np.format_float_scientific(value, 1)


if __name__ == "__main__":
    main()
