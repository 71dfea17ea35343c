"""The classes of imported masks, after merging, dropping and ignoring some of the export."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from training.importing.export import EMPTY, IGNORE, Export, Labels
from training.importing.names import normalized
from training.input.folder import summarize

# The value of `--background` for pixels without annotation that have no class.
IGNORED = "ignore"
BACKGROUND = "background"


@dataclasses.dataclass(frozen=True)
class Labeling:
    """The labels in the masks.

    Attributes:
        class_names: Tuple of strings. The index of a name is its label.
        labels: Dict with the label of each class of the export, and of `IGNORE`; None for classes
            that are left out.
        empty: Label of pixels without annotation.
    """

    class_names: tuple[str, ...]
    labels: Labels
    empty: int

    @property
    def ignored(self) -> int:
        """The ignored label."""
        return ignored_label(len(self.class_names))


def ignored_label(classes: int) -> int:
    """Returns the ignored label: 255, or 65535 if 255 is a class."""
    return 255 if classes <= 255 else 65535


def label_classes(
    export: Export,
    merge: Sequence[str] = (),
    drop: Sequence[str] = (),
    ignore: Sequence[str] = (),
    background: str | None = None,
) -> Labeling:
    """Assigns labels to the classes of an export.

    Args:
        export: An `Export`.
        merge: Strings such as `"vehicle=car,truck"`: the new class, and those that become it.
        drop: Classes to treat as not annotated.
        ignore: Classes, ids or colors whose pixels are ignored.
        background: Class of pixels without annotation, `"ignore"` to ignore them, or None for what
            the format suggests.

    Returns:
        A `Labeling`. A new background class comes first; a merged class has the place of its
        first member.

    Raises:
        ValueError: If an option names an unknown class, if two options name the same one, or if
            classes without a name are left.
    """
    merged = dict(_members(export, entry) for entry in merge)
    lost = set(_resolved(export, drop, "drop"))
    ignored = set(_resolved(export, ignore, "ignore"))
    _check_disjoint([*merged.values(), lost, ignored])
    renamed = {name: new for new, members in merged.items() for name in members}
    kept = [renamed.get(name, name) for name in export.class_names if name not in {*lost, *ignored}]
    _check_named(export, kept)
    names = list(dict.fromkeys(kept))
    background = export.background if background is None else normalized(background)
    if background not in (None, IGNORED):
        same = [name for name in names if _plain(name) == _plain(background)]
        background = same[0] if same else background
        if background not in names:
            names.insert(0, background)
    ids: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    ignored_id = ignored_label(len(names))
    labels: dict[str | None, int | None] = {
        name: ids.get(renamed.get(name, name)) for name in export.class_names
    }
    labels |= {EMPTY: None, IGNORE: ignored_id} | dict.fromkeys(ignored, ignored_id)
    return Labeling(tuple(names), labels, ids.get(background, ignored_id))


def _plain(name):
    return name.casefold().strip("_")


def _members(export, entry):
    new, separator, members = entry.partition("=")
    if not (separator and new.strip() and members.strip()):
        raise ValueError(
            "`--merge` must hold the name of the new class, an equals sign, and the classes that "
            "become it, separated by commas, such as `vehicle=car,truck`. "
            f"Received: merge={entry!r}"
        )
    found = _resolved(export, members.split(","), "merge")
    new = normalized(new)
    return new, [*found, *([new] if new in export.class_names and new not in found else [])]


def _resolved(export, entries: Iterable[str], option: str) -> list[str]:
    """Returns the classes that the entries of an option name."""
    known: Mapping[str, str | None] = export.aliases | {name: name for name in export.class_names}
    found = []
    for entry in map(normalized, entries):
        name = known.get(entry, entry)
        if entry not in known:
            raise ValueError(
                f"`--{option}` names a class that the export does not have. Its classes are "
                f"{summarize(export.class_names, 30)}. Received: {option}={entry!r}"
            )
        if name is not None:
            found.append(name)
    return found


def _check_disjoint(groups):
    seen: set[str] = set()
    for group in groups:
        twice = seen & set(group)
        if twice:
            raise ValueError(
                "`--merge`, `--drop` and `--ignore` may name a class only once. "
                f"Received: {summarize(sorted(twice))}"
            )
        seen |= set(group)


def _check_named(export, kept):
    unnamed = [name for name in kept if name in export.unnamed]
    if unnamed:
        lines = [f"  {export.unnamed[name]}" for name in unnamed[:40]]
        if len(unnamed) > 40:
            lines.append(f"  and {len(unnamed) - 40} more")
        raise ValueError(
            f"{len(unnamed)} values in the masks have no class:\n"
            + "\n".join(lines)
            + f"\n{export.unnamed_remedy} Received: {summarize(unnamed)}"
        )
