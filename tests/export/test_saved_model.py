"""The SavedModel answers as the model does, without Keras, and within its limits."""

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
answers = model.signatures["tensors"](images=tf.constant(np.load(sys.argv[2])))
np.savez(sys.argv[3], **{name: value.numpy() for name, value in answers.items()})
"""


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_process_without_keras_gets_the_same_answers(dtype, model, exported, tmp_path):
    images = raw_images(2, 37, 53)
    np.save(tmp_path / "images.npy", images.astype(dtype))
    reader = READER if dtype == "float32" else READER.replace('"tensors"', '"tensors_uint8"')
    arguments = [str(exported), str(tmp_path / "images.npy"), str(tmp_path / "answers.npz")]
    subprocess.run([sys.executable, "-c", reader, *arguments], check=True, timeout=120)
    answers = np.load(tmp_path / "answers.npz")
    want = logits_of(model, images)
    assert answers["classes"].dtype == np.uint8
    assert_same_classes(answers["classes"], np.asarray(want["segmentation"]))
    presence = 1 / (1 + np.exp(-np.asarray(want["presence"], "float64")))
    np.testing.assert_allclose(answers["presence"], presence, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("official", {}),
        ("fcn", {"fold": False, "freeze": False}),
        ("no codewords", {"fold": False}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_structure_is_exported(name, options, randomize, tmp_path):
    model = randomize(NETWORKS[name]())
    export_saved_model(model, tmp_path / "1", probabilities=True, **options)
    images = raw_images(1, 33, 41)
    answer = signatures_of(tmp_path / "1")["tensors"](images=tf.constant(images, tf.float32))
    want = logits_of(model, images)
    assert ("presence" in answer) == ("presence" in want)
    assert_same_classes(answer["classes"], np.asarray(want["segmentation"]))
    np.testing.assert_allclose(
        answer["probabilities"], tf.nn.softmax(want["segmentation"]), atol=1e-4
    )


@pytest.mark.parametrize("name", ["se_resnet14", "encnet14"])
def test_classifiers_answer_with_probabilities_and_names(name, randomize, tmp_path):
    model = randomize(NETWORKS[name]())
    model.class_names = "abcdefghij"
    export_saved_model(model, tmp_path / "1")
    signatures = signatures_of(tmp_path / "1")
    images = raw_images(3, 32, 32)
    want = model.classify(images)
    names = [model.class_names[i].encode() for i in want.argmax(-1)]
    answer = signatures["tensors"](images=tf.constant(images, tf.float32))
    np.testing.assert_allclose(answer["probabilities"], want, atol=1e-5)
    assert answer["class_name"].numpy().tolist() == names
    answer = predict(signatures, encoded.encode(images[1], "PNG"), b"no image")
    np.testing.assert_allclose(answer["probabilities"][0], want[1], atol=1e-5)
    assert answer["class_name"].tolist() == [names[1], b""]
    assert not answer["probabilities"][1].any()


def test_every_output_has_the_batch_first(signatures):
    for signature in signatures.values():
        for output in signature.structured_outputs.values():
            assert output.shape.rank >= 1
            assert output.shape[0] is None


def test_names_palette_and_card_lie_beside_the_graph(model, exported):
    assert (exported / "assets/class_names.txt").read_text().split() == list(model.class_names)
    palette = np.loadtxt(exported / "assets/palette.txt")
    np.testing.assert_array_equal(palette, default_palette(5))
    card = (exported / "model_card.md").read_text()
    for part in (
        "street/1",
        "Drawn.",
        '"mean_iou": 0.5',
        "64 x 72",
        "`presence` float32",
        "Conv2D",
    ):
        assert part in card


def test_a_frozen_export_has_its_weights_once_and_no_variables(exported, model):
    weights = 4 * model.count_params()
    assert (exported / "variables/variables.data-00000-of-00001").stat().st_size < 1000
    assert 0.7 * weights < (exported / "saved_model.pb").stat().st_size < 2 * weights + 600_000


@pytest.mark.parametrize("warm_up", [(0,), (1, 3), (1.5,)])
def test_warm_up_that_the_limits_refuse_is_refused(warm_up, model, tmp_path):
    limits = Limits(tensor_pixels=2 * SIZE[0] * SIZE[1])
    with pytest.raises(ValueError, match="batch sizes from 1 to 2"):
        export_saved_model(model, tmp_path / "1", size=SIZE, limits=limits, warm_up=warm_up)
    assert not (tmp_path / "1").exists()


def test_warm_up_requests_fit_the_signatures(exported, signatures):
    from tensorflow_serving.apis import prediction_log_pb2

    file = str(exported / "assets.extra/tf_serving_warmup_requests")
    asked = []
    for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "street"
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        signatures[request.model_spec.signature_name](**inputs)
        asked += [(request.model_spec.signature_name, len(*inputs.values()))]
    names = ("serving_default", "tensors", "tensors_uint8")
    assert sorted(asked) == sorted((name, count) for name in names for count in (1, 2))


def test_a_fixed_size_is_that_of_all_signatures(model, tmp_path):
    export = export_saved_model(model, tmp_path / "m/1", size=(16, 24), fixed_size=True)
    signatures = signatures_of(tmp_path / "m/1")
    assert signatures["tensors"](images=tf.zeros((2, 16, 24, 3)))["classes"].shape == (2, 16, 24)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[2,16,16,3\] is not compatible"):
        signatures["tensors"](images=tf.zeros((2, 16, 16, 3)))
    write_configuration(tmp_path / "m", export)
    assert "Fits all signatures" in (tmp_path / "m/batching.config").read_text()


def test_bfloat16_agrees_on_nearly_all_pixels(model, tmp_path):
    export_saved_model(model, tmp_path / "1", precision="bfloat16")
    images = raw_images(1, 64, 64)
    answer = signatures_of(tmp_path / "1")["tensors"](images=tf.constant(images, tf.float32))
    want = np.asarray(logits_of(model, images)["segmentation"])
    assert_same_classes(answer["classes"], want, margin=0.02 * np.abs(want).max(), least=0.7)


def test_configuration_is_what_the_server_reads_and_is_not_written_over(exported, tmp_path):
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


def test_an_export_is_never_written_over(model, tmp_path):
    with pytest.raises(FileExistsError, match="another version"):
        export_saved_model(model, tmp_path)


def test_a_failed_export_leaves_nothing(model, tmp_path, monkeypatch):
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
        ({"size": (5, 40000)}, "each from 1 to 32768"),
        ({"palette": np.zeros((4, 3))}, "palette.shape=\\(4, 3\\)"),
        ({"precision": "float16"}, "precision='float16'"),
    ],
)
def test_wrong_options_are_named(options, message, model, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_saved_model(model, tmp_path / "1", **options)
    assert not (tmp_path / "1").exists()


def test_what_is_no_model_of_this_package_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: model of class Functional"):
        export_saved_model(NETWORKS["resnet"](), tmp_path / "1")


def test_a_model_without_masks_is_refused(model, tmp_path):
    for export in (export_saved_model, export_litert):
        with pytest.raises(ValueError, match=r"output `segmentation`.*\['presence'\]"):
            export(model.with_outputs("presence"), tmp_path / "1")


def test_a_model_of_one_size_takes_no_other(tmp_path):
    with pytest.raises(ValueError, match=r"\(32, 32\) alone.*size=\(64, 64\)"):
        export_saved_model(NETWORKS["resnet14"](), tmp_path / "1", size=(64, 64))
