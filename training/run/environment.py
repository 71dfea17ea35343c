"""What a result depends on besides its recipe and data: the command, code, packages and machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("keras-encnet", "tensorflow", "keras", "numpy")
CPU_INFO = Path("/proc/cpuinfo")  # on Linux


def environment() -> dict[str, Any]:
    """Returns the command, the commit of a clone, the package versions and the processor."""
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "commit": commit(Path(__file__).parent),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cpu_cores": os.cpu_count(),
        "packages": {package: _version(package) for package in PACKAGES},
    }


def commit(folder: Path) -> str | None:
    """Returns the commit of the clone that contains a folder, or None.

    `-dirty` is appended if tracked files have been changed since.
    """
    command = ("git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*")
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, or not a clone
    return found.stdout.strip()


def processor() -> str:
    """Returns the name of the processor, and the matrix instructions for bfloat16 that it has."""
    facts: dict[str, str] = {}
    if CPU_INFO.exists():
        lines = CPU_INFO.read_text().splitlines()
        facts = {name.strip(): text.strip() for name, _, text in (x.partition(":") for x in lines)}
    name = facts.get("model name") or platform.processor() or platform.machine()
    instructions = {"avx512_bf16", "amx_bf16"} & set(facts.get("flags", "").split())
    return f"{name} ({', '.join(sorted(instructions))})" if instructions else name


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a clone, without installation
