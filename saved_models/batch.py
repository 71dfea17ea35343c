"""Predict many images with an exported model on Apache Beam.

python -m saved_models.batch "photos/**.jpg" masks --model saved_models/street
python -m saved_models.batch "gs://bucket/*.jpg" gs://bucket/masks --model gs://bucket/street \
    --runner DataflowRunner --project PROJECT --region REGION --temp_location gs://bucket/temporary
"""

import dataclasses
from collections.abc import Sequence

import tyro

from keras_encnet.utils.packages import import_optional
from training import cli


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Predict many images with an exported model on Apache Beam.

    Writes `masks/NAME.png` and `records/NAME.json` to OUTPUT as soon as an image is predicted; NAME
    is its path in the folder of the images. At the end, `predictions.jsonl` contains one line per
    image that matches, and `errors.jsonl` the images without a prediction, with the reason. Images
    that were predicted in an earlier call and have not changed are not predicted again. The exit
    status is 1 if any image has no prediction.

    Other options are those of Apache Beam and follow the ones below, such as `--runner`,
    `--direct_num_workers` and `--direct_running_mode`.
    """

    images: tyro.conf.Positional[str]
    """Pattern of image files on any file system of Beam, or a folder."""
    output: tyro.conf.Positional[str]
    """Folder of the predictions on any file system of Beam."""
    model: str
    """Folder of an exported SavedModel, or of its versions."""
    version: int | None = None
    """Number of the version; by default the highest."""


def main(arguments: Arguments, beam_arguments: Sequence[str]) -> None:
    """Predicts images, and prints their number.

    Args:
        arguments: those of this command.
        beam_arguments: options of Apache Beam.
    """
    import_optional("apache_beam", "apache-beam", "Batch prediction")
    from saved_models.beam.run import predict  # needs apache_beam

    counts = predict(**vars(arguments), beam_arguments=beam_arguments)
    print(
        f"{counts['predicted']} images predicted, {counts['earlier']} in earlier calls, "
        f"{counts['failed']} failed; see predictions.jsonl and errors.jsonl in {arguments.output}"
    )
    if counts["failed"]:
        raise SystemExit(1)


if __name__ == "__main__":
    with cli.plain_errors():
        main(*tyro.cli(Arguments, prog="python -m saved_models.batch", return_unknown_args=True))
