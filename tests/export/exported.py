"""The exported model that tests of exports share, and its signatures."""

import tensorflow as tf

from keras_encnet.export import Limits

SIZE = (64, 72)
LIMITS = Limits(images=4, pixels=200 * 200, side=20000, tensor_pixels=100 * 100)


def logits_of(model, images):
    return model(images, training=False)


def signatures_of(path):
    return tf.saved_model.load(path).signatures


def predict(signatures, *files):
    outputs = signatures["serving_default"](image_bytes=tf.constant(files, tf.string))
    return {name: value.numpy() for name, value in outputs.items()}
