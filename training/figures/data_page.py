"""The page of a checked folder data set: one HTML file without links to other files."""

from __future__ import annotations

import base64
import html
import io
import itertools
import os
import shlex
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from keras_encnet.labels import default_palette
from keras_encnet.losses import balanced_class_weights, median_frequency_class_weights
from keras_encnet.utils.files import atomic_file
from training.figures.overlays import as_rgb, overlay
from training.input.data_check import FolderCheck
from training.input.image_files import read_image, read_mask
from training.input.report import Report
from training.input.split_lists import hash_of

# Number of images on the page, their largest side, and the number of problems that are listed.
SAMPLES, SIDE, LISTED = 12, 320, 50
BINS = 12

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; white-space: nowrap }
td, th { padding: 2px 12px 2px 0; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.bar { background: #59a; height: 0.8em; min-width: 1px } td.bars { width: 160px }
.class { white-space: nowrap }
.swatch { display: inline-block; width: 0.9em; height: 0.9em; margin: 0 0.3em 0 0.6em }
.samples { display: flex; flex-wrap: wrap; gap: 16px } figure { margin: 0; max-width: 534px }
figure img { max-width: 50% } .problem { color: #a00 } .note { color: #850 }
code { background: #eee; padding: 0 3px }
"""


def save_data_page(path: str | os.PathLike, check: FolderCheck) -> None:
    """Writes the page of a folder data set.

    It shows problems, what a run would choose, class weights, the share and presence of each
    class, the sizes of the images, and a sample of images with their masks. Statistics are those of
    all images. The time for the page hardly depends on their number: only those of the sample are
    read, see `sample`.

    Args:
        path: the HTML file.
        check: what the check has found.

    Raises:
        OSError: if the file cannot be written.
    """
    name = html.escape(check.folder.resolve().name)
    parts = [
        f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{name}</title>",
        f"<style>{_STYLE}</style><h1>{name}</h1>",
        _summary(check),
        _training(check),
        _classes(check.reports),
        _sizes(check.reports),
        _samples(check),
    ]
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def sample(reports: Iterable[Report], count: int = SAMPLES) -> list[tuple[Report, int]]:
    """Selects images such that as many classes as possible are shown.

    For each class, the one in the fewest images first, an image with this class is added unless one
    has been already. Other images follow. A hash of their names decides which, so the selection
    does not change from call to call.

    Args:
        reports: the splits.
        count: number of images, at most.

    Returns:
        Pairs of a split and the index of an image in its `good_stems`.
    """
    images = [(report, i) for report in reports for i in range(len(report.sizes))]
    if not images:
        return []
    stems = [stem for report in reports for stem in report.good_stems]
    presence = np.concatenate([report.presence for report in reports])
    order = sorted(range(len(images)), key=lambda i: (hash_of(stems[i]), stems[i]))
    ranked = presence[order]
    chosen: list[int] = []
    for number in np.argsort(ranked.sum(0), kind="stable"):
        if ranked[:, number].any() and not ranked[chosen, number].any() and len(chosen) < count:
            chosen.append(int(np.argmax(ranked[:, number])))
    others = (i for i in range(len(images)) if i not in chosen)
    chosen += [i for i, _ in zip(others, range(count - len(chosen)), strict=False)]
    return [images[order[i]] for i in chosen]


def _summary(check):
    splits = ", ".join(f"{name}: {len(r.split)} images" for name, r in check.reports.items())
    usable = "The data can be used for training."
    if check.failed:
        usable = f"These splits cannot be used for training: {', '.join(sorted(check.failed))}."
    bad = [f"{stem}: {text}" for r in check.reports.values() for stem, text in r.problems]
    more = [f"and {len(bad) - LISTED} more"] if len(bad) > LISTED else []
    return (
        f"<p>{html.escape(splits)}. <b>{html.escape(usable)}</b></p>"
        + _list(check.problems + bad[:LISTED] + more, "problem")
        + _list(check.notes, "note")
    )


def _list(texts, kind):
    items = "".join(f"<li class={kind}>{html.escape(text.strip())}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def _training(check):
    """What a training run would choose, and class weights."""
    report = check.training
    if report is None:
        return ""
    command = shlex.join(check.command)
    weights = {}
    if report.pixel_counts.any():
        weights = {
            "balanced": balanced_class_weights(report.pixel_counts),
            "median_frequency": median_frequency_class_weights(
                report.pixel_counts, report.image_pixel_counts
            ),
        }
    rows = [
        [_class(report, i), *(_number(f"{values[i]:.3g}") for values in weights.values())]
        for i in range(len(report.pixel_counts) if weights else 0)
    ]
    header = ["class", *(f"<code>--class-weights {name}</code>" for name in weights)]
    counts = report.pixel_counts[report.pixel_counts > 0]
    imbalance = f"{counts.max() / counts.min():.3g}" if len(counts) else "1"
    return (
        f"<h2>Training</h2><p><code>{html.escape(command)}</code></p>"
        + _list(check.plan, "plan")
        + f"<p>The most frequent class has {imbalance} times as many pixels as the rarest one. All "
        "classes have the same weight by default; these options weight their pixels:</p>"
        + _table(header, rows)
    )


def _classes(reports):
    """Share of the labeled pixels and number of images, by class and split."""
    if not reports:
        return ""
    first = next(iter(reports.values()))
    header = ["id", "class"]
    for name in reports:
        header += [f"{html.escape(name)}: pixels", "", "images", ""]
    rows = []
    for i in range(len(first.split.class_names)):
        row = [_number(i), _class(first, i)]
        for report in reports.values():
            share = report.pixel_counts[i] / max(report.pixel_counts.sum(), 1)
            images = report.presence_counts[i]
            row += [_number(f"{share:.2%}"), _bar(share), _number(images)]
            row += [_bar(images / max(len(report.sizes), 1))]
        rows.append(row)
    return f"<h2>Classes</h2>{_table(header, rows)}"


def _sizes(reports):
    """A histogram of the long sides of all images."""
    sizes = [report.sizes for report in reports.values() if len(report.sizes)]
    if not sizes:
        return ""
    long_sides = np.concatenate(sizes).max(1)
    low, high = int(long_sides.min()), int(long_sides.max())
    edges = np.unique(np.linspace(low, high + 1, BINS + 1).astype(int))
    counts, _ = np.histogram(long_sides, edges)
    medians = " x ".join(f"{median:g}" for median in np.median(np.concatenate(sizes), 0))
    rows = [
        [_number(f"{a} to {b - 1}" if b - a > 1 else a), _bar(count / counts.max()), _number(count)]
        for (a, b), count in zip(itertools.pairwise(edges), counts, strict=True)
    ]
    table = _table(["long side in pixels", "", "images"], rows)
    return f"<h2>Sizes</h2><p>The median of height and width is {medians}.</p>{table}"


def _samples(check):
    chosen = sample(check.reports.values())
    if not chosen:
        return ""
    total = sum(len(report.sizes) for report in check.reports.values())
    figures = "".join(_figure(report, i) for report, i in chosen)
    return (
        f"<h2>Sample</h2><p>{len(chosen)} of {total} images, selected by a hash of their names "
        "such that as many classes as possible are shown.</p>"
        f"<div class=samples>{figures}</div>"
    )


def _figure(report, number):
    """An image, its overlay, and a legend of the classes in it."""
    split, stem = report.split, report.good_stems[number]
    index = split.stems.index(stem)
    image = as_rgb(read_image(split.image_paths[index], split.pixels.channels))
    mask = read_mask(split.mask_paths[index], split.label_map)
    mask = np.where((mask >= 0) & (mask < len(split.class_names)), mask, -1)
    image, mask = _reduced(image, mask)
    pictures = "".join(_jpeg(x) for x in (image, overlay(image, mask, len(split.class_names))))
    legend = "".join(_class(report, i) for i in np.flatnonzero(report.presence[number]))
    caption = f"{html.escape(stem)} ({html.escape(split.name)})<br>{legend}"
    return f"<figure>{pictures}<figcaption>{caption}</figcaption></figure>"


def _reduced(image, mask):
    height, width = mask.shape
    scale = min(SIDE / max(height, width), 1)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return (
        np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)),
        np.asarray(Image.fromarray(mask.astype("int32")).resize(size, Image.Resampling.NEAREST)),
    )


def _jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return f"<img src='data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}' alt=''>"


def _class(report, number):
    color = "#" + bytes(default_palette(number + 1)[number]).hex()
    name = html.escape(report.split.class_names[number])
    return f"<span class=class><span class=swatch style='background: {color}'></span>{name}</span> "


class _Cell(str):
    """The HTML of a whole table cell."""


def _number(value):
    return _Cell(f"<td class=number>{value}</td>")


def _bar(share):
    return _Cell(f"<td class=bars><div class=bar style='width: {100 * share:.1f}%'></div></td>")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cell(value):
        return value if isinstance(value, _Cell) else f"<td>{value}</td>"

    head = "".join(f"<th>{title}</th>" for title in header)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
