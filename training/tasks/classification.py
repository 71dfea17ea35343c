"""Classification: the networks of 14 layers on CIFAR."""

import keras

import keras_encnet
from training.datasets import cifar
from training.input import cifar_batches, segmentation_batches


class Classification:
    """The task of a `ClassificationConfig`, see `training.tasks`."""

    monitor = "val_accuracy"

    def __init__(self, config):
        self.config = config
        self.train_split = cifar.read_split(config.data, config.train_split, config.data_dir)
        self.val_split = cifar.read_split(config.data, config.val_split, config.data_dir)
        self.steps_per_epoch = segmentation_batches.steps_per_epoch(
            self.train_split, config.batch_size
        )

    def build_model(self):
        """Builds the network for the classes of the data; it answers with logits."""
        config, class_names = self.config, self.train_split.class_names
        build, options = {
            "resnet14": (keras_encnet.ResNet14, ()),
            "se_resnet14": (keras_encnet.SEResNet14, ("reduction",)),
            "encnet14": (keras_encnet.EncNet14, ("num_codewords", "stochastic_scale")),
        }[config.network]
        model = build(
            config.width,
            classes=len(class_names),
            classifier_activation=None,
            **{name: getattr(config, name) for name in options},
        )
        model.class_names = class_names
        return model

    def objectives(self, model):
        """Returns the loss and the metric."""
        return {
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            # Weights tell what several replicas evaluate to fill their batch.
            "weighted_metrics": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        }

    def multipliers(self, model):
        """Returns nothing: all layers learn at one rate."""
        return {}

    def train_batches(self, model, first_step=0, input_context=segmentation_batches.ONE_REPLICA):
        """Returns endless batches of augmented images."""
        return cifar_batches.train_batches(
            self.train_split,
            batch_size=self.config.batch_size,
            mode=model.preprocessing,
            seed=self.config.seed,
            padding=self.config.padding,
            flip=self.config.flip,
            first_step=first_step,
            input_context=input_context,
        )

    def val_batches(self, model, input_context=segmentation_batches.ONE_REPLICA):
        """Returns every image once, as it is."""
        return cifar_batches.all_images(
            self.val_split, mode=model.preprocessing, input_context=input_context
        )

    def checks(self):
        """Returns nothing: all images have one size and are in memory."""
        return []

    def callbacks(self, run_dir):
        """Returns nothing: scores and curves say it all."""
        return []
