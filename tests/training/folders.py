"""Writes small folder data sets for the tests."""

import numpy as np
from PIL import Image

from training.input.folder import read_split


def write_split(root, samples, class_names=("sky", "road", "car"), name="train", suffix=".png"):
    """Writes pairs of an image and a mask as a folder data set and reads its split.

    Args:
        root: path of the folder.
        samples: dict from stems to pairs of arrays, or a list of pairs, whose stems are numbers.
            An image that is None is black.
        class_names: class names, or their number.
        name: name of the split.
        suffix: of the images.
    """
    if not isinstance(samples, dict):
        samples = {str(i): sample for i, sample in enumerate(samples)}
    if isinstance(class_names, int):
        class_names = [f"class {i}" for i in range(class_names)]
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for stem, (image, mask) in samples.items():
        image = np.zeros((*mask.shape, 3), "uint8") if image is None else image
        Image.fromarray(image).save(root / "images" / f"{stem}{suffix}")
        Image.fromarray(mask).save(root / "labels" / f"{stem}.png")
    (root / f"{name}.txt").write_text("\n".join(samples))
    (root / "classes.txt").write_text("\n".join(class_names))
    return read_split(root, name)
