"""Segmentation: EncNet or FCN on images and masks."""

import functools
import sys
from collections.abc import Sequence

import keras

import keras_encnet
from keras_encnet.applications import pretrained
from keras_encnet.backbones import BACKBONES
from keras_encnet.callbacks import ContextDiagnostics
from keras_encnet.models.segmentation import on_resnet
from training.configs import SegmentationConfig
from training.datasets.segmentation_data import open_split
from training.input import segmentation_batches
from training.input.augmentation import Augmentation
from training.input.folder_check import check_split
from training.tasks.segmentation_callbacks import CheckPixels, ShowPredictions


class Segmentation:
    """The task of a `SegmentationConfig`, see `training.tasks`."""

    monitor = "val_mean_iou"

    def __init__(self, config):
        self.config = config
        self.train_split, _ = open_checked(config, config.train_split)
        self.val_split, self.val_pixels = open_checked(config, config.val_split)
        self.steps_per_epoch = segmentation_batches.steps_per_epoch(
            self.train_split, config.batch_size
        )

    def build_model(self):
        """Builds the network for the classes of the data."""
        model = build_model(self.config, self.train_split.class_names)
        if self.config.start_from is not None:
            start_from(self.config.start_from, model)
        self.mode = model.preprocessing
        return model

    def objectives(self, model):
        """Returns the losses, their weights and the metrics."""
        objectives = keras_encnet.objectives(
            model,
            ignore_class=self.config.ignore_class,
            se_weight=self.config.se_weight,
            auxiliary_weight=self.config.auxiliary_weight,
            class_weights=self.config.class_weights,
        )
        self.metric = objectives["metrics"]["segmentation"]
        return objectives

    def multipliers(self, model):
        """Returns the factors of the learning rate of single layers."""
        multipliers = dict.fromkeys(model.head_layers, self.config.head_multiplier)
        if self.config.presence_multiplier is not None:
            presence = [name for name in model.output if name.startswith("presence")]
            multipliers |= dict.fromkeys(presence, self.config.presence_multiplier)
        return multipliers

    def train_batches(self, model, first_step=0, input_context=segmentation_batches.ONE_REPLICA):
        """Returns endless batches of augmented crops."""
        config = self.config
        return segmentation_batches.train_batches(
            self.train_split,
            crop_size=config.crop_size,
            batch_size=config.batch_size,
            mode=model.preprocessing,
            seed=config.seed,
            augmentation=Augmentation(config.flip, config.scale, config.rotation, config.base_size),
            ignore_class=config.ignore_class,
            first_step=first_step,
            input_context=input_context,
        )

    def val_batches(self, model, input_context=segmentation_batches.ONE_REPLICA):
        """Returns whole images at native size, one a batch."""
        return segmentation_batches.whole_images(
            self.val_split,
            mode=model.preprocessing,
            ignore_class=self.config.ignore_class,
            input_context=input_context,
        )

    def checks(self):
        """Returns what makes sure that validation counts each image once."""
        return [CheckPixels(self.metric, self.val_pixels)]

    def callbacks(self, run_dir):
        """Returns what shows predictions in TensorBoard, and what context encoding does."""
        pictures = run_dir / "tensorboard" / "pictures"
        shown = [ShowPredictions(pictures, self.val_split)]
        if self.config.head == "encnet" and self.config.diagnostics:
            images = segmentation_batches.whole_images(
                self.val_split, mode=self.mode, ignore_class=self.config.ignore_class
            ).take(self.config.diagnostics)
            if self.config.se_weight == 0:
                images = images.map(lambda image, _: image)  # presence isn't trained
            context = run_dir / "tensorboard" / "context"
            shown.append(ContextDiagnostics(images, context, ignore_class=self.config.ignore_class))
        return shown


def open_checked(config, name):
    """Opens a split of the configured data and reads every file of it once.

    Returns:
        The split, and how many labeled pixels of each class it has.
    """
    split = open_split(config.data, name)
    report = check_split(split, config.ignore_class)
    if config.skip_bad and report.problems:
        for stem, problem in report.problems:
            print(f"skipping {stem}: {problem}", file=sys.stderr)
        return split.without(report.bad_stems), report.pixel_counts
    report.raise_if_bad()
    return split, report.pixel_counts


def build_model(
    config: SegmentationConfig, class_names: Sequence[str]
) -> keras_encnet.SegmentationModel:
    """Builds the network of `config` for these classes."""
    build_resnet = functools.partial(
        BACKBONES[config.backbone], width_multiplier=config.width_multiplier
    )
    if config.blocks is not None:
        build_resnet = functools.partial(build_resnet, blocks=config.blocks)
    model = on_resnet(
        config.head,
        build_resnet,
        len(class_names),
        config.variant,
        name=config.head,
        backbone_weights=None if config.start_from is not None else config.backbone_weights,
        **config.structure(),
    )
    model.class_names = class_names
    if config.freeze_backbone_batch_normalization:
        model.freeze_backbone_batch_normalization()
    return model


def _preprocessing_of(source, otherwise):
    """What normalization a model's images want; of a bare ResNet, its strides tell."""
    if hasattr(source, "preprocessing"):
        return source.preprocessing
    first = next((layer for layer in source.layers if layer.name == "conv3_block1_1_conv"), None)
    if first is None or first.kernel_size != (1, 1):
        return otherwise
    return keras_encnet.backbones.preprocessing_of("1x1" if first.strides[0] > 1 else "3x3")


def start_from(path, model):
    """Gives `model` the weights of a `.keras` file, where layers agree in name and shape.

    Raises:
        ValueError: if no layer of the backbone does, or if its images are
            normalized in another way.
    """
    source = keras.models.load_model(path)
    preprocessing = _preprocessing_of(source, otherwise=model.preprocessing)
    renewed = pretrained.copy_weights(source, model)
    if set(renewed) & set(model.backbone_layers) or preprocessing != model.preprocessing:
        raise ValueError(
            "The weights to start from must be those of a model with this backbone. "
            f"Received: start_from={str(path)!r}, {source.name} on images normalized as "
            f"{preprocessing!r}, for {model.name} on images normalized as {model.preprocessing!r}; "
            f"{len(renewed)} layers differ, such as {', '.join(renewed[:5])}. Weights for images "
            "normalized as 'torch' want `--stride-on 3x3`, as 'caffe' `--stride-on 1x1`"
        )
    if renewed:
        print(f"not in {path}, so at random: {', '.join(renewed)}", file=sys.stderr)
