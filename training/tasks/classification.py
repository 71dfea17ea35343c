"""Training of classifiers on CIFAR."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import keras_encnet
from training.configs import ClassificationConfig
from training.configs.classification import NETWORKS
from training.datasets import cifar
from training.input import cifar_batches, fingerprint
from training.input.fingerprint import Fingerprint
from training.input.segmentation_batches import ONE_REPLICA

BUILDERS: dict[str, Callable[..., keras_encnet.ClassificationModel]] = {
    "resnet14": keras_encnet.ResNet14,
    "se_resnet14": keras_encnet.SEResNet14,
    "encnet14": keras_encnet.EncNet14,
}


class Classification:
    """The `training.tasks.task.Task` of a `ClassificationConfig`."""

    def __init__(self, config: ClassificationConfig):
        self.config = config
        self.train_split = cifar.read_split(config.data, config.train_split, config.data_dir)
        self.val_split = cifar.read_split(config.data, config.val_split, config.data_dir)
        self.steps_per_epoch = config.steps_per_epoch(len(self.train_split))

    def fingerprint(self) -> dict[str, Fingerprint]:
        return {
            name: fingerprint.of_arrays(split.class_names, split.images, split.labels)
            for name, split in (
                (self.config.train_split, self.train_split),
                (self.config.val_split, self.val_split),
            )
        }

    def plan(self) -> str:
        return self.config.describe_steps(len(self.train_split))

    def build_model(self) -> keras_encnet.ClassificationModel:
        config, class_names = self.config, self.train_split.class_names
        model = BUILDERS[config.network](
            config.width,
            classes=len(class_names),
            classifier_activation=None,
            **{name: getattr(config, name) for name in NETWORKS[config.network]},
        )
        model.class_names = class_names
        return model

    def computed_options(self) -> dict[str, Any]:
        return {}

    def objectives(self, model: keras_encnet.ClassificationModel) -> dict[str, Any]:
        return {
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            # With several replicas, weights of 0 mark images that only fill the last batch.
            "weighted_metrics": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        }

    def multipliers(self, model: keras_encnet.ClassificationModel) -> dict[str, float]:
        return {}

    def train_batches(
        self,
        first_step: int = 0,
        input_context: tf.distribute.InputContext = ONE_REPLICA,
    ) -> tf.data.Dataset:
        return cifar_batches.train_batches(
            self.train_split,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            padding=self.config.padding,
            flip=self.config.flip,
            first_step=first_step,
            input_context=input_context,
        )

    def val_batches(
        self, input_context: tf.distribute.InputContext = ONE_REPLICA
    ) -> tf.data.Dataset:
        return cifar_batches.all_images(self.val_split, input_context=input_context)

    def finish(self, model: keras_encnet.ClassificationModel, run_dir: Path) -> None:
        pass  # the results are complete after the last epoch

    def naming_damaged_files(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # the images are in memory

    def shared_callbacks(self) -> list[keras.callbacks.Callback]:
        return []

    def callbacks(self, run_dir: Path) -> list[keras.callbacks.Callback]:
        return []
