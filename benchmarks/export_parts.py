"""Time of the parts of an export: of the network, and from an encoded image to a class map.

    python -m benchmarks.export_parts network
    python -m benchmarks.export_parts image

`network` shows on which parts of EncNet50, dilated and with joint pyramid upsampling, the time of
an export is spent. `image` shows how much of the time for an encoded image is upsampling, arg-max
and PNG encoding.
"""

import collections
import re

import tabulate
import tensorflow as tf
import tyro

from benchmarks.measuring import median_seconds
from benchmarks.random_models import NETWORKS, encnet50, smooth_noise
from keras_encnet.export import image_bytes
from keras_encnet.export.network import NO_INT8, InferenceNetwork
from keras_encnet.labels import default_palette
from keras_encnet.utils.class_maps import class_maps
from keras_encnet.utils.png import encode_indexed_png

PRECISIONS = ("float32", "bfloat16")
# Parts of the network by the beginning of a layer's name, the first that fits.
PARTS = {
    "conv1|pool1": "stem",
    "conv2": "stage 1",
    "conv3": "stage 2",
    "conv4": "stage 3",
    "conv5": "stage 4",
    "neck_stage": "neck, convolutions of the stages and resizing",
    "neck_dilation._depthwise": "neck, depthwise convolutions",
    "neck": "neck, 1x1 convolutions and concatenation",
    "head|context|segmentation|presence": "head",
}


def image(size: int = 512, classes: int = 150, repeats: int = 7):
    """Times the steps from an encoded image to an encoded class map, at the size of the export.

    Args:
        size: Height and width of the image.
        classes: Number of classes.
        repeats: Number of calls; the first is not counted.
    """
    pixels = smooth_noise(1, size, size)
    jpeg = tf.io.encode_jpeg(pixels[0])
    model = encnet50("mmsegmentation", classes)
    limits, palette = image_bytes.Limits(), default_palette(classes)

    @tf.function
    def read(data):
        _, decoded = image_bytes.read(data, limits)
        return tf.image.resize(decoded, (size, size), antialias=True)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, classes))])
    def upsample(logits):
        return tf.raw_ops.ResizeBilinear(images=logits, size=(size, size), half_pixel_centers=True)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, classes))])
    def class_map(logits):
        return class_maps(logits, tf.constant(size), tf.constant(size), False)

    encode = tf.function(lambda mask: encode_indexed_png(mask, palette))
    logits = InferenceNetwork(model)(tf.cast(pixels, tf.float32))["segmentation"]
    upsampled = upsample(logits)
    mask = class_map(logits)[0]
    steps = {
        "JPEG to pixels": lambda: read(jpeg),
        "upsampling and arg-max, in strips": lambda: class_map(logits),
        "PNG": lambda: encode(mask),
    }
    alternatives = {
        "upsampling, not in strips": lambda: upsample(logits),
        "arg-max, not in strips": lambda: tf.argmax(upsampled, -1, tf.int32),
    }
    times = {
        name: median_seconds(call, repeats) for name, call in {**steps, **alternatives}.items()
    }
    for precision in ("float32", "bfloat16"):
        network = InferenceNetwork(model, precision=precision)
        x = tf.cast(pixels, tf.float32)
        network_time = median_seconds(lambda: network(x)["segmentation"], repeats)  # noqa: B023
        total = network_time + sum(times[name] for name in steps)
        rows = [("network", network_time), *times.items()]
        rows = [(name, 1000 * t, 100 * t / total) for name, t in rows]
        header = (precision, "ms", "% of the total")
        print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=".1f"), "\n")


def network(size: int = 512, classes: int = 150, repeats: int = 5):
    """Shows the share of each part of the network in the time of its operations.

    Args:
        size: Height and width of the image.
        classes: Number of classes.
        repeats: Number of calls; the fastest is shown.
    """
    image = smooth_noise(1, size, size).astype("float32")
    for name, options in NETWORKS.items():
        model = encnet50("keras_encnet", classes, **options)
        for precision in PRECISIONS:
            outputs = InferenceNetwork(model, precision=precision).outputs
            found = min((traced(outputs, image) for _ in range(repeats)), key=sum_of)
            rows = [(part, ms, 100 * ms / sum_of(found)) for part, ms in found.items()]
            header = (f"{name}, {precision}", "ms", "%")
            print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=".1f"), "\n")


def sum_of(times):
    return sum(times.values())


def traced(outputs, image):
    """Returns the milliseconds of a call by the parts of the network."""
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, (None, None, None, 3))
        names = [tensor.name for tensor in outputs.outputs]
        fetch = tf.import_graph_def(outputs.graph.as_graph_def(), {"images": images}, names)
    with tf.compat.v1.Session(graph=graph) as session:
        session.run(fetch, {images: image})
        metadata = tf.compat.v1.RunMetadata()
        trace = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
        session.run(fetch, {images: image}, options=trace, run_metadata=metadata)
    found = collections.Counter(dict.fromkeys([*PARTS.values(), "others"], 0.0))
    for device in metadata.step_stats.dev_stats:
        for node in device.node_stats:
            duration = (node.op_end_rel_micros - node.op_start_rel_micros) / 1000
            found[part_of(node.node_name)] += duration
    return {part: duration for part, duration in found.items() if duration}


def part_of(node):
    for start, part in PARTS.items():
        if re.search(f"/({NO_INT8})?({start})", node):
            return part
    return "others"


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"network": network, "image": image})
