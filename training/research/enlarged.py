"""Make a data set of few and large images from one of many and small ones.

    python -m training.research.enlarged FOLDER OUTPUT --images 80 --factor 2

The training images are thinned out evenly; the other splits keep all of theirs. Images are resized
bicubically and stored as JPEG, masks are resized to the nearest label.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from keras_encnet.utils.files import atomic_folder
from training import cli
from training.input.folder import Split, read_split
from training.input.image_files import read_image, read_mask
from training.input.split_lists import split_names

LARGEST_FACTOR = 16.0


def main(folder: Path, output: Path, images: int = 80, factor: float = 2.0) -> None:
    """Make a data set of few and large images from one of many and small ones.

    Args:
        folder: Folder data set with a split `train`.
        output: Folder of the new one, which must not exist.
        images: Number of training images to keep.
        factor: Factor of height and width, at most 16.
    """
    train = read_split(folder, "train")
    if not 1 <= images <= len(train):
        raise ValueError(
            f"`--images` must be from 1 to {len(train)}, the images of {folder}. "
            f"Received: images={images}"
        )
    if not 0 < factor <= LARGEST_FACTOR:
        raise ValueError(
            f"`--factor` must be greater than 0 and at most {LARGEST_FACTOR}. "
            f"Received: factor={factor}"
        )
    if output.exists():
        raise FileExistsError(f"The output folder must not exist. Received: output={str(output)!r}")
    kept = {train.stems[i] for i in np.linspace(0, len(train) - 1, images).round().astype(int)}
    splits = {name: read_split(folder, name) for name in split_names(folder)}
    splits["train"] = train.without(set(train.stems) - kept)
    with atomic_folder(output) as root:
        (root / "classes.txt").write_text("\n".join(train.class_names) + "\n", "utf-8")
        for name, split in splits.items():
            write(split, root, factor)
            (root / f"{name}.txt").write_text("\n".join(split.stems) + "\n", "utf-8")
            print(f"{name}: {len(split)} images", flush=True)


def write(split: Split, root: Path, factor: float) -> None:
    """Writes the resized images and masks of a split to a folder data set.

    Args:
        split: a split of RGB images.
        root: the folder.
        factor: factor of height and width.
    """
    for stem, image_path, mask_path in zip(
        split.stems, split.image_paths, split.mask_paths, strict=True
    ):
        image = Image.fromarray(read_image(image_path))
        labels = read_mask(mask_path)
        mask = Image.fromarray(labels.astype(np.min_scalar_type(labels.max())))
        size = (max(round(factor * image.width), 1), max(round(factor * image.height), 1))
        new_image, new_mask = root / "images" / f"{stem}.jpg", root / "labels" / f"{stem}.png"
        for path in (new_image, new_mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        image.resize(size, Image.Resampling.BICUBIC).save(new_image, quality=95)
        mask.resize(size, Image.Resampling.NEAREST).save(new_mask)


if __name__ == "__main__":
    cli.run(main)
