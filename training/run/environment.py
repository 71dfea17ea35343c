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
# By precision, the instructions of x86 and Arm processors with which it is faster than float32.
INSTRUCTIONS = {
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}


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
    """Returns the name of the processor, and its instructions for bfloat16."""
    name = _cpu_info().get("model name") or platform.processor() or platform.machine()
    instructions = INSTRUCTIONS["bfloat16"] & _instructions()
    return f"{name} ({', '.join(sorted(instructions))})" if instructions else name


def emulates(precision: str) -> bool:
    """Returns whether the processor is known to lack instructions for a precision.

    Operations then convert to float32 and back, which takes longer than float32.
    """
    needed, available = INSTRUCTIONS.get(precision), _instructions()
    return bool(needed and available) and not needed & available


def _instructions():
    """Returns the instruction set extensions of the processor, none where they are not known."""
    facts = _cpu_info()
    return set((facts.get("flags") or facts.get("Features", "")).split())  # x86, or Arm


def _cpu_info():
    """Returns the facts that Linux has about the processor, an empty dict on other systems."""
    if not CPU_INFO.exists():
        return {}
    lines = (line.partition(":") for line in CPU_INFO.read_text().splitlines())
    return {name.strip(): text.strip() for name, _, text in lines}


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a clone, without installation
