"""Segmentation: EncNet or FCN on images and masks."""

import sys

import keras

import keras_encnet
from keras_encnet.applications import pretrained
from keras_encnet.callbacks import ContextDiagnostics
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


def build_model(config, class_names):
    """Builds the network of `config` for these classes."""
    overridden = ("stem", "stride_on", "align_corners", "dropout")
    parts = keras_encnet.models.variant_parts(
        config.variant, **{name: getattr(config, name) for name in overridden}
    )
    build_backbone = getattr(keras_encnet.backbones, config.backbone.replace("resnet", "ResNet"))
    backbone = build_backbone(
        output_stride=config.output_stride,
        stem=parts["stem"],
        stride_on=parts["stride_on"],
        width_multiplier=config.width_multiplier,
        weights=None if config.start_from is not None else config.backbone_weights,
        **({"blocks": config.blocks} if config.blocks else {}),
    )
    preprocessing = keras_encnet.backbones.preprocessing_of(parts["stride_on"])
    if config.head == "fcn":
        model = keras_encnet.FCN(
            backbone,
            len(class_names),
            auxiliary="fcn" if config.auxiliary == "fcn" else "none",  # it has no context
            align_corners=parts["align_corners"],
            dropout=parts["dropout"],
            preprocessing=preprocessing,
        )
    else:
        names = ("variant", "num_codewords", "channels", "aggregation", "codeword_pooling")
        names += ("gating", "gate_bias", "auxiliary", "lateral", "align_corners", "dropout")
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
