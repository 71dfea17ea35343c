"""`training.predict`: results of every image that can be read, recorded when interrupted."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_encnet
from keras_encnet.graph import compiled
from training import cli, predict


@pytest.fixture
def model(tiny_backbone, randomize):
    return randomize(keras_encnet.EncNet(tiny_backbone(), 4, channels=8, num_codewords=5))


@pytest.fixture
def paths(model, rng, tmp_path):
    model.save(tmp_path / "best.keras")
    paths = tuple(tmp_path / f"photo{i}.png" for i in range(3))
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 64, 3), "uint8")).save(path)
    return paths


def records(folder):
    return json.loads((folder / "predictions.json").read_text())


def test_results_match_the_model(model, paths, tmp_path):
    predict.main(tmp_path, paths, tmp_path / "out")
    for path, record in records(tmp_path / "out").items():
        image = np.asarray(Image.open(path))
        mask = model.segment(image)
        np.testing.assert_array_equal(Image.open(tmp_path / "out" / path.split("/")[-1]), mask)
        assert record["shares"] == {
            str(i): pytest.approx((mask == i).mean()) for i in np.unique(mask)
        }
        presence = 1 / (1 + np.exp(-np.asarray(model(image[None])["presence"][0])))
        shown = set(np.unique(mask)) | set(np.flatnonzero(presence > 0.5))
        assert record["presence"] == {str(i): pytest.approx(presence[i], rel=1e-4) for i in shown}


@pytest.mark.parametrize("options", [{}, {"size": 24}, {"size": "native"}])
def test_images_are_seen_at_the_working_size_or_another(options, model, paths, tmp_path):
    model.working_size = 48
    model.save(tmp_path / "best.keras")
    predict.main(tmp_path, paths[:1], tmp_path / "out", **options)
    expected = model.segment(np.asarray(Image.open(paths[0])), **options)
    np.testing.assert_array_equal(Image.open(tmp_path / "out" / paths[0].name), expected)


@pytest.mark.parametrize("failure", ["damaged", "missing"])
def test_failed_image_does_not_affect_the_others(failure, paths, tmp_path, capsys):
    if failure == "damaged":
        paths[1].write_bytes(paths[1].read_bytes()[:80])
    else:
        paths[1].unlink()
    with pytest.raises(SystemExit) as error, cli.plain_errors():
        predict.main(tmp_path, paths, tmp_path / "out")
    assert str(error.value).startswith("error: 1 of 3 images failed")
    assert "photo1.png" in str(error.value)
    assert f"error: {paths[1]}: " in capsys.readouterr().err
    found = records(tmp_path / "out")
    keys = ["shares", "presence", "without_pixels", "contradictions"]
    assert [list(record) for record in found.values()] == [keys, ["error"], keys]
    assert (tmp_path / "out/photo2.png").exists()
    assert not (tmp_path / "out/photo1.png").exists()


@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError(None, None, "OOM"), MemoryError()]
)
def test_image_too_large_for_the_memory_does_not_affect_the_others(
    error, paths, tmp_path, monkeypatch
):
    run = predict.CompiledOutputs.__call__
    calls = []

    def fail_first(*args):
        calls.append(args)
        if len(calls) == 1:
            raise error
        return run(*args)

    monkeypatch.setattr(predict.CompiledOutputs, "__call__", fail_first)
    with pytest.raises(ValueError, match="1 of 3 images failed"):
        predict.main(tmp_path, paths, tmp_path / "out")
    assert sum("shares" in record for record in records(tmp_path / "out").values()) == 2


def test_predictions_before_an_interruption_are_recorded(paths, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        if len(list((tmp_path / "out").glob("*_overlay.png"))) == 2:
            raise KeyboardInterrupt
        return save(*_, **__)

    save = predict.save_mask
    monkeypatch.setattr(predict, "save_mask", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict.main(tmp_path, paths, tmp_path / "out")
    assert list(records(tmp_path / "out")) == [str(path) for path in paths[:2]]


@pytest.mark.slow
def test_windows_match_those_of_segment(model, paths, tmp_path):
    predict.main(tmp_path, paths[:1], tmp_path / "out", window=32, overlap=8)
    mask = model.segment(np.asarray(Image.open(paths[0])), window=32, overlap=8)
    np.testing.assert_array_equal(Image.open(tmp_path / "out/photo0.png"), mask)


@pytest.mark.parametrize("windows", [{}, {"window": 32, "overlap": 8}])
def test_probabilities_are_written_with_the_mask(windows, model, paths, tmp_path, capsys):
    predict.main(tmp_path, paths[:1], tmp_path / "out", probabilities=True, **windows)
    expected = model.segment(np.asarray(Image.open(paths[0])), probabilities=True, **windows)
    found = np.load(tmp_path / "out/photo0_probabilities.npy", mmap_mode="r")
    assert (found.dtype, found.shape) == ("float16", (40, 64, 4))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    mask = np.asarray(Image.open(tmp_path / "out/photo0.png"))
    np.testing.assert_array_equal(mask, expected.argmax(-1))
    assert "row" in capsys.readouterr().err  # the progress bar


def test_interrupted_image_leaves_no_probabilities(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "BAND_VALUES", 64 * 4 * 10)  # ten rows at a time
    parts = []

    def interrupt(rows, height):
        for part in rows:
            parts.append(part)
            if len(parts) == 3:
                raise MemoryError("too large")
            yield part

    monkeypatch.setattr(predict, "with_progress", interrupt)
    with pytest.raises(ValueError, match="1 of 1 images failed"):
        predict.main(tmp_path, paths[:1], tmp_path / "out", probabilities=True)
    assert [part.shape for part in parts] == [(10, 64, 4)] * 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


def test_invalid_windows_raise_before_any_output(paths, tmp_path):
    output = tmp_path / "out"
    with pytest.raises(ValueError, match="without `--window`. Received: window=32"):
        predict.main(tmp_path, paths, output, explain=True, window=32)
    with pytest.raises(ValueError, match="`overlap` requires `window`"):
        predict.main(tmp_path, paths, output, overlap=8)
    with pytest.raises(ValueError, match="Received: overlap=32"):
        predict.main(tmp_path, paths, output, window=32, overlap=32)
    assert not output.exists()


def test_an_output_that_cannot_be_written_raises_before_the_model_is_read(tmp_path):
    for name in ("photo.png", "file"):
        (tmp_path / name).touch()
    with pytest.raises(NotADirectoryError, match="file is not a folder"):
        predict.main(tmp_path / "run", (tmp_path / "photo.png",), tmp_path / "file/out")


def test_results_of_images_in_folders_keep_their_paths(paths, tmp_path):
    (tmp_path / "photos/city").mkdir(parents=True)
    paths[0].rename(tmp_path / "photos/a.png")
    paths[1].rename(tmp_path / "photos/city/a.png")
    (tmp_path / "photos/c.webp").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"1 of 4 images failed.*c.webp"):
        predict.main(tmp_path, (tmp_path / "photos", paths[2]), tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png"))
    assert [path.as_posix() for path in found] == [
        "a.png",
        "a_overlay.png",
        "city/a.png",
        "city/a_overlay.png",
        "photo2.png",
        "photo2_overlay.png",
    ]
    failed = records(tmp_path / "out")[str(tmp_path / "photos/c.webp")]
    assert "`python -m training.import_data` converts TIFF and WebP" in failed["error"]


def test_predictions_are_written_every_few_seconds_and_at_the_end(tmp_path, monkeypatch):
    path, clock, predictions = tmp_path / "predictions.json", iter((0, 1, 7, 7, 8)), {}
    monkeypatch.setattr(predict.time, "monotonic", lambda: next(clock))
    with predict.recorded(path, predictions) as record:
        for number, written in ((1, False), (2, True), (3, True)):
            predictions[str(number)] = {}
            record()
            assert path.exists() == written
        assert list(records(tmp_path)) == ["1", "2"]
    assert list(records(tmp_path)) == ["1", "2", "3"]
