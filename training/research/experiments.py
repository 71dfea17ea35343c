"""Shared by the experiments: recipes to vary, results as JSON files, and Markdown tables."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tabulate

from keras_encnet.models.structure import resolve
from keras_encnet.utils.files import atomic_file, read_json, write_json
from training.configs import RECIPES, Config, SegmentationConfig
from training.input import fingerprint
from training.input.folder import Split
from training.run.environment import environment

# The scores in tables and plots, and their titles.
SCORES = {"pixel_accuracy": "pixAcc %", "mean_iou": "mIoU %"}


def encnet_recipe(name: str, data: str | None = None, **options: Any) -> SegmentationConfig:
    """Returns the recipe of an EncNet.

    Args:
        name: name of the recipe.
        data: data set; None for the recipe's own.
        **options: options of the recipe; None for the recipe's own value.

    Raises:
        ValueError: unless the recipe trains an EncNet, and requires data only, which is given.
    """
    names = [name for name, recipe in RECIPES.items() if _can_be_varied(recipe)]
    if name not in names:
        raise ValueError(f"`recipe` must be one of {names}. Received: recipe={name!r}")
    recipe: Any = RECIPES[name]
    if data is None and "data" in _required(recipe):
        raise ValueError(f"This recipe requires data: add `--data`. Received: recipe={name!r}")
    given = {"data": data, **options}
    return recipe(**{key: value for key, value in given.items() if value is not None})


def _can_be_varied(recipe: type[Config]) -> bool:
    """Returns whether a recipe trains an EncNet and requires only data (not weights)."""
    return getattr(recipe, "head", None) == "encnet" and _required(recipe) <= {"data"}


def _required(recipe: type[Config]) -> set[str]:
    fields = dataclasses.fields(recipe)
    return {field.name for field in fields if field.default is dataclasses.MISSING}


def option_value(config: SegmentationConfig, name: str) -> Any:
    """Returns the value of an option: that of the recipe if set, otherwise that of the variant."""
    structure = resolve(config.parts, config.variant, config.structure())
    return structure.get(name, getattr(config, name))


def result_path(output: Path, name: str, seed: int) -> Path:
    """Returns the path of the result of one experiment with one seed."""
    return output / f"{name}-seed{seed}.json"


def result_paths(output: Path) -> list[Path]:
    """Returns the paths of all results in a folder."""
    return sorted(output.glob("*-seed*.json"))


def read_results(output: Path) -> dict[str, list[dict[str, Any]]]:
    """Returns all results in a folder by the name of the experiment, one per seed."""
    results: dict[str, list[dict[str, Any]]] = {}
    for path in result_paths(output):
        results.setdefault(path.stem.rsplit("-seed", 1)[0], []).append(read_json(path))
    return results


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Writes a result and the environment that it was obtained in."""
    write_json(path, {**result, "environment": environment()})


def check_same(path: Path, expected: Mapping[str, Any]) -> None:
    """Checks that a JSON file belongs to the same experiment.

    Args:
        path: the file.
        expected: values that it must have. Keys that it lacks are ignored: such an option was
            added after the result was written.

    Raises:
        FileExistsError: if a value differs.
    """
    found = read_json(path)
    expected = json.loads(json.dumps(expected))  # tuples become lists, as in the file
    for key, value in expected.items():
        if found.get(key, value) != value:
            raise FileExistsError(
                f"{path} belongs to another experiment, with {key}={found[key]!r}: choose another "
                f"`--output`, or remove it. Received: {key}={value!r}"
            )


def check_data(output: Path, splits: Iterable[Split]) -> None:
    """Checks that data are those of the results in a folder; the first call records them.

    Args:
        output: the folder.
        splits: the splits that are trained on and scored.

    Raises:
        FileExistsError: if they have changed; it names the classes and images that differ.
    """
    found = {split.name: fingerprint.of_files(split) for split in splits}
    recorded = read_json(output / "data.json", {})
    changes = fingerprint.changes({name: recorded.get(name, found[name]) for name in found}, found)
    if changes:
        raise FileExistsError(
            f"The data have changed since the first of these results: {'; '.join(changes)}. "
            f"Restore them, or choose another `--output`. Received: output={str(output)!r}"
        )
    write_json(output / "data.json", {**recorded, **found})


def markdown_table(rows: Iterable[Sequence[object]], header: Sequence[str]) -> str:
    """Returns a Markdown table of cells that are formatted already."""
    return tabulate.tabulate(rows, header, tablefmt="github", disable_numparse=True) + "\n"


def with_generated(page: str, name: str, content: str) -> str:
    """Returns the text of a page of the documentation with new content between two markers.

    Args:
        page: its text.
        name: name of the content, as in `<!-- name: begin -->` and `<!-- name: end -->`.
        content: Markdown.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{content.strip()}\n\n{end}{after}"


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text)
