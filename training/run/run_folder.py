"""The folder of a run: its configuration, environment and results, written atomically."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from keras_encnet.utils.files import read_json, write_json
from training.configs.config import Config
from training.input import fingerprint
from training.input.fingerprint import Fingerprint
from training.run.environment import environment

# Options that may differ when a run is resumed; of the data, the fingerprint is compared instead.
MAY_DIFFER = (
    "run_dir",
    "data",
    "data_dir",
    "overwrite",
    "checkpoint_every",
    "keep_checkpoints",
    "strategy",
    "cpu_devices",
)
# The results of a run.
FOLDERS = ("checkpoints", "tensorboard")
FILES = ("best.keras", "last.keras", "metrics.json", "history.json")
Recipe = TypeVar("Recipe", bound=Config)


def resumed(run_dir: Path, config: Recipe) -> Recipe:
    """Returns a recipe with the values that the run in `run_dir` has found for automatic options.

    A later version may find others for the same data.
    """
    recorded = read_json(run_dir / "config.json", {})
    if config.overwrite:
        return config
    names = config.automatic_options() & set(recorded.get("automatic", ()))
    values = {name: recorded[name] for name in names}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return dataclasses.replace(config, **values | lists)


def check_free(run_dir: Path, config: Config) -> None:
    """Raises FileExistsError if `run_dir` has results of a run with other options."""
    if config.overwrite:
        return
    recorded = read_json(run_dir / "config.json", None)
    if recorded is None:
        found = [name for name in (*FOLDERS, *FILES) if (run_dir / name).exists()]
        if found:
            raise FileExistsError(
                f"The run folder contains {', '.join(found)}, but no `config.json` that "
                "identifies the run. Choose another folder with --run-dir, or replace them with "
                f"--overwrite. Received: run_dir={str(run_dir)!r}"
            )
        return
    options = json.loads(json.dumps(describe(config)))
    # An option that only one of them has is newer than the run, or belongs to another recipe.
    names = (options.keys() & recorded.keys()) - set(MAY_DIFFER)
    differing = [name for name in sorted(names) if recorded[name] != options[name]]
    if differing:
        raise FileExistsError(
            "The run folder contains a run with other options: "
            f"{', '.join(f'{name}={recorded[name]!r}' for name in differing)}. Use these to "
            "resume it, choose another folder with --run-dir, or start again with --overwrite. "
            f"Received: run_dir={str(run_dir)!r}"
        )


def check_data(run_dir: Path, config: Config, found: Mapping[str, Fingerprint]) -> None:
    """Raises FileExistsError if `run_dir` has a run on other data.

    Args:
        run_dir: path of the run folder.
        config: the recipe.
        found: fingerprints of its data, see `training.input.fingerprint`.
    """
    recorded = read_json(run_dir / "data.json", None)
    if config.overwrite or recorded is None:
        return
    changes = fingerprint.changes(recorded, found)
    if changes:
        raise FileExistsError(
            f"The data have changed since this run started: {'; '.join(changes)}. Restore them to "
            "resume it, choose another folder with --run-dir, or start again with --overwrite. "
            f"Received: run_dir={str(run_dir)!r}"
        )


def check_unfinished(run_dir: Path, config: Config, scores: Sequence[float]) -> None:
    """Raises FileExistsError if a run with these validation scores is over."""
    if config.is_over(scores):
        raise FileExistsError(
            f"The run folder contains a run that finished after {len(scores)} epochs. Choose "
            "another folder with --run-dir, or start again with --overwrite. "
            f"Received: run_dir={str(run_dir)!r}"
        )


def create(
    run_dir: Path,
    config: Config,
    data: Mapping[str, Fingerprint],
    computed: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Creates the run folder and records configuration, environment and the data's fingerprints.

    The folder of a run that is resumed is left unchanged.

    Args:
        run_dir: path of the run folder.
        config: the recipe, with values in place of its automatic options.
        data: fingerprints of its data.
        computed: what was computed from the data, recorded with the configuration.
    """
    if (run_dir / "config.json").exists() and not config.overwrite:
        return
    for folder in FOLDERS:
        shutil.rmtree(run_dir / folder, ignore_errors=True)
    for file in FILES:
        (run_dir / file).unlink(missing_ok=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    write_json(run_dir / "environment.json", environment())
    write_json(run_dir / "data.json", data)
    write_json(run_dir / "config.json", describe(config) | dict(computed))


def describe(config: Config) -> dict[str, Any]:
    """Returns a configuration as a dict, including the name of its recipe."""
    return {"recipe": type(config).__name__} | vars(config)
