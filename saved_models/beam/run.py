"""One call of batch prediction: checks, the claim on the output folder, and the pipeline."""

import dataclasses
import json
import logging
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineState

from saved_models.beam import files
from saved_models.beam.model import find_version, load
from saved_models.beam.pipeline import COUNTS, MANIFEST, Job, outputs_in, predict_images

# Runs in this process, or with `--direct_running_mode` in several. Beam's own default downloads
# another runner.
LOCAL_RUNNER = "FnApiRunner"
RERUN = "The same command predicts the images that have no prediction yet."


def predict(
    images: str, output: str, model: str, version: int | None, beam_arguments: Sequence[str]
) -> dict[str, int]:
    """Predicts all images that have no prediction yet.

    Args:
        images: pattern of image files on any file system of Beam, or a folder.
        output: folder of the predictions on any file system of Beam.
        model: folder of an exported SavedModel, or of its versions.
        version: number of the version, or None for the highest.
        beam_arguments: options of Beam, as on the command line.

    Returns:
        The number of images that are `predicted`, that were in `earlier` calls, and that `failed`.

    Raises:
        ValueError: for options that Beam does not have, paths that its workers cannot read, or a
            model that is no export.
        OSError: if there are no images, no model, an output of another model or other images, or if
            the pipeline fails.
    """
    options = checked_options(beam_arguments)
    folder = files.folder_path(output)
    found = files.find_images(images, outputs_in(folder))
    path = find_version(model, version)
    check_reachable(options, images=found.root, output=output, model=path)
    served = load(path)
    root = claim_output(folder, found.root, path, served.export.fingerprint)
    job = Job(
        images=dataclasses.replace(found, root=root),
        output=folder,
        model=path,
        has_masks=served.has_masks,
        batch_size=served.export.description["limits"]["images"],
        max_bytes=served.export.description["limits"]["bytes"],
    )
    counts = run(job, options)
    if not any(counts.values()):
        raise FileNotFoundError(
            "No image was found: a folder is searched for files with the suffix of an image. "
            f"Received: images={images!r}"
        )
    return counts


def run(job: Job, options: PipelineOptions) -> dict[str, int]:
    """Runs the pipeline, and returns the number of images that it counted.

    Raises:
        OSError: if the pipeline fails.
    """
    pipeline = beam.Pipeline(options=options)
    predict_images(pipeline, job)
    logging.getLogger("apache_beam.runners.common").addFilter(is_failure)
    try:
        result = pipeline.run()
        state = result.wait_until_finish()
    except BaseException as error:
        if interruption := interruption_in(error):
            raise type(interruption)(f"Interrupted. {RERUN}") from error
        if not isinstance(error, Exception):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise OSError(f"The pipeline failed: {reason}. {RERUN}") from error
    if state not in (None, PipelineState.DONE):
        raise OSError(f"The pipeline ended in the state {state}. {RERUN}")
    return {name: count_of(result, name) for name in COUNTS}


def interruption_in(error: BaseException | None) -> KeyboardInterrupt | None:
    """Returns the interruption that Beam has turned into an error of a step, or None."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def is_failure(record: logging.LogRecord) -> bool:
    """Returns whether a message is about something else than an interruption."""
    return not record.exc_info or interruption_in(record.exc_info[1]) is None


def count_of(result: beam.runners.runner.PipelineResult, name: str) -> int:
    """Returns the sum of a counter of the pipeline."""
    found = result.metrics().query(MetricsFilter().with_namespace("batch").with_name(name))
    return sum(counter.result or 0 for counter in found["counters"])


def checked_options(arguments: Sequence[str]) -> PipelineOptions:
    """Returns the options of Beam.

    Raises:
        ValueError: for arguments that are none of them, which Beam would ignore.
    """
    options = PipelineOptions(list(arguments))
    known = options.get_all_options()
    unknown = sorted(options.get_all_options(retain_unknown_options=True).keys() - known.keys())
    unknown += arguments[:1] if arguments and not arguments[0].startswith("-") else []
    if unknown:
        raise ValueError(
            "These are neither options of this command nor of Apache Beam, whose options follow "
            f"the others. Received: {unknown}"
        )
    standard = options.view_as(StandardOptions)
    standard.runner = standard.runner or LOCAL_RUNNER
    return options


def check_reachable(options: PipelineOptions, **paths: str) -> None:
    """Raises ValueError for local paths that the machines of Dataflow cannot read."""
    local = {name: path for name, path in paths.items() if files.is_local(path)}
    if "dataflow" in options.view_as(StandardOptions).runner.lower() and local:
        received = ", ".join(f"{name}={path!r}" for name, path in local.items())
        raise ValueError(
            "The machines of Dataflow cannot read files of this one: use addresses such as "
            f"`gs://bucket/folder`. Received: {received}"
        )


def claim_output(folder: str, root: str, path: str, fingerprint: str) -> str:
    """Records in the output folder which model and which folder of images it belongs to.

    Args:
        folder: the output folder.
        root: the folder of the images.
        path: the model.
        fingerprint: that of the model.

    Returns:
        The folder to which names of outputs are relative, as a record of an earlier call has it.

    Raises:
        FileExistsError: if the output belongs to another model or to images elsewhere, whose
            predictions would count as those of these.
    """
    manifest = folder + MANIFEST
    if not FileSystems.exists(manifest):
        record = {"images": root, "model": path, "fingerprint": fingerprint}
        files.write(manifest, (json.dumps(record) + "\n").encode())
        return root
    record = json.loads(files.read(manifest))
    if record["fingerprint"] != fingerprint or not root.startswith(record["images"]):
        raise FileExistsError(
            f"The output folder contains predictions of {record['model']!r} for images in "
            f"{record['images']!r}: choose another one. "
            f"Received: output={folder!r}, model={path!r}, images in {root!r}"
        )
    return record["images"]
