"""Import what an annotation tool has exported as a folder data set.

    python -m training.import_data EXPORT data/mine
    python -m training.import_data EXPORT data/mine --merge vehicle=car,truck --ignore unknown
    python -m training.import_data EXPORT data/mine --split train=0.7 val=0.15 test=0.15

The format is recognized: COCO, Labelme, Cityscapes, PASCAL VOC, CVAT (segmentation mask 1.1), YOLO,
and masks of colors, of 0 and 255, or of ids. Images are turned upright. The folder appears when it
is complete, and is then checked as by `training.check_data`; the exit status is 1 if training
could not use it. `import.json` in the folder lists what was converted, skipped, and why.
"""

from pathlib import Path

import tyro

from training import cli
from training.importing.conversion import Frame
from training.importing.export import Hints
from training.importing.formats import READERS
from training.importing.imports import import_export
from training.importing.splits import parse_ratios
from training.importing.writing import Splitting
from training.input.data_check import check_folder
from training.tasks.checked_data import finish_check

Format = tyro.extras.literal_type_from_choices(list(READERS))


def main(
    source: Path,
    output: Path,
    format: Format | None = None,  # type: ignore[valid-type]
    classes: Path | None = None,
    colors: Path | None = None,
    images: str | None = None,
    masks: str | None = None,
    background: str | None = None,
    ignore: tuple[str, ...] = (),
    merge: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
    keep_absent_classes: bool = False,
    color_tolerance: int = 0,
    annotated: Frame = "upright",
    split: tuple[str, ...] = (),
    seed: int = 0,
    group: str | None = None,
) -> None:
    """Import what an annotation tool has exported as a folder data set.

    Args:
        source: Folder of the export, or its annotation file.
        output: Folder to write.
        format: Format of the export; recognized by default. `voc` is that of CVAT as well.
        classes: Text file of class names, one per line, or of ids and names.
        colors: File of class names and colors, for `rgb` and `voc`: text, CSV, or a label map.
        images: Folder of the images inside the export, if it is not recognized.
        masks: Folder of the masks inside the export, if it is not recognized.
        background: Class of pixels without annotation, or `ignore`. By default `background` for
            the objects of COCO, Labelme and YOLO, `ignore` otherwise.
        ignore: Classes, ids or colors (`#rrggbb`) whose pixels are ignored in training.
        merge: Classes to merge, such as `vehicle=car,truck`.
        drop: Classes, ids or colors to treat as not annotated.
        keep_absent_classes: Keep classes that have no pixel.
        color_tolerance: Largest difference per channel to a listed color.
        annotated: Whether annotations are for the `upright` image or for the pixels as `stored`,
            if the EXIF orientation of an image does not change its size.
        split: Splits and their shares, such as `train=0.8 val=0.2`. By default, those of the
            export, if it has several.
        seed: Seed of random splits.
        group: Regular expression; images stay in one split if what it matches at the start of
            their stems is equal, such as `[^_]+` for `patient7_03`.
    """
    hints = Hints(
        classes=None if classes is None else str(classes),
        colors=None if colors is None else str(colors),
        images=images,
        masks=masks,
        background=background is not None,
        color_tolerance=color_tolerance,
    )
    report = import_export(
        source,
        output,
        format=format,
        hints=hints,
        classes={"merge": merge, "drop": drop, "ignore": ignore, "background": background},
        splitting=Splitting(parse_ratios(split), seed, group),
        annotated=annotated,
        keep_absent_classes=keep_absent_classes,
    )
    print(f"{report}\nWritten to {output}")
    finish_check(check_folder(output, ignore_class=(report.ignored_label,)))


if __name__ == "__main__":
    cli.run(main)
