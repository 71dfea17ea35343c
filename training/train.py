"""Trains a network: a recipe in, `model.fit`, a run folder out.

python -m training.train RECIPE [--option value ...]
python -m training.train --help
python -m training.train RECIPE --help
"""

import sys
from pathlib import Path

import keras

import keras_encnet
from training import callbacks, check_data, cli, input_pipeline, records
from training.configs import RECIPES
from training.datasets import open_split


def main(arguments=None):
    """Trains the recipe that the command line names."""
    name, config = cli.choose(RECIPES, arguments, prog="python -m training.train")
    with cli.plain_errors():
        train(config, Path(config.run_dir or f"runs/{name}"))


def train(config, run_dir):
    """Trains as `config` says and records everything in `run_dir`.

    Returns:
        The trained model and its history, a dict of lists, one value an epoch.
    """
    records.check_free(run_dir, config.overwrite)
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(
        "float32" if config.precision == "float32" else f"mixed_{config.precision}"
    )
    splits = {"train": config.train_split, "val": config.val_split}
    splits = {key: open_checked(config, split) for key, split in splits.items()}
    steps = input_pipeline.steps_per_epoch(splits["train"], config.batch_size)

    model = build_model(config, splits["train"].class_names)
    model.compile(
        optimizer(config, model, steps * config.epochs),
        **keras_encnet.objectives(
            model,
            void=config.void,
            se_weight=config.se_weight,
            auxiliary_weight=config.auxiliary_weight,
            class_weights=config.class_weights,
        ),
    )
    batches = input_pipeline.train_batches(
        splits["train"],
        crop_size=config.crop_size,
        batch_size=config.batch_size,
        mode=model.preprocessing,
        seed=config.seed,
        augmentation=input_pipeline.Augmentation(config.flip, config.scale, config.rotation),
        void=config.void,
    )
    # Only now, so that what was wrong up to here can be mended and tried again.
    records.begin(run_dir, config)
    history = model.fit(
        batches,
        epochs=config.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are shuffled already
        validation_data=input_pipeline.whole_images(splits["val"], mode=model.preprocessing),
        callbacks=callbacks.of_run(run_dir, model, splits["val"], config.void),
    )
    return model, history.history


def open_checked(config, name):
    """Opens a split of the configured data and reads every file of it once."""
    split = open_split(config.data, name)
    report = check_data.check_split(split, config.void)
    if config.skip_bad and report.problems:
        for stem, problem in report.problems:
            print(f"skipping {stem}: {problem}", file=sys.stderr)
        return split.without(report.bad_stems)
    report.raise_if_bad()
    return split


def build_model(config, class_names):
    """Builds the network of `config` for these classes."""
    parts = keras_encnet.models.variant_parts(
        config.variant, stem=config.stem, stride_on=config.stride_on
    )
    build_backbone = getattr(keras_encnet.backbones, config.backbone.replace("resnet", "ResNet"))
    backbone = build_backbone(
        output_stride=config.output_stride,
        stem=parts["stem"],
        stride_on=parts["stride_on"],
        width_multiplier=config.width_multiplier,
        weights=config.backbone_weights,
        **({"blocks": config.blocks} if config.blocks else {}),
    )
    preprocessing = keras_encnet.backbones.preprocessing_of(parts["stride_on"])
    if config.head == "fcn":
        model = keras_encnet.FCN(backbone, len(class_names), preprocessing=preprocessing)
    else:
        names = ("variant", "num_codewords", "channels", "reduction", "gating", "auxiliary")
        names += ("lateral", "align_corners", "dropout")
        model = keras_encnet.EncNet(
            backbone,
            len(class_names),
            preprocessing=preprocessing,
            **{name: getattr(config, name) for name in names},
        )
    model.class_names = class_names
    if config.freeze_backbone_batch_normalization:
        model.freeze_backbone_batch_normalization()
    return model


def optimizer(config, model, steps):
    """SGD with the poly schedule over `steps`, as `config` says."""
    return keras_encnet.optimizers.SGD(
        keras_encnet.optimizers.PolySchedule(
            config.learning_rate, steps, config.power, config.warmup_steps
        ),
        momentum=config.momentum,
        l2=config.l2,
        multipliers=dict.fromkeys(model.head_layers, config.head_multiplier),
    )


if __name__ == "__main__":
    main()
