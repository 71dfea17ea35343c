"""Training on images and masks."""

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import keras_encnet
from keras_encnet.applications import pretrained
from keras_encnet.backbones import BACKBONES, from_keras_applications
from keras_encnet.callbacks import ContextDiagnostics
from keras_encnet.layers.image_normalization import normalization_in
from keras_encnet.losses import (
    balanced_class_weights,
    build_pixel_loss,
    median_frequency_class_weights,
)
from keras_encnet.models.segmentation import on_backbone, on_resnet
from keras_encnet.utils import keras_files
from keras_encnet.utils.sizes import checked_working_size
from training.configs import SegmentationConfig
from training.configs.folder import automatic_sizes, describe_sizes
from training.configs.segmentation import ClassWeights
from training.datasets.segmentation_data import open_split
from training.input import fingerprint, segmentation_batches
from training.input.augmentation import Augmentation
from training.input.fingerprint import Fingerprint
from training.input.folder_check import naming_damaged_files
from training.input.report import Report
from training.input.segmentation_batches import ONE_REPLICA
from training.input.split_lists import held_out
from training.tasks.image_statistics import automatic_images, describe_images
from training.tasks.presence_calibration import calibrate_run
from training.tasks.segmentation_callbacks import CheckPixels, FreezeBackbone, ShowPredictions
from training.tasks.splits import check_overlap, checked, with_pixels


class Segmentation:
    """The `training.tasks.task.Task` of a `SegmentationConfig`.

    Args:
        config: the recipe. Every file of its training and validation splits is read once.
    """

    def __init__(self, config: SegmentationConfig):
        every_class = not config.allow_absent_classes
        train, val = held_out(config.train_split, config.val_split, config.val_share)
        opened = (open_split(config.data, name, config.map_labels) for name in (train, val))
        train_split, val_split = with_pixels(config.image_channels, *opened)
        self.train_split, contents = checked(config, train_split, every_class)
        self.class_weights = computed_class_weights(config.class_weights, contents)
        self.val_split, val_contents = checked(config, val_split)
        check_overlap(self.train_split, self.val_split)
        self.val_pixels = val_contents.pixel_counts
        self.sizes = automatic_sizes(config, contents.sizes)
        given = config.image_channels is not None
        pixels = contents.split.pixels if given else contents.pixels
        self.train_split = dataclasses.replace(self.train_split, pixels=pixels)
        self.val_split = dataclasses.replace(self.val_split, pixels=pixels)
        images = automatic_images(config, contents, pixels)
        self.config = dataclasses.replace(config, **self.sizes, **images)
        self.steps_per_epoch = config.steps_per_epoch(len(self.train_split))

    def fingerprint(self) -> dict[str, Fingerprint]:
        splits = (self.train_split, self.val_split)
        return {split.name: fingerprint.of_files(split) for split in splits}

    def plan(self) -> str:
        steps = self.config.describe_steps(len(self.train_split))
        images = describe_images(self.config, self.train_split.pixels)
        return f"{images}\n{describe_sizes(**self.sizes)}\n{steps}"

    def build_model(self) -> keras_encnet.SegmentationModel:
        model = build_model(self.config, self.train_split.class_names)
        if self.config.start_from is not None:
            start_from(self.config.start_from, model)
        return model

    def objectives(self, model: keras_encnet.SegmentationModel) -> dict[str, Any]:
        config = self.config
        given = None if isinstance(config.class_weights, str) else config.class_weights
        objectives = keras_encnet.objectives(
            model,
            ignore_class=config.ignore_class,
            se_weight=config.se_weight,
            auxiliary_weight=config.auxiliary_weight,
            # Weights from pixels are not for the SE-loss, which counts images.
            class_weights=given,
            pixel_loss=build_pixel_loss(
                config.pixel_loss, config.ignore_class, self.class_weights, config.label_smoothing
            ),
        )
        self.metric = objectives["metrics"]["segmentation"]
        return objectives

    def computed_options(self) -> dict[str, Any]:
        if not isinstance(self.config.class_weights, str) or self.class_weights is None:
            return {}
        weights = dict(zip(self.train_split.class_names, self.class_weights, strict=True))
        return {"computed_class_weights": weights}

    def multipliers(self, model: keras_encnet.SegmentationModel) -> dict[str, float]:
        multipliers = dict.fromkeys(model.head_layers, self.config.head_multiplier)
        if self.config.presence_multiplier is not None:
            presence = [name for name in model.output if name.startswith("presence")]
            multipliers |= dict.fromkeys(presence, self.config.presence_multiplier)
        return multipliers

    def train_batches(
        self,
        first_step: int = 0,
        input_context: tf.distribute.InputContext = ONE_REPLICA,
    ) -> tf.data.Dataset:
        config = self.config
        return segmentation_batches.train_batches(
            self.train_split,
            crop_size=self.sizes["crop_size"],
            batch_size=config.batch_size,
            seed=config.seed,
            augmentation=Augmentation(
                config.flip,
                config.scale,
                config.rotation,
                checked_working_size(config.working_size),
                config,
            ),
            ignore_class=config.ignore_class,
            first_step=first_step,
            input_context=input_context,
        )

    def val_batches(
        self, input_context: tf.distribute.InputContext = ONE_REPLICA
    ) -> tf.data.Dataset:
        return segmentation_batches.whole_images(
            self.val_split, ignore_class=self.config.ignore_class, input_context=input_context
        )

    def finish(self, model: keras_encnet.SegmentationModel, run_dir: Path) -> None:
        if self.config.final_results():
            calibrate_run(
                run_dir, model, self.train_split, self.val_split, self.config.ignore_class
            )

    def naming_damaged_files(self) -> contextlib.AbstractContextManager[None]:
        return naming_damaged_files([self.train_split, self.val_split], self.config.ignore_class)

    def shared_callbacks(self) -> list[keras.callbacks.Callback]:
        freezes = [FreezeBackbone(self.config.freeze_backbone)] * bool(self.config.freeze_backbone)
        return [*freezes, CheckPixels(self.metric, self.val_pixels)]

    def callbacks(self, run_dir: Path) -> list[keras.callbacks.Callback]:
        config, logs = self.config, run_dir / "tensorboard"
        callbacks = [ShowPredictions(logs / "pictures", self.val_split)]
        if config.head == "encnet" and config.diagnostics:
            images = self.val_batches().take(config.diagnostics)
            callbacks.append(
                ContextDiagnostics(images, logs / "context", ignore_class=config.ignore_class)
            )
        return callbacks


def computed_class_weights(
    class_weights: ClassWeights | Sequence[float] | None, contents: Report
) -> Sequence[float] | None:
    """Returns the weights of the classes in mask losses, computed if they are given by name.

    Args:
        class_weights: the option of the recipe.
        contents: the report of the training split.
    """
    if class_weights == "balanced":
        return balanced_class_weights(contents.pixel_counts).tolist()
    if class_weights == "median_frequency":
        return median_frequency_class_weights(
            contents.pixel_counts, contents.image_pixel_counts
        ).tolist()
    return class_weights


def build_model(
    config: SegmentationConfig, class_names: Sequence[str]
) -> keras_encnet.SegmentationModel:
    """Builds the network of `config` for these classes, without presence if it has no loss."""
    weights = None if config.start_from is not None else config.backbone_weights
    build = _on_resnet if config.backbone in BACKBONES else _on_application
    model = build(config, weights, len(class_names))
    if config.se_weight == 0:  # nothing would train the presence branches
        model = model.with_outputs([x for x in model.output if not x.startswith("presence")])
    model.class_names = class_names
    model.working_size = checked_working_size(config.working_size)
    if config.freeze_backbone_batch_normalization:
        model.freeze_backbone_batch_normalization()
    return model


def _on_resnet(config, weights, classes):
    build = functools.partial(BACKBONES[config.backbone], width_multiplier=config.width_multiplier)
    if config.blocks is not None:
        build = functools.partial(build, blocks=config.blocks)
    return on_resnet(
        config.head,
        build,
        classes,
        config.variant,
        name=config.head,
        backbone_weights=weights,
        **config.images(),
        **config.structure(),
    )


def _on_application(config, weights, classes):
    return on_backbone(
        config.head,
        from_keras_applications(config.backbone, weights, **config.images()),
        classes,
        config.variant,
        name=config.head,
        **config.structure(),
    )


def start_from(path: str, model: keras_encnet.SegmentationModel) -> None:
    """Copies the weights of a `.keras` file to the layers that agree in name and shape.

    Raises:
        ValueError: if a layer of the backbone does not agree, or if the models normalize images
            differently.
    """
    source = keras_files.load_model(path)
    preprocessing = _preprocessing_of(source, default=model.preprocessing)
    remaining = pretrained.copy_weights(source, model)
    if set(remaining) & set(model.backbone_layers) or preprocessing != model.preprocessing:
        raise ValueError(
            "The initial weights must be those of a model with this backbone. Received: "
            f"start_from={str(path)!r}, {source.name} on images normalized as "
            f"{preprocessing!r}, for {model.name} on images normalized as {model.preprocessing!r}; "
            f"{len(remaining)} layers differ, such as {', '.join(remaining[:5])}. Weights for "
            "images normalized as 'torch' require `--stride-on 3x3`, as 'caffe' `--stride-on 1x1`"
        )
    if remaining:
        print(f"Not in {path}, initialized randomly: {', '.join(remaining)}", file=sys.stderr)


def _preprocessing_of(source, default):
    """Returns the normalization of a model's images; if it has none, it follows the strides."""
    own = normalization_in(source)
    if own is not None:
        return own
    first = next((layer for layer in source.layers if layer.name == "conv3_block1_1_conv"), None)
    if first is None or first.kernel_size != (1, 1):
        return default
    return keras_encnet.backbones.preprocessing_of("1x1" if first.strides[0] > 1 else "3x3")
