"""Writes an export as a folder data set."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_encnet.labels import default_palette
from training.importing import conversion, splits
from training.importing.classes import Labeling, ignored_label
from training.importing.export import Export, Item
from training.importing.source import Source
from training.input.folder import summarize


@dataclasses.dataclass(frozen=True)
class Splitting:
    """How images are split.

    Attributes:
        ratios: Dict from splits to shares; empty to keep the splits of the export, if it has some.
        seed: Integer.
        group: Regular expression; images whose stems it matches in the same way stay together.
    """

    ratios: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seed: int = 0
    group: str | None = None


def write_folder(
    source: Source,
    export: Export,
    labeling: Labeling,
    output: Path,
    splitting: Splitting,
    annotated: conversion.Frame = "upright",
    keep_absent_classes: bool = False,
) -> dict[str, Any]:
    """Writes images, masks, lists and class names.

    Args:
        source: The `Source`; it records what is skipped.
        export: Its `Export`.
        labeling: The `Labeling` of its classes.
        output: An existing, empty folder.
        splitting: A `Splitting`.
        annotated: Whether annotations are for the upright image or for the pixels as stored, where
            the EXIF orientation does not change the size; where it does, the size decides.
        keep_absent_classes: Whether classes without a pixel in any mask keep their label.

    Returns:
        Fields of `training.importing.imports.Report`.

    Raises:
        ValueError: If no image can be converted, or if a group is in several splits.
    """
    notes = list(export.notes)
    items = _distinct(source, export.items)
    headers = conversion.read_headers(source, items)
    bits = conversion.needed_bits(source, items, headers, notes)
    written = conversion.convert(source, items, headers, bits, labeling, output, annotated)
    if not written:
        reasons = [f"  {name}: {reason}" for name, reason in source.skipped[:10]]
        raise ValueError(
            "No image can be converted:\n"
            + "\n".join(reasons)
            + f"\nReceived: source={source.root}"
        )
    conversion.note_orientations(items, headers, annotated, notes)
    names = labeling.class_names
    if not keep_absent_classes:
        names = _without_absent(output, written, labeling, notes)
    if len(names) < 2:
        raise ValueError(
            "Training needs two classes with pixels. If pixels without annotation are a class, "
            f"pass `--background NAME`. {' '.join(notes)} "
            f"Received: classes={summarize(names) or 'none'}"
        )
    lists = _split(written, splitting, notes)
    for name, found in lists.items():
        (output / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in found), "utf-8")
    (output / "classes.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    return {
        "classes": tuple(names),
        "ignored_label": ignored_label(len(names)),
        "images": {name: len(found) for name, found in lists.items()},
        "notes": tuple(notes),
        "skipped": tuple(source.skipped),
        "sources": {w.stem: w.item.source for w in written},
    }


def _distinct(source, items):
    """Returns the items with distinct images; the source records the others."""
    found: dict[Any, Item] = {}
    for item in items:
        if found.setdefault(item.image, item) is not item:
            source.skip(item.source, "the image has a second annotation")
    return list(found.values())


def _without_absent(output, written, labeling, notes) -> tuple[str, ...]:
    """Renumbers the masks if classes have no pixel in any; returns the names of the others."""
    names = labeling.class_names
    pixels = np.zeros(max(len(w.pixels) for w in written), "int64")
    for w in written:
        pixels[: len(w.pixels)] += w.pixels
    present = [i for i in range(len(names)) if i < len(pixels) and pixels[i]]
    if len(present) in (0, len(names)):
        return names
    absent = [name for i, name in enumerate(names) if i not in present]
    notes.append(f"Left out, as they have no pixel: {summarize(absent)} (`--keep-absent-classes`).")
    ignored = ignored_label(len(present))
    of_label = np.full(len(pixels), ignored, "int32")
    of_label[present] = np.arange(len(present))
    palette = default_palette(len(present))

    def renumber(w):
        path = output / "labels" / f"{w.stem}.png"
        with Image.open(path) as image:
            mask = np.asarray(image)
        conversion.write_mask(path, of_label[mask], palette)
        return dataclasses.replace(w, pixels=w.pixels[[i for i in present if i < len(w.pixels)]])

    with concurrent.futures.ThreadPoolExecutor() as pool:
        written[:] = pool.map(renumber, written)
    return tuple(names[i] for i in present)


def _split(written, splitting, notes) -> dict[str, list[str]]:
    """Returns the stems of each split: of the export if it has several, or else at random."""
    stems = [w.stem for w in written]
    groups = splits.groups_of(stems, splitting.group)
    of_image = [w.item.split or "train" for w in written]
    if splitting.ratios or len(set(of_image)) == 1:
        ratios = splitting.ratios or splits.DEFAULT
        present = _presence(written)
        of_image = splits.assign(groups, present, ratios, splitting.seed)
        shares = " ".join(f"{name}={share:g}" for name, share in ratios.items())
        notes.append(f"The images were split at random: {shares}, seed {splitting.seed}.")
    else:
        _check_groups(groups, of_image, splitting.group)
        notes.append("The splits are those of the export; `--split` makes others.")
    found: dict[str, list[str]] = {name: [] for name in splitting.ratios or ("train", "val")}
    for stem, split in sorted(zip(stems, of_image, strict=True)):
        found.setdefault(split, []).append(stem)
    return {name: listed for name, listed in found.items() if listed}


def _presence(written):
    """Returns which labels occur in each image, the ignored one included."""
    present = np.zeros((len(written), max(len(w.pixels) for w in written)), bool)
    for i, w in enumerate(written):
        present[i, : len(w.pixels)] = w.pixels > 0
    return present


def _check_groups(groups, of_image, pattern):
    split_of: dict[str, str] = {}
    for group, split in zip(groups, of_image, strict=True):
        if split_of.setdefault(group, split) != split:
            raise ValueError(
                f"The splits of the export, {split_of[group]!r} and {split!r}, share the group "
                f"{group[1:]!r}. Pass `--split` to make others. Received: group={pattern!r}"
            )
