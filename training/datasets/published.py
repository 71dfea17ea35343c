"""The published data sets, and how each becomes a folder data set.

TFDS reads its records sequentially; training needs each image by its index, which is what lets a
run resume at any step. So the prepared data sets are written out as folders.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tqdm import tqdm

from keras_encnet.utils.files import atomic_folder, read_json
from training.datasets import cityscapes
from training.datasets.ade20k import ade20k_dataset_builder as ade20k
from training.datasets.coco_voc import coco_voc_dataset_builder as coco_voc
from training.datasets.pascal_context import pascal_context_dataset_builder as pascal_context
from training.datasets.voc2012 import voc2012_dataset_builder as voc2012


@dataclasses.dataclass(frozen=True)
class Source:
    """How a TFDS data set becomes a folder.

    Attributes:
        build: a function of `data_dir` that returns the TFDS builder.
        counts: dict from TFDS's splits to their number of images, or None if
            unknown. Other splits are not written.
        class_names: one name per class.
        image: name of the image feature, a JPEG or a PNG.
        mask: name of the mask feature.
        ids: a function from the values in the masks to class ids and 255, or
            None if they are the same.
        joined: dict from additional split names to the splits that they join.
    """

    build: Callable[..., tfds.core.DatasetBuilder]
    counts: Mapping[str, int | None]
    class_names: Sequence[str]
    image: str = "image"
    mask: str = "mask"
    ids: Callable[[np.ndarray], np.ndarray] | None = None
    joined: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


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
# TFDS's split names that differ in the folder data set.
SPLIT_NAMES = {"validation": "val"}


def write_folder(source: Source, builder: tfds.core.DatasetBuilder, output: Path) -> Path:
    """Writes a prepared data set as a folder, atomically.

    Args:
        source: a `Source`.
        builder: its TFDS builder, prepared.
        output: path of the folder. If it already holds this data set, it is left unchanged.

    Returns:
        The path.

    Raises:
        FileExistsError: if `output` holds something else.
        ValueError: if a split does not have the published number of images.
    """
    check_counts(source, builder)
    output = Path(output).expanduser().resolve()
    counts = {split: builder.info.splits[split].num_examples for split in source.counts}
    record = {"dataset": builder.info.full_name, "images": counts}
    check_output(output)
    path = output / "dataset.json"
    if path.is_file():
        if read_json(path) == record:
            return output
        raise _occupied(output)
    with atomic_folder(output) as draft:
        stems = {split: _write_split(source, builder, split, draft) for split in source.counts}
        stems |= {
            name: [stem for split in splits for stem in stems[split]]
            for name, splits in source.joined.items()
        }
        for split, names in stems.items():
            (draft / f"{SPLIT_NAMES.get(split, split)}.txt").write_text("\n".join(names) + "\n")
        (draft / "classes.txt").write_text("\n".join(source.class_names) + "\n")
        (draft / "dataset.json").write_text(json.dumps(record, indent=2) + "\n")
    return output


def check_output(output: Path) -> None:
    """Raises FileExistsError unless `output` is free or holds a data set written by this module."""
    output = Path(output).expanduser()
    occupied = output.exists() and (not output.is_dir() or any(output.iterdir()))
    if occupied and not (output / "dataset.json").is_file():
        raise _occupied(output)


def check_counts(source: Source, builder: tfds.core.DatasetBuilder) -> None:
    """Raises ValueError unless each split has the published number of images."""
    for split, published in source.counts.items():
        found = builder.info.splits[split].num_examples
        if published not in (None, found):
            raise ValueError(
                f"The split {split!r} of {builder.info.full_name} should have {published} images. "
                f"Make sure that the archives are complete, remove {builder.data_path} and run the "
                f"command again. Received: {found} images"
            )


def _occupied(output):
    return FileExistsError(
        "The output folder already contains something else. Choose another folder, or remove it. "
        f"Received: output={str(output)!r}"
    )


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
