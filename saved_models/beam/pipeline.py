"""The pipeline of batch prediction: list, select what is missing, predict, write."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystem import BeamIOError, FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.pvalue import TaggedOutput

from saved_models.beam import files
from saved_models.beam.model import Prediction, SavedModelHandler

ERRORS = "errors"  # tag of the images without a prediction
PENDING = "pending"  # tag of the images to predict
MASK_SUFFIX, RECORD_SUFFIX = ".png", ".json"
MANIFEST = "batch.json"
COUNTS = ("predicted", "earlier", "failed")


@dataclasses.dataclass(frozen=True)
class Job:
    """What to predict.

    Attributes:
        images: the images.
        output: folder of the predictions, with "/" at its end.
        model: the folder of the version of the model.
        has_masks: whether the model predicts masks.
        batch_size: largest number of images in one call of the model.
        max_bytes: largest image file.
    """

    images: files.Images
    output: str
    model: str
    has_masks: bool
    batch_size: int
    max_bytes: int

    @property
    def masks(self) -> str:
        """Folder of the masks."""
        return f"{self.output}masks/"

    @property
    def records(self) -> str:
        """Folder of the records, one JSON file per image, written after its mask."""
        return f"{self.output}records/"


def outputs_in(folder: str) -> tuple[str, ...]:
    """Returns the starts of the paths of all outputs in a folder."""
    names = ("masks/", "records/", "predictions.jsonl", "errors.jsonl", MANIFEST)
    return tuple(folder + name for name in names)


def predict_images(pipeline: beam.Pipeline, job: Job) -> None:
    """Adds the prediction of all images without one to a pipeline.

    Writes the mask and the record of each image as soon as it is predicted, and at the end
    `predictions.jsonl`, the records of all images that match, and `errors.jsonl`, those without a
    prediction and why.
    """
    listings = {
        "images": pipeline
        | "Match images" >> _match(job.images.pattern)
        | beam.Filter(lambda file: job.images.contain(file.path))
        | beam.WithKeys(lambda file: files.output_name(file.path, job.images.root)),
        "masks": pipeline | "Masks" >> _Outputs(job.masks, MASK_SUFFIX),
        "records": pipeline | "Records" >> _Outputs(job.records, RECORD_SUFFIX),
    }
    selected = (
        listings
        | beam.CoGroupByKey()
        | "Select" >> beam.ParDo(_Select(job)).with_outputs(ERRORS, PENDING, main="earlier")
    )
    read = selected[PENDING] | "Read" >> beam.ParDo(_Read(job)).with_outputs(ERRORS, main="read")
    handler = SavedModelHandler(job.model, job.batch_size)
    written = (
        read["read"]
        | RunInference(KeyedModelHandler(handler))
        | "Write" >> beam.ParDo(_Write(job)).with_outputs(ERRORS, main="written")
    )
    lines = {
        "predictions": (selected["earlier"], written["written"]),
        "errors": (read[ERRORS], written[ERRORS]),
    }
    for name, collections in lines.items():
        _ = collections | f"All {name}" >> _Lines(f"{job.output}{name}.jsonl")


def _match(pattern: str) -> beam.PTransform:
    return fileio.MatchFiles(pattern, fileio.EmptyMatchTreatment.ALLOW)


class _Outputs(beam.PTransform):
    """Lists the outputs of earlier calls by the names of their images."""

    def __init__(self, folder: str, suffix: str):
        super().__init__()
        self.folder, self.suffix = folder, suffix

    def expand(self, pipeline):
        start, end = len(self.folder), len(self.suffix)
        return (
            pipeline
            | _match(files.all_within(self.folder))
            | beam.Filter(_is_complete)
            | beam.WithKeys(lambda file: file.path[start:-end])
        )


def _is_complete(file: FileMetadata) -> bool:
    """Returns whether a file is one, and removes those that killed processes have left."""
    if not file.path.rpartition("/")[2].startswith(files.TEMPORARY):
        return True
    with contextlib.suppress(BeamIOError):
        FileSystems.delete([file.path])
    return False


class _Select(beam.DoFn):
    """Yields the records of images with a prediction, and `(name, path)` of the others."""

    def __init__(self, job: Job):
        self.job = job
        self.earlier = Metrics.counter("batch", "earlier")

    def process(self, group: tuple[str, dict[str, Iterable[FileMetadata]]]) -> Iterator[Any]:
        name, found = group
        outputs = [*found["records"], *found["masks"]]
        expected = 1 + self.job.has_masks
        for image in found["images"]:
            is_new = len(outputs) == expected and all(
                output.last_updated_in_seconds >= image.last_updated_in_seconds
                for output in outputs
            )
            line = self._record(name) if is_new else None
            if line is None:
                yield TaggedOutput(PENDING, (name, image.path))
            else:
                self.earlier.inc()
                yield line

    def _record(self, name):
        """Returns the record of an image as a line, or None if it is damaged."""
        try:
            record = json.loads(files.read(f"{self.job.records}{name}{RECORD_SUFFIX}"))
        except (OSError, ValueError):
            return None
        return json.dumps(record)


class _Read(beam.DoFn):
    """Yields `((name, path), content)` of images."""

    def __init__(self, job: Job):
        self.max_bytes = job.max_bytes
        self.failed = Metrics.counter("batch", "failed")

    def process(self, element: tuple[str, str]) -> Iterator[Any]:
        name, path = element
        try:
            content = files.read(path, self.max_bytes + 1)
            error = None if content else "the file is empty"
            if len(content) > self.max_bytes:
                error = f"the file has more than {self.max_bytes:,} bytes"
        except Exception as failure:  # file systems raise the errors of their libraries
            error = " ".join(f"the file cannot be read: {failure}".split())
        if error is None:
            yield (name, path), content
        else:
            self.failed.inc()
            yield TaggedOutput(ERRORS, json.dumps({"image": path, "error": error}))


class _Write(beam.DoFn):
    """Writes the mask and then the record of each image, and yields its record as a line."""

    def __init__(self, job: Job):
        self.job = job
        self.predicted = Metrics.counter("batch", "predicted")
        self.failed = Metrics.counter("batch", "failed")

    def process(self, element: tuple[tuple[str, str], Prediction]) -> Iterator[Any]:
        (name, path), prediction = element
        if prediction.error is not None:
            self.failed.inc()
            yield TaggedOutput(ERRORS, json.dumps({"image": path, "error": prediction.error}))
            return
        record = {"image": path}
        if prediction.mask is not None:
            mask = f"{self.job.masks}{name}{MASK_SUFFIX}"
            files.write(mask, prediction.mask)
            record["mask"] = mask[len(self.job.output) :]
        line = json.dumps(record | prediction.outputs)
        files.write(f"{self.job.records}{name}{RECORD_SUFFIX}", f"{line}\n".encode())
        self.predicted.inc()
        yield line


class _Lines(beam.PTransform):
    """Writes lines to one file, which may be empty, and replaces the file of an earlier call."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def expand(self, collections):
        end = collections[0].pipeline | beam.Create([None])  # so that there is a group
        return (
            (*collections, end)
            | beam.Flatten()
            | beam.WithKeys(self.path)
            | beam.GroupByKey()
            | beam.MapTuple(_write_lines)
        )


def _write_lines(path: str, lines: Iterable[str | None]) -> None:
    with files.atomic_file(path) as file:
        for line in lines:
            if line is not None:
                file.write(f"{line}\n".encode())
