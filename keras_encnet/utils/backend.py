"""Check of Keras's backend. It runs before Keras is imported, which imports the backend."""

import json
import os
import sys
from pathlib import Path

REQUIRED = "tensorflow"


def check_backend() -> None:
    """Raises ImportError unless Keras uses TensorFlow, or will use it once it is imported."""
    backend, origin = _configured()
    if backend != REQUIRED:
        raise ImportError(
            "keras_encnet requires the TensorFlow backend of Keras. Set the environment variable "
            f"KERAS_BACKEND={REQUIRED} before Python starts, or the `backend` in {_config_file()}. "
            f"Received: {origin}={backend!r}"
        )


def _configured():
    """Returns the name of the backend and where it is set, by the rules of Keras."""
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend(), "keras.config.backend()"
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend, "KERAS_BACKEND"
    try:
        return json.loads(_config_file().read_text())["backend"], "backend"
    except (OSError, ValueError, KeyError, TypeError):
        return REQUIRED, "backend"  # Keras ignores such a file as well


def _config_file():
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")
    return Path(os.environ.get("KERAS_HOME") or home / ".keras").expanduser() / "keras.json"
