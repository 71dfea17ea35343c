"""The results file of the client, which is complete JSON at any time."""

import json
import time
from pathlib import Path
from types import TracebackType

from keras_encnet.utils.files import atomic_file, read_json
from saved_models.predictions import Result

# Writing takes at most this share of the time: a file of 100,000 images takes seconds.
SHARE = 0.05
SECONDS = 1.0  # between two writes at least


class Answers:
    """The outputs, or the error, of every image by its path, in a JSON file.

    A context manager. The file is written atomically, when the context is entered, from time to
    time, and when the context is left for any reason.

    Args:
        path: the file. Results of an earlier call that it contains are kept.
        model: name and version of the model, a part of every result.
        overwrite: whether to discard the results of earlier calls.

    Raises:
        ValueError: if the file is not one of this class.
    """

    def __init__(self, path: Path, model: str, overwrite: bool = False):
        self.path, self.model = path, model
        self.records = {} if overwrite else _read(path)
        self.due = 0.0

    def __enter__(self) -> "Answers":
        self.save()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.save()

    def has(self, path: Path, mask: Path | None) -> bool:
        """Returns whether this model has predicted an image since it was last changed.

        Args:
            path: the image.
            mask: its mask, or None if the model predicts none.
        """
        record = json.loads(self.records.get(str(path), "{}"))
        if record.get("model") != self.model or "error" in record:
            return False
        return mask is None or (
            mask.exists() and mask.stat().st_mtime_ns >= path.stat().st_mtime_ns
        )

    def add(self, result: Result) -> None:
        """Adds a result, and writes the file if enough time has passed."""
        record = {"error": result.error} if result.error is not None else result.outputs
        self.records[str(result.path)] = json.dumps({**record, "model": self.model})
        if time.monotonic() > self.due:
            self.save()

    def save(self) -> None:
        """Writes the file. It remains unchanged if that fails."""
        began = time.monotonic()
        lines = (f"{json.dumps(path)}: {record}" for path, record in self.records.items())
        with atomic_file(self.path) as temporary:
            temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        now = time.monotonic()
        self.due = now + max(SECONDS, (now - began) / SHARE)


def _read(path):
    """Returns the results in a file, each as JSON."""
    records = read_json(path, {})
    foreign = [key for key, record in records.items() if not isinstance(record, dict)]
    if foreign:
        raise ValueError(
            "The file does not contain results of this command: choose another `--output`, or "
            f"replace it with `--overwrite`. Received: {str(path)!r} with {foreign[:10]}"
        )
    return {key: json.dumps(record) for key, record in records.items()}
