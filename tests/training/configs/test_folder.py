"""The size at which a recipe sees images, from the sizes of its training images."""

import json

import numpy as np
import pytest

from tests.fixtures import SMALL_FCN
from tests.training.folders import write_split
from training import check_data
from training.configs.folder import FolderFCN50, automatic_sizes, automatic_working_size
from training.run import fit, run_folder
from training.tasks.segmentation import Segmentation

SMALL = {**SMALL_FCN, "blocks": (1, 1, 1, 1), "width_multiplier": 0.0625, "backbone_weights": None}
SMALL |= {"batch_size": 2, "epochs": 2, "min_epoch_steps": 1}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(213, 320)] * 3, 320),
        ([(683, 768), (512, 512), (768, 683)], 320),
        ([(40, 60), (100, 70), (10, 3000)], 104),
        ([(3, 2)], 8),
    ],
)
def test_automatic_working_size_is_the_median_long_side_up_to_320(sizes, expected):
    assert automatic_working_size(np.array(sizes)) == expected


@pytest.mark.parametrize(
    ("options", "working_size", "crop_size"),
    [
        ({}, 320, (216, 288)),
        ({"crop_share": 0.5}, 320, (120, 160)),
        ({"working_size": 512}, 512, (344, 464)),
        ({"working_size": "native"}, "native", (216, 288)),
        ({"working_size": "native", "crop_size": (96, 64)}, "native", (96, 64)),
        ({"crop_size": (96, 64)}, 320, (96, 64)),
    ],
)
def test_crops_show_most_of_the_resized_image(options, working_size, crop_size):
    found = automatic_sizes(FolderFCN50(data="", **options), np.array([(480, 640)]))
    assert found == {"working_size": working_size, "crop_size": crop_size}


@pytest.mark.parametrize(
    ("sizes", "crop_size"),
    [
        ([(640, 480)], (288, 216)),
        ([(480, 640), (480, 640), (640, 480)], (216, 288)),
        ([(480, 640), (640, 480)], (256, 256)),
        ([(1, 3000)], (8, 288)),
    ],
)
def test_crops_have_the_median_shape_of_the_images(sizes, crop_size):
    assert automatic_sizes(FolderFCN50(data=""), np.array(sizes))["crop_size"] == crop_size


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, count in (("train", 4), ("val", 1)):
        samples = {
            f"{name}{i}": (
                rng.integers(0, 256, (30, 46, 3)).astype("uint8"),
                rng.integers(0, 3, (30, 46)).astype("uint8"),
            )
            for i in range(count)
        }
        write_split(root, samples, name=name)
    return root


def test_check_data_states_the_sizes(data, capsys):
    check_data.main(data)
    printed = capsys.readouterr().out
    assert printed.count("working size of 48 pixels on their long side, in crops of 32 x 40") == 1


def test_a_run_records_its_sizes_and_keeps_them(data, tmp_path, monkeypatch):
    def config(**options):
        return FolderFCN50(data=str(data), **SMALL, **options)

    task = Segmentation(config())
    assert "a working size of 48 pixels" in task.plan()
    assert task.build_model().working_size == 48
    automatic = {"automatic": sorted(config().automatic_options())}
    run_folder.create(tmp_path, task.config, {}, automatic)
    recorded = json.loads((tmp_path / "config.json").read_text())
    assert (recorded["working_size"], recorded["crop_size"]) == (48, [32, 40])
    # A later version may find other sizes for the same data; this run keeps its own.
    monkeypatch.setattr("training.configs.folder.LARGEST_WORKING_SIZE", 16)
    assert run_folder.resumed(tmp_path, config()) == task.config
    run_folder.check_free(tmp_path, run_folder.resumed(tmp_path, config(working_size=48)))
    with pytest.raises(FileExistsError, match="other options: working_size=48"):
        fit.train(config(working_size=16), tmp_path)
    assert run_folder.resumed(tmp_path, config(overwrite=True)) == config(overwrite=True)


def test_a_run_of_a_given_size_is_not_resumed_with_the_automatic_one(data, tmp_path):
    config = FolderFCN50(data=str(data), working_size=16, **SMALL)
    run_folder.create(tmp_path, config, {}, {"automatic": ["crop_size"]})
    with pytest.raises(FileExistsError, match="other options: working_size=16"):
        fit.train(FolderFCN50(data=str(data), **SMALL), tmp_path)


@pytest.mark.parametrize(
    "options", [{"working_size": 0}, {"working_size": -320}, {"crop_size": (0, 64)}]
)
def test_sizes_below_1_are_refused_before_anything_is_read(options):
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=rf"Received: {name}=") as error:
        FolderFCN50(data="", **options).check()
    assert str(error.value).endswith(f"{name}={value}")


def test_crop_share_has_no_effect_on_a_given_crop_size():
    with pytest.raises(ValueError, match="crop-share` has no effect"):
        FolderFCN50(data="", crop_size=(64, 64), crop_share=0.5).check()
