"""What the heads of EncNet and FCN share."""

from keras import layers

from keras_encnet.layers import BatchNormalization, BilinearUpsampling
from keras_encnet.utils.numerics import at_least_float32


def conv_norm_relu(x, channels, kernel_size, name, dtype=None):
    """A convolution at stride 1 without bias, batch normalization, ReLU."""
    x = layers.Conv2D(
        channels, kernel_size, padding="same", use_bias=False, dtype=dtype, name=f"{name}_conv"
    )(x)
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"{name}_bn")(x)
    return layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)


def classify(x, classes, images, dropout, spatial_dropout, align_corners, name):
    """Dropout, a 1x1 convolution to logits, and these at the size of `images`."""
    if dropout:
        drop = layers.SpatialDropout2D if spatial_dropout else layers.Dropout
        x = drop(dropout, name=f"{name}_dropout")(x)
    logits = layers.Conv2D(classes, 1, dtype=at_least_float32(), name=f"{name}_logits")(x)
    return BilinearUpsampling(align_corners, name=name)(logits, images)


def fcn_head(x, classes, images, dropout, spatial_dropout, align_corners, name):
    """The head of the FCN baseline and of the auxiliary output: a 3x3 convolution, then classes."""
    x = conv_norm_relu(x, max(1, x.shape[-1] // 4), 3, name=name)
    return classify(x, classes, images, dropout, spatial_dropout, align_corners, name)
