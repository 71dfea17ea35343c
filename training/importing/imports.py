"""The import of an export from start to end."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_encnet.utils.files import atomic_folder, check_writable, write_json
from training import cli
from training.importing.classes import label_classes
from training.importing.conversion import Frame
from training.importing.export import Hints
from training.importing.formats import HINTS, READERS, detect
from training.importing.source import Source
from training.importing.writing import Splitting, write_folder


@dataclasses.dataclass(frozen=True)
class Report:
    """What an import has done; `import.json` in the folder has the same contents.

    Attributes:
        source: The folder of the export.
        format: The format.
        classes: Tuple of strings, the class names.
        ignored_label: Integer.
        images: Dict from splits to their numbers of images.
        notes: Tuple of sentences.
        skipped: Tuple of pairs, what was not used, and why.
        sources: Dict from stems to files of the export.
    """

    source: str
    format: str
    classes: tuple[str, ...]
    ignored_label: int
    images: Mapping[str, int]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    sources: Mapping[str, str]

    def __str__(self) -> str:
        """The report for people; of what was skipped, the first ten."""
        counts = ", ".join(f"{name} {count}" for name, count in self.images.items())
        lines = [
            f"Format: {self.format}",
            f"{sum(self.images.values())} images with {len(self.classes)} classes: {counts}",
            *self.notes,
        ]
        if self.ignored_label != 255:
            lines.append(f"Pass `--ignore-class {self.ignored_label}` to the other commands.")
        if self.skipped:
            lines.append(f"{len(self.skipped)} skipped:")
            lines += [f"  {name}: {reason}" for name, reason in self.skipped[:10]]
            if len(self.skipped) > 10:
                lines.append(f"  and {len(self.skipped) - 10} more, see import.json")
        return "\n".join(lines)


def import_export(
    source: str | os.PathLike,
    output: str | os.PathLike,
    format: str | None = None,
    hints: Hints = Hints(),
    classes: Mapping[str, Any] = {},
    splitting: Splitting = Splitting(),
    annotated: Frame = "upright",
    keep_absent_classes: bool = False,
) -> Report:
    """Writes an export as a folder data set, which appears when it is complete.

    Args:
        source: Folder of the export, or its annotation file.
        output: Folder to write. It must not exist.
        format: One of `training.importing.formats.READERS`; recognized by default.
        hints: What the format cannot state.
        classes: Arguments of `training.importing.classes.label_classes`.
        splitting: How images are split.
        annotated: As of `training.importing.writing.write_folder`.
        keep_absent_classes: As of `training.importing.writing.write_folder`.

    Returns:
        A `Report`.

    Raises:
        OSError: If the export does not exist, or the output does.
        ValueError: If the export cannot be imported; the message has the remedy.
    """
    output = Path(output)
    if output.is_symlink() or (output.exists() and (output.is_file() or any(output.iterdir()))):
        raise FileExistsError(
            f"The output must not exist. Remove it, or choose another. Received: output={output}"
        )
    check_writable(output)
    files = Source(source)
    if files.root.is_relative_to(output.resolve()) or output.resolve().is_relative_to(files.root):
        raise ValueError(
            "The output must not be inside the export or contain it. "
            f"Received: source={source}, output={output}"
        )
    name = format or detect(files, hints)
    given = {key: value or None for key, value in dataclasses.asdict(hints).items()}
    idle = given.keys() - {*HINTS[name], "background"}
    cli.refuse({key: given[key] for key in sorted(idle)}, f"in the format {name}")
    export = READERS[name](files, hints)
    labeling = label_classes(export, **classes)
    with atomic_folder(output) as folder:
        report = Report(
            str(files.root),
            name,
            **write_folder(
                files, export, labeling, folder, splitting, annotated, keep_absent_classes
            ),
        )
        write_json(folder / "import.json", dataclasses.asdict(report))
    return report
