"""Small networks, images and recipes that tests share. pytest's fixtures are in `conftest.py`."""

import numpy as np

import keras_encnet
from keras_encnet.backbones import ResNet

VARIANTS = ("keras_encnet", "paper", "official", "mmsegmentation")
# Of the models on the `tiny_backbone` of conftest.py.
CLASSES = 3

# Options that make a recipe for scenes, or for CIFAR-10, train within seconds.
SMALL_FCN = {
    "width_multiplier": 0.125,
    "epochs": 1,
    "batch_size": 4,
    "warmup_steps": 1,
    "allow_absent_classes": True,  # few images show few of the classes
}
SMALL_ENCNET = {**SMALL_FCN, "channels": 8, "calibrate_presence": False}
SMALL_CIFAR = {"width": 4, "num_codewords": 3, "batch_size": 8}


def small_encnet(classes=5, width=0.125, **options):
    backbone = ResNet(
        (1, 1, 1, 1),
        bottleneck=False,
        width_multiplier=width,
        stem=options.pop("stem", "plain"),
        output_stride=32 if "neck" in options else 8,
    )
    return keras_encnet.EncNet(backbone, classes=classes, channels=8, **options)


def small_fcn():
    backbone = ResNet((1, 2, 1, 1), width_multiplier=0.0625, stem="deep_32", stride_on="3x3")
    return keras_encnet.FCN(backbone, classes=4, auxiliary="fcn", concat_input=True)


def small_network(build, **options):
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.125)
    return build(backbone, classes=4, **options)


# Networks of every structure by name.
NETWORKS = {
    "paper": lambda: small_encnet(variant="paper"),
    "official": lambda: small_encnet(variant="official", stem="deep_64", lateral=True),
    "mmsegmentation": lambda: small_encnet(variant="mmsegmentation", stem="deep_32"),
    "jpu": lambda: small_encnet(variant="official", neck="jpu", neck_width=4),
    "no codewords": lambda: small_encnet(num_codewords=0),
    "fcn": small_fcn,
    "psp": lambda: small_network(keras_encnet.PSPNet, variant="mmsegmentation"),
    "deeplabv3": lambda: small_network(keras_encnet.DeepLabV3),
    "resnet": lambda: ResNet((2, 1, 1, 1), width_multiplier=0.0625),
    "resnet14": lambda: keras_encnet.ResNet14(width=4),
    "se_resnet14": lambda: keras_encnet.SEResNet14(width=16, classifier_activation=None),
    "encnet14": lambda: keras_encnet.EncNet14(width=8, num_codewords=4, stochastic_scale=True),
}


def normalized_image(*shape):
    return np.random.default_rng(3).normal(size=(*shape, 3)).astype("float32")


def raw_images(*shape, seed=0):
    """Returns uint8 images whose neighboring pixels are correlated."""
    rng = np.random.default_rng(seed)
    batch, height, width = shape
    coarse = rng.uniform(0, 255, (batch, -(-height // 8), -(-width // 8), 3))
    fine = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return np.clip(fine + rng.normal(0, 20, fine.shape), 0, 255).astype("uint8")


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


def assert_unchanged(model, before):
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value, err_msg=weight.path)


def assert_same_classes(classes, logits, margin=1e-3, least=0.9):
    """Asserts that the class of the largest logit is predicted, except where two are as close as
    `margin`, which at most `1 - least` of the pixels may be.
    """
    first, second = np.moveaxis(np.sort(np.asarray(logits), axis=-1)[..., -2:], -1, 0)[::-1]
    clear = first - second > margin
    assert clear.mean() > least
    np.testing.assert_array_equal(np.asarray(classes)[clear], logits.argmax(-1)[clear])
