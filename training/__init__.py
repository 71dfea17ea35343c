"""The scripts: training, evaluation and prediction, run from a clone of the repository."""

import importlib.util
import os

# The modules of the extra `train` that commands import at their start.
_REQUIRED = ("PIL", "matplotlib", "pycocotools", "scipy", "tabulate", "tqdm", "tyro", "yaml")

if _missing := [name for name in _REQUIRED if importlib.util.find_spec(name) is None]:
    raise SystemExit(
        "error: The commands require more packages than the library. Install them in the clone "
        f"with `python -m pip install -e '.[train]'`. Received: missing={', '.join(_missing)}"
    )

# TensorFlow reads it on import; the messages about its own build are of no interest.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_encnet  # noqa: E402, F401, checks the backend before a command imports Keras
