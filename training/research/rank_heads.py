r"""Ranks what heads could be, in a few minutes each, on features that are computed once.

    python -m training.research.rank_heads FOLDER --recipe folder_encnet50

The features are stage 4 of the frozen backbone at output stride 16, of the very crops that the
recipe would train on, and of the whole images of the split to score. On these, each head is trained
with the recipe's rates, and scored at the resolution of the features. What the choices are is in
`CHOICES`; scores, diagnostics and their plot are written to the output folder, and a choice that is
there already is not trained again.
"""

import dataclasses
import time
from pathlib import Path

import keras
import numpy as np
import tabulate
import tensorflow as tf
from tqdm import tqdm

import keras_encnet
from keras_encnet.callbacks import ContextDiagnostics
from keras_encnet.metrics import presence_scores
from keras_encnet.utils.files import atomic_file
from training import cli
from training.figures.curves import save_diagnostics
from training.research.ablate import check_same, config_of
from training.research.ablation_report import SCORES
from training.run import run_folder
from training.run.fit import optimizer, set_up
from training.tasks.segmentation import Segmentation

OUTPUT_STRIDE = 16
# Steps between two looks of the diagnostics, and the images that they look at.
EVERY, LOOKED_AT = 10, 32
PUBLISHED = {
    "aggregation": "sum",
    "codeword_pooling": "mean",
    "gating": "residual",
    "gate_bias": 0.0,
    "presence_multiplier": None,
}
# What each changes in the recipe. One that changes nothing in it is left out.
CHOICES = {
    "FCN": {"head": "fcn"},
    "released code": PUBLISHED,
    "released code, averages": {**PUBLISHED, "aggregation": "mean"},
    "released code, averages, x times gate": {
        **PUBLISHED,
        "aggregation": "mean",
        "gating": "scale",
    },
    "the recipe": {},
    "the recipe, presence as fast as the head": {"presence_multiplier": None},
    "the recipe, sums in Encoding": {"aggregation": "sum"},
    "the recipe, gates half open": {"gate_bias": 0.0},
    "the recipe, gates nearly open": {"gate_bias": 2.0},
    "the recipe, no codewords": {"num_codewords": 0, "presence_multiplier": None},
    "the recipe, no SE-loss": {"se_weight": 0.0},
}
# The two that the plot compares.
COMPARED = {"released code": "released code", "this package": "the recipe"}


def main(
    data: str,
    recipe: str = "folder_encnet50",
    output: Path = Path("runs/proxy"),
    split: str = "test",
    backbone_weights: str | None = None,
    seeds: tuple[int, ...] = (0,),
):
    """Ranks the choices of `CHOICES` on one data set.

    Args:
        data: a folder data set, or `scenes`.
        recipe: that of an EncNet, which the choices vary.
        output: folder of features and results.
        split: the split to score on.
        backbone_weights: those of the recipe by default.
        seeds: each choice starts from each of them; the crops are those of the recipe's seed.
    """
    config = dataclasses.replace(
        config_of(recipe, data, backbone_weights=backbone_weights),
        val_split=split,
        output_stride=OUTPUT_STRIDE,
        auxiliary="none",
    )
    if (output / "config.json").exists():
        check_same(output / "config.json", run_folder.describe(config))
    set_up(config)
    crops, images, classes = features(config, output / "features.npz")
    for seed in seeds:
        for name, changes in CHOICES.items():
            choice = dataclasses.replace(config, **changes, seed=seed)
            if changes and choice == dataclasses.replace(config, seed=seed):
                continue
            path = output / f"{name.replace(',', '').replace(' ', '_')}-seed{seed}.json"
            if path.exists():
                continue
            print(f"\n{name}, seed {seed}", flush=True)
            result = rank(choice, crops, images, classes)
            result |= {"choice": name, "seed": seed, "environment": run_folder.environment()}
            run_folder.write_json(path, result)
    results = {
        name: [
            run_folder.read_json(path)
            for path in sorted(output.glob("*-seed*.json"))
            if run_folder.read_json(path)["choice"] == name
        ]
        for name in CHOICES
    }
    with atomic_file(output / "table.md") as temporary:
        temporary.write_text(table(results))
    save_diagnostics(
        output / "diagnostics.png", {k: results[name][0] for k, name in COMPARED.items()}
    )
    print(f"\n{table(results)}\nwritten to {output}")


def features(config, path):
    """Returns features and masks of all crops of a training, and of the images to score.

    Args:
        config: a `SegmentationConfig`.
        path: where they are kept for the next time.

    Returns:
        The crops, arrays `(steps, batch, rows, columns, channels)` and `(steps, batch, rows,
        columns)`; the images, a list of pairs of such without the first axis; and how many classes
        there are.
    """
    task = Segmentation(config)
    model = task.build_model()
    if not path.exists():
        # Before the features, so that none are taken for another recipe's; after what may be wrong.
        run_folder.write_json(path.with_name("config.json"), run_folder.describe(config))
        backbone = keras.Model(model.input, model.get_layer("head_conv").input)
        compute = tf.function(
            lambda x: tf.cast(backbone(x, training=False), tf.float16),
            input_signature=[tf.TensorSpec((None, None, None, 3))],
        )
        steps = config.epochs * task.steps_per_epoch
        crops = _computed(compute, task.train_batches(model).take(steps), steps)
        images = _computed(compute, task.val_batches(model), len(task.val_split))
        arrays = {f"x{i}": x for i, (x, _) in enumerate(images)}
        arrays |= {f"y{i}": y for i, (_, y) in enumerate(images)}
        xs, ys = (np.stack(part) for part in zip(*crops, strict=True))
        with atomic_file(path) as temporary:
            np.savez(temporary, crops=xs, masks=ys, **arrays)
    with np.load(path) as arrays:
        images = [(arrays[f"x{i}"], arrays[f"y{i}"]) for i in range(len(task.val_split))]
        return (arrays["crops"], arrays["masks"]), images, model.classes


def _computed(compute, batches, count):
    """The features of batches, and their masks at the same size."""
    found = []
    for images, masks in tqdm(batches, total=count, unit="batch"):
        x = compute(images)
        y = tf.image.resize(masks[..., None], tf.shape(x)[1:3], "nearest")[..., 0]
        found.append((x.numpy(), y.numpy()))
    return found


def rank(config, crops, images, classes):
    """Trains one head on the features, and returns its scores and diagnostics."""
    keras.utils.clear_session()
    set_up(config)  # anew: with the session goes the precision
    model = head_of(config, crops[0].shape[-1], classes)
    steps = len(crops[0])
    multipliers = dict.fromkeys(model.head_layers, config.head_multiplier)
    if "presence" in model.output and config.presence_multiplier is not None:
        multipliers["presence"] = config.presence_multiplier
    objectives = keras_encnet.objectives(
        model, ignore_class=config.ignore_class, se_weight=config.se_weight
    )
    model.compile(optimizer(config, steps, multipliers), **objectives)
    callbacks = []
    if config.head == "encnet":
        spread = np.linspace(0, len(images) - 1, min(LOOKED_AT, len(images))).astype(int)
        callbacks = [
            ContextDiagnostics([images[i] for i in spread], None, EVERY, config.ignore_class)
        ]
    begun = time.monotonic()
    history = model.fit(
        _endless(*crops),
        epochs=config.epochs,
        steps_per_epoch=steps // config.epochs,
        validation_data=_finite(images),
        shuffle=False,
        callbacks=callbacks,
        verbose=2,
    ).history
    seconds = time.monotonic() - begun
    scores = {
        name.removeprefix("val_"): float(values[-1])
        for name, values in history.items()
        if name in ("val_pixel_accuracy", "val_mean_iou")
    }
    if config.head == "encnet":
        answer = tf.function(
            lambda x: model(x, training=False)["presence"],
            input_signature=[tf.TensorSpec((1, None, None, crops[0].shape[-1]))],
        )
        shown = [np.isin(np.arange(classes), mask) for _, mask in images]
        logits = [answer(tf.cast(x, tf.float32))[0] for x, _ in images]
        scores["presence"] = presence_scores(shown, logits)
    return {
        "scores": scores,
        "seconds": seconds,
        "val_mean_iou": [float(value) for value in history["val_mean_iou"]],
        "diagnostics": callbacks[0].history if callbacks else [],
    }


def head_of(config, channels, classes):
    """Builds the head of `config` alone, from features to logits of their size."""
    x = keras.Input((None, None, channels), name="features")
    stages = {f"stage{i}": keras.layers.Identity(name=f"stage{i}")(x) for i in range(1, 5)}
    backbone = keras.Model(x, stages)
    build = {"encnet": keras_encnet.EncNet, "fcn": keras_encnet.FCN}[config.head]
    return build(backbone, classes, variant=config.variant, **config.structure(config.head))


def _endless(xs, ys):
    def to_float32(x, y):
        return tf.cast(x, tf.float32), y

    return tf.data.Dataset.from_tensor_slices((xs, ys)).map(to_float32).repeat()


def _finite(images):
    def pairs():
        for x, y in images:
            yield x.astype("float32"), y

    channels = images[0][0].shape[-1]
    dataset = tf.data.Dataset.from_generator(
        pairs,
        output_signature=(
            tf.TensorSpec((1, None, None, channels), tf.float32),
            tf.TensorSpec((1, None, None), tf.int32),
        ),
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(len(images)))


def table(results):
    """Returns the scores as a Markdown table, the mean over seeds."""
    lines = []
    for name, found in results.items():
        if not found:
            continue
        scores = [f"{100 * np.mean([r['scores'][s] for r in found]):.1f}" for s in SCORES]
        presence = [r["scores"]["presence"] for r in found if "presence" in r["scores"]]
        for score, factor, digits in (("average_precision", 100, 1), ("se_loss", 1, 3)):
            values = [factor * p[score] for p in presence]
            scores.append(f"{np.mean(values):.{digits}f}" if values else "")
        lines.append((name, *scores, len(found)))
    header = ("head", *SCORES.values(), "presence AP %", "SE-loss", "seeds")
    return tabulate.tabulate(lines, header, tablefmt="github", disable_numparse=True) + "\n"


if __name__ == "__main__":
    cli.run(main)
