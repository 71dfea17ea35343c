"""Tests of `training.research.context_views`."""

import numpy as np
import pytest
from PIL import Image

import keras_encnet
from keras_encnet.utils.files import read_json, write_json
from training.datasets import scenes
from training.research import context_views


class Halving:
    """A model that sees images at half of their size."""

    def network_size(self, size):
        return tuple(side // 2 for side in size)


def test_views_show_the_same_pixels_in_image_and_mask():
    labels = (
        np.random.default_rng(0).integers(0, 5, (1, 10, 15)).repeat(4, axis=1).repeat(4, axis=2)
    )
    image = np.repeat(labels[..., None], 3, axis=-1).astype("uint8")
    views = context_views.views(Halving(), image, labels, (11, 50), np.random.default_rng(1))
    assert list(views) == list(context_views.VIEWS)
    for name, (seen, mask) in views.items():
        inside = np.asarray(seen)[..., 0] == np.round(np.asarray(seen)[..., 0])
        expected = labels if name == context_views.WORKING else mask
        if seen.shape[1:3] == expected.shape[1:]:
            np.testing.assert_array_equal(np.asarray(seen)[..., 0][inside], expected[inside])
    shapes = {name: tuple(seen.shape[1:3]) for name, (seen, _) in views.items()}
    assert list(shapes.values()) == [(11, 30), (20, 30), (40, 60)]


def test_measurements_are_relative_to_crops(rng):
    crops = {
        "code": rng.normal(size=(50, 3)),
        "gates": np.full((50, 2), 0.5),
        "presence": rng.normal(size=(50, 2)),
        "truth": np.tile([[1, 0], [1, 1]], (25, 1)),
    }
    whole = {**crops, "code": crops["code"] + [3.0, 0.0, 0.0], "gates": np.full((50, 2), 0.25)}
    rows = list(context_views.compare({"crops": crops, "native size": whole}))
    spread = np.sqrt(crops["code"].var(axis=0).sum())
    assert [row["code_shift"] for row in rows] == pytest.approx([0, 3 / spread])
    assert [row["gate_difference"] for row in rows] == pytest.approx([0, 0.25])
    assert [row["classes"] for row in rows] == [1.5, 1.5]
    assert rows[0]["se_loss"] == rows[1]["se_loss"] > 0


def test_models_without_presence_are_refused(tiny_backbone):
    with pytest.raises(ValueError, match="EncNet that predicts presence.*fcn"):
        context_views.outputs_of(keras_encnet.FCN(tiny_backbone(), 3, name="fcn"))


@pytest.mark.slow
def test_command_writes_figure_table_and_measurements(tmp_path, tiny_backbone, randomize):
    data = scenes.write(tmp_path / "scenes", train=1, val=3, test=1)
    model = keras_encnet.EncNet(
        tiny_backbone(), len(scenes.CLASSES), channels=8, auxiliary="none", working_size=48
    )
    run = tmp_path / "run"
    run.mkdir()
    randomize(model).save(run / "best.keras")
    write_json(run / "config.json", {"data": str(data), "crop_size": [32, 32]})
    context_views.main(run)
    output = run / "context-views-val"
    views = read_json(output / "views.json")["views"]
    assert [view["view"] for view in views] == list(context_views.VIEWS)
    assert (output / "table.md").read_text().count("\n") == 5
    assert Image.open(output / "views.png").size[0] > 1000
