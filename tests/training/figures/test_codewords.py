"""Tests of the codeword pages and of `training.predict --explain`."""

import keras
import numpy as np
import pytest
from PIL import Image

import keras_encnet
from keras_encnet.graph.compiled import CompiledOutputs
from training import predict
from training.figures import codewords


@pytest.fixture
def model(tiny_backbone, randomize):
    return randomize(keras_encnet.EncNet(tiny_backbone(), 4, channels=8, num_codewords=5))


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (40, 64, 3), "uint8")


def prediction_of(model, image):
    outputs = CompiledOutputs(model, {**model.output, **codewords.tensors(model)})
    return {name: rows[0] for name, rows in outputs(image[None]).items()}


def test_assignment_and_gates_follow_the_equations_of_the_paper(model, image):
    prediction = prediction_of(model, image)
    assignment, gates = prediction["assignment"], prediction["gates"]
    assert assignment.shape == (5, 8, 5)
    np.testing.assert_allclose(assignment.sum(-1), 1, rtol=1e-5)

    encoding = model.get_layer("context_encoding")
    attention = model.get_layer("context_attention")
    inner = keras.Model(model.input, [encoding.input, attention.input[1]])
    features, code = map(np.asarray, inner(image[None]))
    distance = ((features[0, :, :, None] - np.asarray(encoding.codewords)) ** 2).mean(-1)
    expected = np.exp(np.asarray(encoding.scale) * distance)
    np.testing.assert_allclose(
        assignment, expected / expected.sum(-1, keepdims=True), rtol=1e-3, atol=1e-5
    )
    logits = code[0] @ np.asarray(attention.kernel) + np.asarray(attention.bias)
    np.testing.assert_allclose(gates, 1 / (1 + np.exp(-logits)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{"num_codewords": 0}, None])
def test_model_without_codewords_raises(tiny_backbone, options):
    if options is None:
        model = keras_encnet.FCN(tiny_backbone(), 4)
    else:
        model = keras_encnet.EncNet(tiny_backbone(), 4, channels=8, **options)
    with pytest.raises(ValueError, match="Only an EncNet with codewords"):
        codewords.tensors(model)


def test_page_of_a_model_without_presence(model, image, tmp_path):
    prediction = prediction_of(model.with_outputs("segmentation"), image)
    codewords.save_page(tmp_path / "page.png", image, prediction, model.class_names)
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_the_legend_names_the_classes_of_prediction_and_truth(image, rng, monkeypatch):
    figures = []
    monkeypatch.setattr(codewords, "save_figure", lambda path, figure: figures.append(figure))
    prediction = {
        "classes": np.repeat([[0], [2]], 20, axis=0).repeat(64, axis=1),
        "assignment": rng.dirichlet(np.ones(5), (5, 8)),
        "gates": rng.random(8),
    }
    truth = np.full((40, 64), 255)
    truth[3, 3] = 1
    names = ("road", "car", "sky", "tree")
    for given, expected in ((None, ["road", "sky"]), (truth, ["road", "car", "sky"])):
        codewords.save_page("page.png", image, prediction, names, given)
        (legend,) = figures.pop().subfigs[0].legends
        assert [text.get_text() for text in legend.get_texts()] == expected


@pytest.mark.slow
def test_command_writes_one_page_per_image(model, image, tmp_path):
    model.save(tmp_path / "best.keras")
    Image.fromarray(image).save(tmp_path / "photo.png")
    (tmp_path / "labels").mkdir()
    truth = np.full((40, 64), 2, "uint8")
    truth[0] = 255
    Image.fromarray(truth).save(tmp_path / "labels/photo.png")
    paths = (tmp_path / "photo.png",)
    predict.main(tmp_path, paths, tmp_path / "without", explain=True)
    predict.main(tmp_path, paths, tmp_path / "with", explain=True, truth=tmp_path / "labels")
    pages = [Image.open(tmp_path / name / "photo_codewords.png") for name in ("without", "with")]
    assert all(page.size[0] > 800 for page in pages)
    assert pages[0].tobytes() != pages[1].tobytes()  # the truth is shown
    predict.main(tmp_path, paths, tmp_path / "plain")
    assert not (tmp_path / "plain/photo_codewords.png").exists()


def test_missing_truth_or_codewords_raise_before_any_output(model, tiny_backbone, image, tmp_path):
    keras_encnet.FCN(tiny_backbone(), 4).save(tmp_path / "best.keras")
    Image.fromarray(image).save(tmp_path / "photo.png")
    paths, output = (tmp_path / "photo.png",), tmp_path / "out"
    with pytest.raises(ValueError, match="Only an EncNet"):
        predict.main(tmp_path, paths, output, explain=True)
    with pytest.raises(FileNotFoundError, match="photo.png"):
        predict.main(tmp_path, paths, output, explain=True, truth=tmp_path / "labels")
    with pytest.raises(ValueError, match="`--truth` requires `--explain`"):
        predict.main(tmp_path, paths, output, truth=tmp_path)
    assert not output.exists()
