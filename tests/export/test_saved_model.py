"""SavedModels make the same predictions as the model, without Keras and within limits."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.export import Limits, export_litert, export_saved_model, write_configuration
from keras_encnet.labels import default_palette
from tests.export import encoded
from tests.export.exported import SIZE, logits_of, predict, signatures_of
from tests.fixtures import NETWORKS, assert_same_classes, raw_images

READER = """
import sys
sys.modules["keras"] = None
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
images = np.load(sys.argv[2])
for signature, dtype in (("tensors", "float32"), ("tensors_uint8", "uint8")):
    outputs = model.signatures[signature](images=tf.constant(images, dtype))
    np.savez(f"{sys.argv[3]}/{signature}.npz", **{k: v.numpy() for k, v in outputs.items()})
"""


def test_predictions_in_a_process_without_keras(model, exported, tmp_path):
    images = raw_images(2, 37, 53)
    np.save(tmp_path / "images.npy", images)
    arguments = [str(exported), str(tmp_path / "images.npy"), str(tmp_path)]
    subprocess.run([sys.executable, "-c", READER, *arguments], check=True, timeout=120)
    expected = logits_of(model, images)
    presence = 1 / (1 + np.exp(-np.asarray(expected["presence"], "float64")))
    for signature in ("tensors", "tensors_uint8"):
        outputs = np.load(tmp_path / f"{signature}.npz")
        assert outputs["classes"].dtype == np.uint8
        assert_same_classes(outputs["classes"], np.asarray(expected["segmentation"]))
        np.testing.assert_allclose(outputs["presence"], presence, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("official", {}),
        ("fcn", {"fold": False, "freeze": False}),
        *(pytest.param(name, {}, marks=pytest.mark.slow) for name in ("psp", "deeplabv3")),
        ("no codewords", {"fold": False}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_structure_can_be_exported(name, options, randomize, tmp_path):
    model = randomize(NETWORKS[name]())
    export_saved_model(model, tmp_path / "1", probabilities=True, **options)
    images = raw_images(1, 33, 41)
    outputs = signatures_of(tmp_path / "1")["tensors"](images=tf.constant(images, tf.float32))
    expected = logits_of(model, images)
    assert ("presence" in outputs) == ("presence" in expected)
    assert_same_classes(outputs["classes"], np.asarray(expected["segmentation"]))
    np.testing.assert_allclose(
        outputs["probabilities"], tf.nn.softmax(expected["segmentation"]), atol=1e-4
    )


@pytest.mark.parametrize("name", [pytest.param("se_resnet14", marks=pytest.mark.slow), "encnet14"])
def test_classifiers_return_probabilities_and_class_names(name, randomize, tmp_path):
    model = randomize(NETWORKS[name]())
    model.class_names = "abcdefghij"
    export_saved_model(model, tmp_path / "1")
    signatures = signatures_of(tmp_path / "1")
    images = raw_images(3, 32, 32)
    expected = model.classify(images)
    names = [model.class_names[i].encode() for i in expected.argmax(-1)]
    outputs = signatures["tensors"](images=tf.constant(images, tf.float32))
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
    assert outputs["class_name"].numpy().tolist() == names
    outputs = predict(signatures, encoded.encode(images[1], "PNG"), b"no image")
    np.testing.assert_allclose(outputs["probabilities"][0], expected[1], atol=1e-5)
    assert outputs["class_name"].tolist() == [names[1], b""]
    assert not outputs["probabilities"][1].any()


def test_every_output_has_a_batch_axis(signatures):
    for signature in signatures.values():
        for output in signature.structured_outputs.values():
            assert output.shape.rank >= 1
            assert output.shape[0] is None


def test_assets_and_model_card(model, exported):
    assert (exported / "assets/class_names.txt").read_text().split() == list(model.class_names)
    palette = np.loadtxt(exported / "assets/palette.txt")
    np.testing.assert_array_equal(palette, default_palette(5))
    card = (exported / "model_card.md").read_text()
    for part in (
        "street/1",
        "Random.",
        '"mean_iou": 0.5',
        "64 x 72",
        "`presence` float32",
        "Conv2D",
    ):
        assert part in card


def test_frozen_export_stores_weights_once_and_no_variables(exported, model):
    weights = 4 * model.count_params()
    assert (exported / "variables/variables.data-00000-of-00001").stat().st_size < 1000
    assert 0.7 * weights < (exported / "saved_model.pb").stat().st_size < 2 * weights + 600_000


@pytest.mark.parametrize("warm_up", [(0,), (1, 3), (1.5,)])
def test_warm_up_beyond_the_limits_raises(warm_up, model, tmp_path):
    limits = Limits(tensor_pixels=2 * SIZE[0] * SIZE[1])
    with pytest.raises(ValueError, match="batch sizes from 1 to 2"):
        export_saved_model(model, tmp_path / "1", size=SIZE, limits=limits, warm_up=warm_up)
    assert not (tmp_path / "1").exists()


def test_warm_up_requests_match_the_signatures(exported, signatures):
    from tensorflow_serving.apis import prediction_log_pb2

    file = str(exported / "assets.extra/tf_serving_warmup_requests")
    requests = []
    for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "street"
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        signatures[request.model_spec.signature_name](**inputs)
        requests += [(request.model_spec.signature_name, len(*inputs.values()))]
    names = ("serving_default", "tensors", "tensors_uint8")
    assert sorted(requests) == sorted((name, count) for name in names for count in (1, 2))


def test_fixed_size_holds_for_all_signatures(model, tmp_path):
    export = export_saved_model(model, tmp_path / "m/1", size=(16, 24), fixed_size=True)
    signatures = signatures_of(tmp_path / "m/1")
    assert signatures["tensors"](images=tf.zeros((2, 16, 24, 3)))["classes"].shape == (2, 16, 24)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[2,16,16,3\] is not compatible"):
        signatures["tensors"](images=tf.zeros((2, 16, 16, 3)))
    write_configuration(tmp_path / "m", export)
    assert "For all signatures" in (tmp_path / "m/batching.config").read_text()


@pytest.mark.slow
def test_bfloat16_agrees_on_most_pixels(model, tmp_path):
    export_saved_model(model, tmp_path / "1", precision="bfloat16")
    images = raw_images(1, 64, 64)
    outputs = signatures_of(tmp_path / "1")["tensors"](images=tf.constant(images, tf.float32))
    expected = np.asarray(logits_of(model, images)["segmentation"])
    margin = 0.02 * np.abs(expected).max()
    assert_same_classes(outputs["classes"], expected, margin, least=0.7)


def test_configuration_can_be_parsed_and_is_not_overwritten(exported, tmp_path):
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    assert "serve" in graph.meta_graphs[0].meta_info_def.tags
    from tensorflow_serving.config import model_server_config_pb2

    export = {"size": SIZE, "fixed_size": False, "limits": {"images": 4, "tensor_pixels": 10000}}
    (tmp_path / "street").mkdir()
    write_configuration(tmp_path / "street", export)
    text = (tmp_path / "street/models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert config.model_config_list.config[0].base_path == "/models/street"
    batching = (tmp_path / "street/batching.config").read_text()
    assert re.search(r"max_batch_size \{ value: 4 \}", batching)
    (tmp_path / "street/models.config").write_text("mine")
    write_configuration(tmp_path / "street", export)
    assert (tmp_path / "street/models.config").read_text() == "mine"


def test_existing_export_is_not_overwritten(model, tmp_path):
    with pytest.raises(FileExistsError, match="another version"):
        export_saved_model(model, tmp_path)


def test_failed_export_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("os.rename", fail)
    with pytest.raises(OSError, match="disk full"):
        export_saved_model(model, tmp_path / "model" / "1")
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 5)}, "size=\\(0, 5\\)"),
        ({"size": 0}, "the long side, or 'native'. Received: size=0"),
        ({"size": "large"}, "Received: size='large'"),
        ({"size": (5, 40000)}, "each from 1 to 32768"),
        ({"palette": np.zeros((4, 3))}, "palette.shape=\\(4, 3\\)"),
        ({"precision": "float16"}, "precision='float16'"),
    ],
)
def test_invalid_options_raise(options, message, model, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_saved_model(model, tmp_path / "1", **options)
    assert not (tmp_path / "1").exists()


def test_other_models_raise(tmp_path):
    with pytest.raises(ValueError, match="Received: model of class Functional"):
        export_saved_model(NETWORKS["resnet"](), tmp_path / "1")


def test_model_without_the_output_segmentation_raises(model, tmp_path):
    for export in (export_saved_model, export_litert):
        with pytest.raises(ValueError, match=r"output `segmentation`.*\['presence'\]"):
            export(model.with_outputs("presence"), tmp_path / "1")


def test_size_other_than_a_fixed_input_size_raises(tmp_path):
    with pytest.raises(ValueError, match=r"is \(32, 32\).*size=\(64, 64\)"):
        export_saved_model(NETWORKS["resnet14"](), tmp_path / "1", size=(64, 64))
