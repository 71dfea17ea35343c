"""The kinds of data that Keras accepts, made of arrays of four samples, in two batches."""

import keras
import tensorflow as tf


class Batches(keras.utils.PyDataset):
    """Batches of two samples: images, and further arrays if there are any."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(part[2 * index : 2 * index + 2] for part in self.parts)


def generator(*parts):
    batches = Batches(*parts)
    return (batches[i] for i in range(2))


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(2)


# Every kind of data as arguments of `fit`, from images and masks.
KINDS = {
    "array": lambda *parts: parts,
    "tensor": lambda *parts: tuple(map(tf.constant, parts)),
    "dict": lambda x, *rest: ({"images": x}, *rest),
    "tf.data": lambda *parts: (dataset(*parts),),
    "PyDataset": lambda *parts: (Batches(*parts),),
    "generator": lambda *parts: (generator(*parts),),
}
