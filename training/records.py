"""What a run writes down: files that are whole or not there."""

import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

PACKAGES = ("keras-encnet", "tensorflow", "keras", "numpy")


def check_free(run_dir, overwrite):
    """Raises FileExistsError if `run_dir` holds a run already and it may not be written over."""
    if (run_dir / "config.json").exists() and not overwrite:
        raise FileExistsError(
            "The run folder holds a run already: choose another with --run-dir, or begin anew with "
            f"--overwrite. Received: run_dir={str(run_dir)!r}"
        )


def begin(run_dir, config):
    """Opens the run folder and records the configuration and the environment."""
    run_dir.mkdir(parents=True, exist_ok=True)
    write_json(run_dir / "config.json", {"recipe": type(config).__name__} | vars(config))
    write_json(run_dir / "environment.json", environment())


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


def write_json(path, value):
    """Writes JSON, readable and in one piece."""
    write_whole(path, lambda place: place.write_text(json.dumps(value, indent=2) + "\n"))


def write_whole(path, write):
    """Calls `write(place)` for a place beside `path`, then renames it: never half a file.

    Args:
        path: where the file belongs.
        write: a function that writes a file to the path it is given, which has
            the suffix of `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(place)
        os.replace(place, path)
    finally:
        place.unlink(missing_ok=True)
