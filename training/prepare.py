"""Prepares a published data set as a folder to train on.

    python -m training.prepare ade20k data/ade20k
    python -m training.prepare cityscapes data/cityscapes --manual-dir ~/downloads

What isn't in the manual folder is downloaded. TFDS reads, checks and keeps the data set; then its
images and masks are written out in the layout of the folder data set, because training reads its
images by number, which is what lets a run go on at any step.
"""

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
import tyro
from PIL import Image
from tensorflow_datasets.core.download.extractor import ExtractError
from tensorflow_datasets.core.download.util import DownloadError
from tqdm import tqdm

from keras_encnet.utils.files import atomic_folder
from training import cli
from training.datasets import cityscapes
from training.datasets.ade20k import ade20k_dataset_builder as ade20k
from training.datasets.coco_voc import coco_voc_dataset_builder as coco_voc
from training.datasets.pascal_context import pascal_context_dataset_builder as pascal_context
from training.datasets.voc2012 import voc2012_dataset_builder as voc2012


@dataclasses.dataclass(frozen=True)
class Source:
    """How a data set of TFDS becomes a folder.

    Attributes:
        build: a function of `data_dir` that returns the TFDS builder.
        counts: dict from TFDS's splits to their number of images, None where
            it isn't known. No other splits are written.
        class_names: one name per class.
        image: name of the feature that is the image, a JPEG or a PNG.
        mask: name of the feature that is the mask.
        ids: a function from the values in the masks to class ids and 255.
        joined: dict from names of further lists to the splits that they join.
    """

    build: Callable
    counts: dict
    class_names: tuple
    image: str = "image"
    mask: str = "mask"
    ids: Callable | None = None
    joined: dict = dataclasses.field(default_factory=dict)


def _own(module, **options):
    builder = module.Builder
    return Source(builder, builder.COUNTS, builder.CLASS_NAMES, **options)


SOURCES = {
    "ade20k": _own(ade20k),
    "pascal_context": _own(pascal_context),
    "voc2012": _own(voc2012, joined={"trainaug": ("train", "sbd")}),
    "coco_voc": _own(coco_voc),
    "cityscapes": Source(
        lambda data_dir: tfds.builder("cityscapes/semantic_segmentation", data_dir=data_dir),
        {"train": 2975, "validation": 500},
        cityscapes.CLASS_NAMES,
        image="image_left",
        mask="segmentation_label",
        ids=cityscapes.train_ids,
    ),
}
Dataset = tyro.extras.literal_type_from_choices(list(SOURCES))
# The folder data set's name of a split, where it isn't TFDS's.
NAMES = {"validation": "val"}


def main(
    dataset: Dataset,
    output: Path,
    tfds_dir: Path = Path("~/tensorflow_datasets"),
    manual_dir: Path | None = None,
):
    """Prepares a published data set as a folder to train on.

    Args:
        dataset: which one.
        output: the folder to write; `--data` of the other scripts.
        tfds_dir: where TFDS keeps downloads and what it makes of them.
        manual_dir: where archives are that you have already. Cityscapes wants
            a login, so its two have to be there.
    """
    if manual_dir is not None and not manual_dir.expanduser().is_dir():
        raise FileNotFoundError(f"There is no such folder. Received: manual_dir={manual_dir}")
    source = SOURCES[dataset]
    check_place(output)
    builder = source.build(data_dir=tfds_dir.expanduser())
    print(f"{dataset}: {builder.info.homepage}\n{builder.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    config = tfds.download.DownloadConfig(manual_dir=manual_dir and manual_dir.expanduser())
    try:
        builder.download_and_prepare(download_config=config)
    except AssertionError as error:  # what TFDS raises if an archive has to be fetched by hand
        raise FileNotFoundError(str(error)) from error
    except ExtractError as error:
        raise ValueError(f"An archive can't be unpacked: {error}") from error
    except DownloadError as error:
        raise OSError(
            f"{error}. If you have the archives, name their folder with `--manual-dir`."
        ) from error
    print(f"written to {write(source, builder, output)}")


def check_place(output):
    """Raises FileExistsError if `output` holds anything but a data set that was written here."""
    output = Path(output).expanduser()
    occupied = output.exists() and (not output.is_dir() or any(output.iterdir()))
    if occupied and not (output / "dataset.json").is_file():
        raise FileExistsError(
            "The folder holds something else: name another one, or remove it. "
            f"Received: output={str(output)!r}"
        )


def check_counts(source, builder):
    """Raises ValueError unless each split has as many images as published."""
    for split, published in source.counts.items():
        found = builder.info.splits[split].num_examples
        if published not in (None, found):
            raise ValueError(
                f"The split {split!r} of {builder.info.full_name} should have {published} images. "
                f"If the originals are whole now, remove {builder.data_path} and begin anew. "
                f"Received: {found} images"
            )


def write(source, builder, output):
    """Writes a prepared data set as a folder, atomically.

    Args:
        source: a `Source`.
        builder: its TFDS builder, prepared.
        output: path of the folder. If it holds this data set, it stays as it is.

    Returns:
        The path.

    Raises:
        FileExistsError: if `output` holds something else.
        ValueError: if a split hasn't as many images as published.
    """
    check_counts(source, builder)
    output = Path(output).expanduser().resolve()
    counts = {split: builder.info.splits[split].num_examples for split in source.counts}
    record = {"dataset": builder.info.full_name, "images": counts}
    check_place(output)
    path = output / "dataset.json"
    if path.is_file():
        if json.loads(path.read_text()) == record:
            return output
        raise FileExistsError(
            "The folder holds something else: name another one, or remove it. "
            f"Received: output={str(output)!r}"
        )
    with atomic_folder(output) as draft:
        stems = {split: _write_split(source, builder, split, draft) for split in source.counts}
        stems |= {
            name: [stem for split in splits for stem in stems[split]]
            for name, splits in source.joined.items()
        }
        for split, names in stems.items():
            (draft / f"{NAMES.get(split, split)}.txt").write_text("\n".join(names) + "\n")
        (draft / "classes.txt").write_text("\n".join(source.class_names) + "\n")
        (draft / "dataset.json").write_text(json.dumps(record, indent=2) + "\n")
    return output


def _write_split(source, builder, split, draft):
    """Writes the files of a split and returns its stems, sorted."""
    for folder in ("images", "labels"):
        (draft / folder).mkdir(parents=True, exist_ok=True)
    encoded = {feature: tfds.decode.SkipDecoding() for feature in (source.image, source.mask)}
    suffix = "png" if builder.info.features[source.image].encoding_format == "png" else "jpg"
    examples = tfds.as_numpy(builder.as_dataset(split=split, decoders=encoded))
    stems = []
    for example in tqdm(examples, desc=split, unit="image"):
        stem = example["image_id"].decode()
        (draft / "images" / f"{stem}.{suffix}").write_bytes(example[source.image])
        mask = draft / "labels" / f"{stem}.png"
        if source.ids is None:
            mask.write_bytes(example[source.mask])
        else:
            values = np.asarray(Image.open(io.BytesIO(example[source.mask])))
            Image.fromarray(source.ids(values)).save(mask)
        stems.append(stem)
    return sorted(stems)


if __name__ == "__main__":
    cli.run(main)
