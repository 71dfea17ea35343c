"""What a run writes down: files that are whole or not there."""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from pathlib import Path

from keras_encnet.utils.files import atomic_file

# Options that may differ when a run is gone on with.
CIRCUMSTANCES = (
    "run_dir",
    "overwrite",
    "checkpoint_every",
    "keep_checkpoints",
    "strategy",
    "cpu_devices",
)
# What a run writes beside its configuration and the environment.
FOLDERS = ("checkpoints", "tensorboard")
FILES = ("best.keras", "last.keras", "metrics.json", "history.json")
PACKAGES = ("keras-encnet", "tensorflow", "keras", "numpy")


def check_free(run_dir, config):
    """Raises FileExistsError if `run_dir` holds what must not be lost: a run of other options."""
    if config.overwrite:
        return
    there = read_json(run_dir / "config.json")
    if there is None:
        found = [name for name in (*FOLDERS, *FILES) if (run_dir / name).exists()]
        if found:
            raise FileExistsError(
                f"The run folder has {', '.join(found)}, and no `config.json` that tells of which "
                "run: choose another folder with --run-dir, or replace these with --overwrite. "
                f"Received: run_dir={str(run_dir)!r}"
            )
        return
    wanted = json.loads(json.dumps(describe(config)))
    # An option that one of them lacks is younger than the run, or was another recipe's.
    names = (wanted.keys() & there.keys()) - set(CIRCUMSTANCES)
    others = [n for n in sorted(names) if there.get(n) != wanted.get(n)]
    if others:
        raise FileExistsError(
            "The run folder holds a run of other options, which were "
            f"{', '.join(f'{name}={there.get(name)!r}' for name in others)}: go on with these, "
            "choose another folder with --run-dir, or begin anew with --overwrite. "
            f"Received: run_dir={str(run_dir)!r}"
        )


def check_unfinished(run_dir, epoch, epochs):
    """Raises FileExistsError if a run has done its epochs."""
    if epoch >= epochs:
        raise FileExistsError(
            f"The run folder holds a run that is finished, after {epoch} epochs: choose another "
            f"with --run-dir, or begin anew with --overwrite. Received: run_dir={str(run_dir)!r}"
        )


def is_finished(run_dir, config):
    """Whether `run_dir` holds a run of `config` that has done its epochs.

    Raises:
        FileExistsError: if it holds a run of other options.
    """
    check_free(run_dir, config)
    history = read_json(run_dir / "history.json", default={"loss": []})
    return len(history["loss"]) >= config.epochs


def begin(run_dir, config):
    """Opens the run folder and records the configuration and the environment.

    Where the same run is there already, it stays as it is, to be gone on with.
    """
    if (run_dir / "config.json").exists() and not config.overwrite:
        return
    for folder in FOLDERS:
        shutil.rmtree(run_dir / folder, ignore_errors=True)
    for file in FILES:
        (run_dir / file).unlink(missing_ok=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    write_json(run_dir / "environment.json", environment())
    write_json(run_dir / "config.json", describe(config))


def describe(config):
    """Returns a configuration as a dict, the name of its recipe among the options."""
    return {"recipe": type(config).__name__} | vars(config)


def environment():
    """Returns what a result depends on beside the configuration, as a dict."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None  # run from the clone, without an installation
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_cores": os.cpu_count(),
        "packages": versions,
    }


def read_json(path, default=None):
    """Reads JSON, or returns `default` where there is no such file."""
    return json.loads(path.read_text()) if path.exists() else default


def write_json(path, value):
    """Writes indented JSON atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
