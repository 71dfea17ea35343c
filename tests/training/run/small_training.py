"""A training run of seconds that can be interrupted and resumed."""

import os
import signal

import keras
import tensorflow as tf

from keras_encnet.layers import Encoding
from keras_encnet.optimizers import SGD, PolySchedule
from training.run import callbacks, checkpoints, resume

STEPS, EPOCHS = 5, 3


def build(width=6, optimizer=None):
    """Builds a network with all kinds of state: moving statistics, dropout, stochastic scale."""
    images = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(width, 3)(images)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.3)(x)
    x = Encoding(4, stochastic_scale=True)(x)
    x = keras.layers.Dense(3)(keras.layers.Flatten()(x))
    model = keras.Model(images, x)
    model.compile(
        optimizer or SGD(PolySchedule(0.1, STEPS * EPOCHS), l2=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def batches(first_step):
    """Returns batches that are a function of their number."""

    def batch(step):
        seed = tf.stack([step, 7])
        images = tf.random.stateless_normal((4, 4, 4, 3), seed)
        return images, tf.random.stateless_uniform((4,), seed, maxval=3, dtype=tf.int32)

    return tf.data.Dataset.counter(first_step).map(batch)


class Interrupt(keras.callbacks.Callback):
    """Raises before a step, counted from the start of `fit`, or kills the process."""

    def __init__(self, step, kill=False):
        super().__init__()
        self.remaining = step
        self.kill = kill

    def on_train_batch_begin(self, batch, logs=None):
        if self.remaining == 0:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        self.remaining -= 1


def train(directory, interrupt=None, model=None, every_steps=2, epochs=EPOCHS, keep=3):
    """Trains a new model, resuming if there is a checkpoint; returns None if interrupted."""
    model = build() if model is None else model
    state = checkpoints.restore(model, directory)
    checkpointing = callbacks.Checkpointing(directory, state, every_steps, keep)
    validation = batches(1000).take(2)
    try:
        history = resume.fit(
            model,
            batches,
            checkpointing,
            steps_per_epoch=STEPS,
            epochs=epochs,
            callbacks=[] if interrupt is None else [interrupt],
            validation_data=validation,
            shuffle=False,
            verbose=0,
        )
    except KeyboardInterrupt:
        return None
    return model, history


def state_of(model):
    return [*model.variables, *model.optimizer.variables]
