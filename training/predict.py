"""Segment images: masks, overlays, and the classes that are predicted to be present.

python -m training.predict MODEL IMAGE... --output FOLDER
python -m training.predict MODEL IMAGE... --output FOLDER --explain --truth FOLDER/labels
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from tqdm import tqdm

import keras_encnet
from keras_encnet.graph.compiled import CompiledOutputs, checked_overlap
from training import cli
from training.figures import codewords
from training.figures.overlays import save_mask, save_overlay
from training.input.image_files import exif_orientation, read_image, read_mask
from training.run import run_folder, trained_models

# What a single image may raise, such as a damaged file, or too little memory.
ERRORS = (ValueError, OSError, MemoryError, tf.errors.OpError)


def main(
    model: Path,
    images: tuple[Path, ...],
    output: Path = Path("predictions"),
    explain: bool = False,
    truth: Path | None = None,
    window: int | None = None,
    overlap: int | None = None,
    size: int | Literal["native"] | None = None,
) -> None:
    """Segment images: masks, overlays, and the classes that are predicted to be present.

    For `photo.jpg`, this writes `photo.png`, an indexed image whose pixels are class ids, an image
    with a legend, `photo_overlay.png`, and an entry in `predictions.json`, which is updated after
    each image. An image that fails gets an entry with its `error`, and the exit status is then 1.

    Args:
        model: Run folder (its best model), or `.keras` file.
        images: Image files.
        output: Folder of the results.
        explain: Also write `photo_codewords.png`: assignment to codewords, gates and presence.
        truth: Folder of ground truth masks such as `photo.png`, shown by `--explain`.
        window: Process resized images in windows of this height and width, which bounds the memory.
            Context, such as presence, is then that of the windows; see `SegmentationModel.segment`.
        overlap: Number of pixels that neighboring windows have in common, by default a quarter of
            `--window`.
        size: Long side at which the network sees images, or `native`; by default the working size
            of the model.
    """
    # Invalid arguments raise here, before any output.
    if truth is not None and not explain:
        raise ValueError(f"`--truth` requires `--explain`. Received: truth={str(truth)!r}")
    if window is not None and explain:
        raise ValueError(
            "`--explain` shows the context of an entire image: use it without `--window`. "
            f"Received: window={window}"
        )
    check_outputs(images, output, explain)
    truths = {} if truth is None else find_truths(images, truth)
    network = trained_models.load_model(trained_models.find_model(model))
    predictor = Predictor(network, output, explain, window, overlap, size)

    predictions: dict[str, dict[str, Any]] = {}
    for path in tqdm(images, unit="image"):
        try:
            predictions[str(path)] = predictor(path, truths.get(path))
        except ERRORS as error:
            predictions[str(path)] = {"error": str(error)}
            tqdm.write(f"error: {path}: {error}", file=sys.stderr)
        run_folder.write_json(output / "predictions.json", predictions)
    print_predictions(predictions)
    print(f"Results written to {output}")
    failed = [path for path, prediction in predictions.items() if "error" in prediction]
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(images)} images failed, see `predictions.json`. "
            f"Received: {failed[:10]}"
        )


class Predictor:
    """Segments image files, and writes masks and figures.

    Args:
        network: the model.
        output: folder of the results.
        explain: whether to write the codeword pages.
        window: see `SegmentationModel.segment`.
        overlap: see `SegmentationModel.segment`.
        size: see `SegmentationModel.segment`.

    Raises:
        ValueError: if the model has no codewords to explain, or for invalid windows or sizes.
    """

    def __init__(
        self,
        network: keras_encnet.SegmentationModel,
        output: Path,
        explain: bool = False,
        window: int | None = None,
        overlap: int | None = None,
        size: int | Literal["native"] | None = None,
    ):
        checked_overlap(window, overlap)
        network.chosen_size(size)
        self.network, self.output, self.explain = network, output, explain
        self.window, self.overlap, self.size = window, overlap, size
        tensors = {k: v for k, v in network.output.items() if k in ("segmentation", "presence")}
        if explain:
            tensors |= codewords.tensors(network)
        # Everything about an image comes from one call.
        self.outputs = CompiledOutputs(network, tensors)

    def __call__(self, path: Path, truth: Path | None = None) -> dict[str, dict[str, float]]:
        """Writes the results for an image, and returns its entry in `predictions.json`.

        Args:
            path: the image.
            truth: its true mask, shown on the codeword page.
        """
        network, image = self.network, read_image(path)
        if exif_orientation(path) != 1:
            tqdm.write(
                f"{path} has the EXIF orientation {exif_orientation(path)}, which is not applied: "
                "the mask is that of the pixels as stored.",
                file=sys.stderr,
            )
        size = network.network_size(image.shape[:2], self.size)
        outputs = self.outputs(image[None], self.window, self.overlap, size)
        prediction = {name: rows[0] for name, rows in outputs.items()}
        mask = prediction["classes"]
        save_mask(self.output / f"{path.stem}.png", mask, network.classes)
        save_overlay(self.output / f"{path.stem}_overlay.png", image, mask, network.class_names)
        if self.explain:
            page = self.output / f"{path.stem}_codewords.png"
            shown = None if truth is None else read_mask(truth)
            codewords.save_page(page, image, prediction, network.class_names, shown)
        return describe(prediction, network.class_names)


def find_truths(images: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Returns the path of the true mask of each image.

    Raises:
        FileNotFoundError: if one is missing.
    """
    truths = {path: folder / f"{path.stem}.png" for path in images}
    missing = [str(path) for path in truths.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(truths)} true masks are missing. Received: {missing[:10]}"
        )
    return truths


def check_outputs(images: Sequence[Path], output: Path, explain: bool) -> None:
    """Checks that no output would overwrite another one, or an image.

    Raises:
        ValueError: if one would.
    """
    kinds = ("", "_overlay", "_codewords") if explain else ("", "_overlay")
    outputs = [output / f"{path.stem}{kind}.png" for path in images for kind in kinds]
    repeated = sorted({path.name for path in outputs if outputs.count(path) > 1})
    if repeated:
        raise ValueError(
            "Images with the same name would overwrite each other's results. "
            f"Received: {repeated[:10]}"
        )
    resolved = {path.resolve() for path in outputs}
    overwritten = sorted({str(path) for path in images if path.resolve() in resolved})
    if overwritten:
        raise ValueError(
            "Results would overwrite these images: choose another `--output`. "
            f"Received: {overwritten[:10]}"
        )


def describe(
    prediction: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Describes the prediction for an image.

    Args:
        prediction: `classes`, class ids `(height, width)`, and optionally `presence`, logits
            `(classes,)`.
        class_names: one name per class.

    Returns:
        `shares`, the fraction of each class in the mask; and, with `presence`, `present`, the
        probability of presence of each class where it exceeds one half.
    """
    mask = prediction["classes"]
    counts = np.bincount(mask.ravel(), minlength=len(class_names))
    order = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    description = {"shares": {class_names[i]: counts[i] / mask.size for i in order}}
    if "presence" in prediction:
        probabilities = codewords.sigmoid(prediction["presence"])
        description["present"] = {
            class_names[i]: float(probabilities[i])
            for i in np.argsort(-probabilities)
            if probabilities[i] > 0.5
        }
    return description


def print_predictions(predictions: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints the classes in each image."""
    for path, prediction in predictions.items():
        if "error" in prediction:
            continue
        shares = ", ".join(f"{name} {share:.0%}" for name, share in prediction["shares"].items())
        print(f"{path}: {shares}")
        if "present" in prediction:
            print(f"  predicted presence: {', '.join(prediction['present']) or 'none'}")


if __name__ == "__main__":
    cli.run(main)
