"""Write the masks of PASCAL VOC 2012's test images as an archive for the evaluation server.

    python -m training.submit_voc RUN_OR_MODEL VOCdevkit/VOC2012 --output submission.tgz

Downloading the test images requires an account at the server; their archive unpacks to VOCdevkit.
"""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm
from tyro.conf import OmitArgPrefixes

import keras_encnet
from keras_encnet.labels import VOC, voc_palette
from keras_encnet.utils.files import atomic_file
from keras_encnet.utils.png import encode_indexed_png
from training import cli
from training.input.image_files import decode_image
from training.run import trained_models
from training.tasks.multi_scale import MultiScaleOptions

MEMBER = "results/VOC2012/Segmentation/{competition}_{split}_cls/{stem}.png"


def main(
    model: Path,
    voc: Path,
    output: Path = Path("submission.tgz"),
    split: str = "test",
    competition: Literal["comp5", "comp6"] = "comp6",
    multi_scale: OmitArgPrefixes[MultiScaleOptions] = MultiScaleOptions(multi_scale=True),
) -> None:
    """Write the masks of PASCAL VOC 2012's test images as an archive for the evaluation server.

    Args:
        model: Run folder (its best model), or `.keras` file.
        voc: Folder with `JPEGImages` and `ImageSets`.
        output: Archive to write, `.tgz`.
        split: List of images, one of `ImageSets/Segmentation`.
        competition: `comp5` if the model was trained on VOC data only, `comp6` otherwise, such as
            with a backbone pretrained on ImageNet.
        multi_scale: Evaluation at several scales, as published scores were measured.
    """
    images = list_images(voc, split)
    network = trained_models.load_model(trained_models.find_model(model))
    if network.classes != len(VOC):
        raise ValueError(
            f"A model for VOC has {len(VOC)} classes, background first. "
            f"Received: model={str(model)!r} with {network.classes} classes"
        )
    segment = segmenter(network, multi_scale)
    with atomic_file(output) as temporary, tarfile.open(temporary, "w:gz") as archive:
        for path in tqdm(images, unit="image"):
            mask = segment(decode_image(str(path)).numpy())
            png = encode_indexed_png(mask, voc_palette(256)).numpy()
            name = MEMBER.format(competition=competition, split=split, stem=path.stem)
            member = tarfile.TarInfo(name)
            member.size = len(png)
            archive.addfile(member, io.BytesIO(png))
    print(f"Archive written to {output}")


def list_images(voc: Path, split: str) -> list[Path]:
    """Returns the paths of the images of a split of VOC.

    Raises:
        FileNotFoundError: if an image is missing, or the list is empty.
    """
    stems = (voc / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()
    paths = [voc / "JPEGImages" / f"{stem}.jpg" for stem in stems]
    missing = [path.name for path in paths if not path.is_file()]
    if missing or not paths:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} images of {split!r} are missing: {missing[:10]}. "
            f"Received: voc={str(voc)!r}"
        )
    return paths


def segmenter(
    network: keras_encnet.SegmentationModel, options: MultiScaleOptions
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a uint8 RGB image to its class ids `(height, width)`."""
    multi_scale = options.segmenter(network)
    if multi_scale is None:
        return network.segment
    return lambda image: multi_scale(image).argmax(-1)


if __name__ == "__main__":
    cli.run(main)
