"""Small networks of every structure, and what their exports are asked."""

import numpy as np
import tensorflow as tf

import keras_encnet
from keras_encnet.backbones import ResNet
from keras_encnet.export import Limits

# Of the export that the tests share.
SIZE = (64, 72)
LIMITS = Limits(images=4, pixels=200 * 200, side=20000, tensor_pixels=100 * 100)


def small_encnet(classes=5, width=0.125, **options):
    backbone = ResNet(
        (1, 1, 1, 1), bottleneck=False, width_multiplier=width, stem=options.pop("stem", "plain")
    )
    return keras_encnet.EncNet(backbone, classes=classes, channels=8, **options)


def small_fcn():
    backbone = ResNet((1, 2, 1, 1), width_multiplier=0.0625, stem="deep_32", stride_on="3x3")
    return keras_encnet.FCN(backbone, classes=4, auxiliary="fcn")


NETWORKS = {
    "paper": lambda: small_encnet(variant="paper"),
    "official": lambda: small_encnet(variant="official", stem="deep_64", lateral=True),
    "mmsegmentation": lambda: small_encnet(variant="mmsegmentation", stem="deep_32"),
    "no codewords": lambda: small_encnet(num_codewords=0),
    "fcn": small_fcn,
    "resnet": lambda: ResNet((2, 1, 1, 1), width_multiplier=0.0625),
    "resnet14": lambda: keras_encnet.ResNet14(width=4),
    "se_resnet14": lambda: keras_encnet.SEResNet14(width=16, classifier_activation=None),
    "encnet14": lambda: keras_encnet.EncNet14(width=8, num_codewords=4, stochastic_scale=True),
}


def noise(*shape, seed=0):
    """Raw images, smooth enough that neighboring pixels have something in common."""
    draw = np.random.default_rng(seed)
    batch, height, width = shape
    coarse = draw.uniform(0, 255, (batch, -(-height // 8), -(-width // 8), 3))
    fine = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return np.clip(fine + draw.normal(0, 20, fine.shape), 0, 255).astype("uint8")


def assert_same_classes(classes, logits, margin=1e-3, least=0.9):
    """Asserts that the largest logit won, where the second isn't within `margin` of it."""
    first, second = np.moveaxis(np.sort(np.asarray(logits), axis=-1)[..., -2:], -1, 0)[::-1]
    clear = first - second > margin
    assert clear.mean() > least
    np.testing.assert_array_equal(np.asarray(classes)[clear], logits.argmax(-1)[clear])


def logits_of(model, images):
    return model(keras_encnet.preprocess_input(images, model.preprocessing), training=False)


def signatures_of(path):
    return tf.saved_model.load(path).signatures


def ask(signatures, *files):
    answer = signatures["serving_default"](image_bytes=tf.constant(files, tf.string))
    return {name: value.numpy() for name, value in answer.items()}
