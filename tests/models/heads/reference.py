"""The operations of heads in NumPy and float64, as the papers define them."""

import numpy as np

from tests.layers.test_adaptive_average_pooling import averages
from tests.layers.test_bilinear_upsampling import resize

__all__ = ["averages", "conv_norm_relu", "convolution", "resize"]


def convolution(x, kernel, dilation=1):
    """A convolution of stride 1 whose output has the size of its input."""
    _, height, width, _ = x.shape
    border = dilation * (kernel.shape[0] // 2)
    padded = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    return sum(
        padded[:, i * dilation : i * dilation + height, j * dilation : j * dilation + width]
        @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )


def conv_norm_relu(model, x, name, dilation=1):
    """The layers `{name}_conv`, `{name}_bn` and `{name}_relu` of a model at inference."""
    norm = model.get_layer(f"{name}_bn")
    gamma, beta, mean, variance = (np.asarray(w, "float64") for w in norm.weights)
    kernel = np.asarray(model.get_layer(f"{name}_conv").kernel, "float64")
    x = convolution(x, kernel, dilation)
    return np.maximum((x - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta, 0)
