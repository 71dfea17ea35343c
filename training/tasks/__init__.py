"""What is trained: data, network, losses and scores of each task.

`training.train` is one for all tasks, and asks a task for

    steps_per_epoch                     whole batches of an epoch
    monitor                             the score to choose the best model by
    build_model()                       the network
    objectives(model)                   what `compile` needs beside the optimizer
    multipliers(model)                  factors of the learning rate of single layers
    train_batches(model, first_step, input_context)     endless batches, from some step on
    val_batches(model, input_context)   every sample once
    checks()                            callbacks that make sure of something, on each machine
    callbacks(run_dir)                  what this task shows beside training
"""

from training.configs.config import ClassificationConfig
from training.tasks.classification import Classification
from training.tasks.segmentation import Segmentation


def task_of(config):
    """Opens the data of `config`, reads it once and returns its task."""
    return (Classification if isinstance(config, ClassificationConfig) else Segmentation)(config)
