"""Data sets of few and large images."""

import numpy as np
import pytest

from tests.training.folders import write_split
from training.input.folder import read_split
from training.input.image_files import read_image, read_mask
from training.research import enlarged


@pytest.fixture
def folder(tmp_path, rng):
    root = tmp_path / "small"
    for name, count in (("train", 5), ("val", 2)):
        samples = {
            f"{name}/{i}": (
                np.full((6, 8, 3), 40 * i, "uint8"),
                rng.integers(0, 3, (6, 8)).astype("uint8"),
            )
            for i in range(count)
        }
        for kind in ("images", "labels"):
            (root / kind / name).mkdir(parents=True)
        write_split(root, samples, name=name)
    return root


def test_training_images_are_thinned_out_and_all_are_enlarged(folder, tmp_path):
    enlarged.main(folder, tmp_path / "large", images=3)
    train, val = (read_split(tmp_path / "large", name) for name in ("train", "val"))
    assert train.stems == ("train/0", "train/2", "train/4")
    assert val.stems == read_split(folder, "val").stems
    assert train.class_names == ("sky", "road", "car")
    small = read_split(folder, "train")
    for i, (image_path, mask_path) in enumerate(
        zip(train.image_paths, train.mask_paths, strict=True)
    ):
        image = read_image(image_path)
        assert image.shape == (12, 16, 3)
        np.testing.assert_allclose(image, 80 * i, atol=2)
        mask = read_mask(small.mask_paths[2 * i])
        np.testing.assert_array_equal(read_mask(mask_path), mask.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    "options",
    [{"images": 0}, {"images": 6}, *({"images": 2, "factor": f} for f in (0, 17, np.nan))],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(folder, tmp_path, options):
    with pytest.raises(ValueError, match=r"Received: (images|factor)="):
        enlarged.main(folder, tmp_path / "large", **options)
    assert not (tmp_path / "large").exists()


def test_existing_output_is_refused(folder):
    with pytest.raises(FileExistsError, match="must not exist"):
        enlarged.main(folder, folder, images=2)
