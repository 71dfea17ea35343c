"""Writes what the server of PASCAL VOC 2012 scores: the masks of its test images, in an archive.

    python -m training.submit_voc RUN_OR_MODEL VOCdevkit/VOC2012 --output submission.tgz

The test images want a login at the server; VOCdevkit is what their archive holds.
"""

import io
import tarfile
from pathlib import Path
from typing import Literal

from tqdm import tqdm

import keras_encnet
from keras_encnet.labels import VOC, voc_palette
from keras_encnet.utils.files import atomic_file
from keras_encnet.utils.png import encode_indexed_png
from training import cli
from training.evaluate import multi_scale_options
from training.input.image_files import decode_image
from training.run import trained_models

PLACE = "results/VOC2012/Segmentation/{}_{}_cls/{}.png"


def main(
    model: Path,
    voc: Path,
    output: Path = Path("submission.tgz"),
    split: str = "test",
    competition: Literal["comp5", "comp6"] = "comp6",
    multi_scale: bool = True,
    base_size: int | None = None,
    crop_size: int | None = None,
):
    """Writes what the server of PASCAL VOC 2012 scores.

    Args:
        model: a run folder, whose best model is meant, or a `.keras` file.
        voc: the folder with `JPEGImages` and `ImageSets`.
        output: the archive, `.tgz`.
        split: the list of images, one of `ImageSets/Segmentation`.
        competition: comp5 if the model has learned from VOC alone, comp6 if
            from anything else, ImageNet among it.
        multi_scale: six scales and their mirror images.
        base_size: long side of the images at scale 1, in multi-scale; 520 by default.
        crop_size: side of its windows; 480 by default.
    """
    how = multi_scale_options(multi_scale, base_size=base_size, crop_size=crop_size)
    image_ids = (voc / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()
    paths = [voc / "JPEGImages" / f"{image_id}.jpg" for image_id in image_ids]
    missing = [path.name for path in paths if not path.is_file()]
    if missing or not paths:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} images of {split!r} are missing: {missing[:10]}. "
            f"Received: voc={str(voc)!r}"
        )
    network = trained_models.load_model(trained_models.find_model(model))
    if network.classes != len(VOC):
        raise ValueError(
            f"VOC has {len(VOC)} classes, background first. "
            f"Received: a model of {network.classes} classes, {model}"
        )
    segmenter = keras_encnet.MultiScaleSegmenter(network, **how) if multi_scale else None

    def segment(image):
        if segmenter is None:
            return network.segment(image)
        return segmenter(keras_encnet.preprocess_input(image, network.preprocessing)).argmax(-1)

    with atomic_file(output) as temporary, tarfile.open(temporary, "w:gz") as archive:
        for image_id, path in zip(image_ids, tqdm(paths, unit="image"), strict=True):
            image = decode_image(str(path)).numpy()
            entry = tarfile.TarInfo(PLACE.format(competition, split, image_id))
            png = encode_indexed_png(segment(image), voc_palette(256)).numpy()
            entry.size = len(png)
            archive.addfile(entry, io.BytesIO(png))
    print(f"written to {output}")


if __name__ == "__main__":
    cli.run(main)
