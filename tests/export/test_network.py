"""The network of an export: the precision of its weights."""

import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.export import network
from keras_encnet.export.network import InferenceNetwork
from tests.fixtures import NETWORKS, raw_images


def size_of_constants(inference):
    """Returns the number of bytes of the constants in the graph of a network."""
    operations = inference.outputs.graph.get_operations()
    constants = [x.get_attr("value") for x in operations if x.type == "Const"]
    return sum(tf.make_ndarray(value).nbytes for value in constants)


@pytest.mark.parametrize("name", ["official", "jpu"])
def test_weights_in_bfloat16_change_no_output(name, randomize, monkeypatch):
    model = randomize(NETWORKS[name]())
    images = tf.constant(raw_images(1, 64, 64), tf.float32)
    outputs = InferenceNetwork(model, precision="bfloat16")(images)
    monkeypatch.setattr(network, "CONVOLUTIONS", ())  # casts float32 weights
    for output, tensor in InferenceNetwork(model, precision="bfloat16")(images).items():
        np.testing.assert_array_equal(outputs[output], tensor, err_msg=output)


def test_weights_in_bfloat16_take_half_the_space(randomize):
    model = randomize(NETWORKS["jpu"]())
    whole = size_of_constants(InferenceNetwork(model))
    assert size_of_constants(InferenceNetwork(model, precision="bfloat16")) < 0.6 * whole
