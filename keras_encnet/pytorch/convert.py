"""Convert a published PyTorch checkpoint to a `.keras` file.

    python -m keras_encnet.pytorch.convert encnet_resnet50s_ade-07ac287c.zip encnet50_ade.keras

Requires torch: `python -m pip install torch`. With one version of Keras, the same
checkpoint and options always give the same bytes.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_encnet.pytorch import from_pytorch
from keras_encnet.utils.files import atomic_file

# The earliest date of the zip format, as `zipfile` and as Keras represent it.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
KERAS_EPOCH = "1980-01-01@00:00:00"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    checkpoint, output = options.pop("checkpoint"), options.pop("output")
    if (channels := options.pop("image_channels")) is not None:
        options["input_shape"] = (None, None, channels)
    sides = options["working_size"]
    if sides is not None and len(sides) == 1:
        options["working_size"] = sides[0]
    if output.suffix != ".keras":
        parser.error(f"OUTPUT must end in .keras. Received: {str(output)!r}")
    # The same random weights and seeds of dropout every time.
    keras.utils.set_random_seed(0)
    try:
        model = from_pytorch(checkpoint, **options)
        save_reproducibly(model, output)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    outputs = ", ".join(sorted(model.output)) if isinstance(model.output, dict) else "logits"
    print(f"{output}: {model.name}, {model.count_params():,} parameters, outputs: {outputs}")


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m keras_encnet.pytorch.convert",
        description="Convert a published PyTorch checkpoint to a .keras file.",
    )
    parser.add_argument("checkpoint", help=".pth, .pth.tar or .zip")
    parser.add_argument("output", type=Path, help=".keras, overwritten if it exists")
    parser.add_argument(
        "--classes", type=int, help="number of classes; layers of another size keep random weights"
    )
    parser.add_argument(
        "--align-corners",
        action=argparse.BooleanOptionalAction,
        help="how logits are upsampled; required for mmsegmentation's 769x769 checkpoints",
    )
    parser.add_argument(
        "--output-stride",
        type=int,
        choices=(8, 16, 32),
        help="output stride of the backbone (default: 8)",
    )
    parser.add_argument(
        "--stochastic-scale",
        action="store_true",
        help="for CIFAR networks trained as `encnetdrop`",
    )
    parser.add_argument(
        "--working-size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="long side to which the model resizes images, or bounds of the long and the short "
        "side (default: their own size)",
    )
    parser.add_argument(
        "--image-channels",
        type=int,
        help="number of channels of the images; weights for RGB are adapted (default: 3)",
    )
    for option, name in (("--mean", "mean"), ("--std", "standard deviation")):
        parser.add_argument(
            option,
            type=float,
            nargs="+",
            metavar="VALUE",
            help=f"{name} of the raw images, a number or one per channel (default: of the weights)",
        )
    return parser


def save_reproducibly(model: keras.Model, path: str | os.PathLike) -> None:
    """Saves a model atomically, so that the same model always gives the same bytes.

    Keras stores the date and, for objects that layers share, their memory addresses. Here dates
    are constant and objects are numbered.

    Args:
        model: a `keras.Model`.
        path: the `.keras` file, overwritten if it exists.

    Raises:
        OSError: if the file cannot be written.
    """
    path = Path(path)
    with (
        atomic_file(path) as temporary,
        tempfile.TemporaryDirectory(prefix=f"{temporary.name}-", dir=path.parent) as draft,
    ):
        # As a folder: when saving a zipped model, Keras holds its weights in memory twice.
        model.save(draft, zipped=False)
        with zipfile.ZipFile(temporary, "w") as archive:
            for part in sorted(part for part in Path(draft).rglob("*") if part.is_file()):
                member = zipfile.ZipInfo(part.relative_to(draft).as_posix(), ZIP_EPOCH)
                member.file_size = part.stat().st_size
                with open(part, "rb") as reader, archive.open(member, "w") as writer:
                    if part.suffix == ".json":
                        writer.write(_reproducible(reader.read()))
                    else:
                        shutil.copyfileobj(reader, writer, 2**20)


def _reproducible(text):
    numbers = {}

    def clean(entry):
        if "shared_object_id" in entry:
            address = entry["shared_object_id"]
            entry["shared_object_id"] = numbers.setdefault(address, len(numbers) + 1)
        if "date_saved" in entry:
            entry["date_saved"] = KERAS_EPOCH
        return entry

    return json.dumps(json.loads(text, object_hook=clean)).encode()


if __name__ == "__main__":
    main()
