"""Exports in int8: their arguments, sizes, and agreement with float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import SegmentationModel
from keras_encnet.export import export_litert, export_onnx, export_openvino
from keras_encnet.export.quantization import PRECISIONS, calibration_images
from keras_encnet.layers import ImageNormalization
from tests.export.runtimes import run_litert, run_onnx, run_openvino
from tests.fixtures import NETWORKS, raw_images

IMAGES = raw_images(8, 64, 64)
OF_SEVERAL_SIZES = [*IMAGES[:6], IMAGES[6][:40], IMAGES[7][:, :48]]
LAYERS = ("more_features", "logits")
EXPORTS = pytest.mark.parametrize("export", [export_litert, export_onnx, export_openvino])


def small_model(classes=3, **input_shape):
    """A convolution with a ReLU, and one to logits."""
    images = keras.Input(input_shape.get("shape", (None, None, 3)), name="images")
    x = ImageNormalization("torch")(images)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="features")(x)
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="more_features")(x)
    logits = keras.layers.Conv2D(classes, 1, name="logits")(x)
    return SegmentationModel(images, {"segmentation": logits})


@pytest.fixture(scope="module")
def model():
    return small_model()


def images_of(model, calibration, size=None):
    return calibration_images(model, "int8", PRECISIONS, calibration, size)


@EXPORTS
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "int4"}, "must be one of .*'int8'.* Received: precision='int4'"),
        ({"precision": "int8"}, "requires images.*Received: calibration=None"),
        ({"calibration": IMAGES}, "omit `calibration`. Received: precision='float32'"),
        ({"precision": "int8", "calibration": IMAGES / 255}, "must be raw.*Received: values from"),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_written(
    model, export, arguments, message, tmp_path
):
    with pytest.raises(ValueError, match=message):
        export(model, tmp_path / "model.xml", **arguments)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ([], "Received: no images"),
        (np.zeros((0, 8, 8, 3), "uint8"), "Received: no images"),
        ("photos", "Received: calibration='photos'"),
        (7, "Received: calibration=7"),
        (np.zeros((2, 8, 8), "uint8"), r"Image 0 of `calibration`: .*Received: shape=\(2, 8, 8\)"),
        (np.zeros((2, 8, 8, 4), "uint8"), r"Received: shape=\(8, 8, 4\)"),
        ([IMAGES[0], IMAGES[1] - 300.0], "Image 1 of `calibration`: .*Received: values from -"),
        ([np.full((8, 8, 3), np.nan)], "Received: values from nan"),
    ],
)
def test_images_that_a_file_could_not_take_are_refused(model, calibration, message):
    with pytest.raises(ValueError, match=message):
        images_of(model, calibration)


@pytest.mark.parametrize(
    "calibration",
    [
        IMAGES,
        [*IMAGES],
        (image for image in IMAGES),
        [IMAGES[:3], IMAGES[3:]],
        tf.data.Dataset.from_tensor_slices(IMAGES),
        tf.data.Dataset.from_tensor_slices(IMAGES).batch(3),
    ],
)
def test_images_may_be_arrays_lists_or_data_sets(model, calibration):
    images = images_of(model, calibration)
    assert {image.dtype.name for image in images} == {"float32"}
    np.testing.assert_array_equal(np.stack(images), IMAGES[:, None])


def test_a_single_image_calibrates(model):
    np.testing.assert_array_equal(images_of(model, IMAGES[0]), IMAGES[:1][None])


def test_calibration_sees_images_at_the_working_size(model):
    sized = keras.models.clone_model(model)
    sized.working_size = 32
    images = images_of(sized, [np.zeros((64, 40, 3), "uint8"), IMAGES[0]])
    assert [image.shape for image in images] == [(1, 32, 20, 3), (1, 32, 32, 3)]


def test_calibration_images_of_another_size_than_that_of_the_file_are_refused(model):
    message = r"images of \(32, 48\) only: .*Received: image of \(64, 64\)"
    with pytest.raises(ValueError, match=message):
        images_of(model, IMAGES, size=(32, 48))
    with pytest.raises(ValueError, match=message):
        images_of(small_model(shape=(32, 48, 3)), IMAGES)


def test_the_graph_of_openvino_has_to_be_named_xml(model, tmp_path):
    with pytest.raises(ValueError, match=r"must end in `.xml`. Received: path='.*model.bin'"):
        export_openvino(model, tmp_path / "model.bin")


def types_by_name(path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    return {tensor["name"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}


def test_convolutions_are_in_int8_and_logits_in_float32(model, tmp_path):
    export_litert(model, tmp_path / "model", precision="int8", calibration=OF_SEVERAL_SIZES)
    images = raw_images(1, 40, 56, seed=9)  # neither of these images nor of their size
    assert kappa(run_litert(tmp_path / "model", images), model.segment(images)) > 0.5
    types = types_by_name(tmp_path / "model")
    of = {x: {types[name] for name in types if x in name} for x in LAYERS}
    assert np.int8 in of["more_features"]
    assert np.float32 in of["logits"]
    assert np.int8 not in of["logits"]


def kappa(outputs, expected):
    """Cohen's kappa, 0 for an agreement by chance and 1 for identical class maps."""
    found, expected = outputs["classes"].ravel(), np.ravel(expected)
    shares = [np.bincount(x, minlength=8) / x.size for x in (found, expected)]
    chance = np.dot(*shares)
    return ((found == expected).mean() - chance) / (1 - chance)


FORMATS = {
    "LiteRT": (export_litert, run_litert, "model.tflite"),
    "ONNX": (export_onnx, run_onnx, "model.onnx"),
    "OpenVINO": (export_openvino, run_openvino, "model.xml"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "runtime", "precision"),
    [
        *(("official", runtime, "int8") for runtime in FORMATS),
        ("official", "OpenVINO", "bfloat16"),
        ("official", "LiteRT", "dynamic_int8"),
        ("official", "ONNX", "dynamic_int8"),
        *(("jpu", runtime, "int8") for runtime in ("LiteRT", "ONNX")),
        ("psp", "LiteRT", "int8"),
    ],
)
def test_class_maps_agree_with_float32(name, runtime, precision, randomize, tmp_path):
    export, run, file = FORMATS[runtime]
    model = randomize(NETWORKS[name]())
    calibration = OF_SEVERAL_SIZES if precision == "int8" else None
    export(model, tmp_path / file, precision=precision, calibration=calibration)
    for size in ((64, 64), (40, 88)):
        images = raw_images(2, *size, seed=77)
        logits = np.asarray(model(images, training=False)["segmentation"])
        assert kappa(run(tmp_path / file, images), logits.argmax(-1)) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("runtime", FORMATS)
def test_weights_take_a_quarter_of_the_size(runtime, tmp_path):
    export, _, file = FORMATS[runtime]
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(256, 3)(keras.layers.Conv2D(128, 3)(ImageNormalization()(images)))
    model = SegmentationModel(images, {"segmentation": keras.layers.Conv2D(3, 1)(x)})
    sizes = {}
    for precision, calibration in (("float32", None), ("int8", IMAGES)):
        export(model, tmp_path / precision / file, precision=precision, calibration=calibration)
        sizes[precision] = sum(path.stat().st_size for path in (tmp_path / precision).iterdir())
    assert sizes["int8"] < 0.3 * sizes["float32"]


def test_failed_export_keeps_the_existing_files(model, tmp_path, monkeypatch):
    openvino = pytest.importorskip("openvino")
    files = [tmp_path / "model.xml", tmp_path / "model.bin"]
    for file in files:
        file.write_text("old")
    monkeypatch.setattr(openvino, "save_model", lambda *arguments, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_openvino(model, files[0])
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert {file.read_text() for file in files} == {"old"}
