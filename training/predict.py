"""Segment images: masks, overlays, and the classes in them with their share and presence.

python -m training.predict MODEL IMAGE_OR_FOLDER... --output FOLDER
python -m training.predict MODEL DATA/images --output FOLDER --explain --truth DATA/labels
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from tqdm import tqdm

import keras_encnet
from keras_encnet.graph.compiled import CompiledOutputs, checked_overlap, is_split
from keras_encnet.models.images import check_values
from keras_encnet.utils.class_maps import dtype_of
from keras_encnet.utils.files import atomic_file, check_writable
from keras_encnet.utils.numerics import sigmoid
from training import cli
from training.figures import codewords
from training.figures.overlays import as_rgb, save_mask, save_overlay
from training.input.image_files import exif_orientation, read_image, read_mask
from training.input.image_paths import check_results, find_images, result_path
from training.run import run_folder, trained_models
from training.tasks.descriptions import describe, sentence

# What a single image may raise, such as a damaged file, or too little memory.
ERRORS = (ValueError, OSError, MemoryError, tf.errors.OpError)
WRITE_SECONDS = 5


def main(
    model: Path,
    images: tuple[Path, ...],
    output: Path = Path("predictions"),
    explain: bool = False,
    truth: Path | None = None,
    window: int | None = None,
    overlap: int | None = None,
    size: int | Literal["native"] | None = None,
    probabilities: bool = False,
) -> None:
    """Segment images: masks, overlays, and the classes in them with their share and presence.

    For `photo.jpg`, this writes `photo.png`, an indexed image whose pixels are class ids, an image
    with a legend, `photo_overlay.png`, and an entry in `predictions.json`, which is updated every
    few seconds. Results of images in a folder keep their path in the folder. An image that fails
    gets an entry with its `error`, and the exit status is then 1.

    Args:
        model: Run folder (its best model), or `.keras` file.
        images: Image files, and folders to search for images.
        output: Folder of the results.
        explain: Also write `photo_codewords.png`: assignment to codewords, gates and presence.
        truth: Folder of ground truth masks such as `photo.png`, shown by `--explain`. Those of
            images in a folder have the same path in this folder.
        window: Process resized images in windows of this height and width, which bounds the memory.
            Context, such as presence, is then that of the windows; see `SegmentationModel.segment`.
        overlap: Number of pixels that neighboring windows have in common, by default a quarter of
            `--window`.
        size: Long side at which the network sees images, or `native`; by default the working size
            of the model.
        probabilities: Also write `photo_probabilities.npy`: the probability of each class as
            float16, `(height, width, classes)`. `numpy.load(path, mmap_mode="r")` reads parts of
            large files.
    """
    # Invalid arguments raise here, before any output.
    if truth is not None and not explain:
        raise ValueError(f"`--truth` requires `--explain`. Received: truth={str(truth)!r}")
    if window is not None and explain:
        raise ValueError(
            "`--explain` shows the context of an entire image: use it without `--window`. "
            f"Received: window={window}"
        )
    kinds = ["", "_overlay"] + ["_codewords"] * explain
    suffixes = [f"{kind}.png" for kind in kinds] + ["_probabilities.npy"] * probabilities
    results = find_images(images, output, arrays=True)
    check_results(results, suffixes)
    check_writable(output)
    truths = {} if truth is None else find_truths(results, output, truth)
    network = trained_models.load_model(trained_models.find_model(model))
    predictor = Predictor(network, explain, window, overlap, size, probabilities)

    predictions: dict[str, dict[str, Any]] = {}
    with recorded(output / "predictions.json", predictions) as record:
        for path, result in tqdm(results.items(), unit="image"):
            try:
                predictions[str(path)] = predictor(path, result, truths.get(path))
            except ERRORS as error:
                predictions[str(path)] = {"error": str(error)}
                tqdm.write(f"error: {path}: {error}", file=sys.stderr)
            record()
    print_predictions(predictions)
    print(f"Results written to {output}")
    failed = [path for path, prediction in predictions.items() if "error" in prediction]
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(results)} images failed, see `predictions.json`. "
            f"Received: {failed[:10]}"
        )


@contextlib.contextmanager
def recorded(path: Path, predictions: Mapping[str, Any]) -> Iterator[Callable[[], None]]:
    """Context manager that writes the predictions at its end, also after an interruption.

    It yields a function that writes them if the last time was `WRITE_SECONDS` ago: after each of
    many images, the time for it would grow with the square of their number.
    """
    written = time.monotonic()

    def record():
        nonlocal written
        if time.monotonic() - written >= WRITE_SECONDS:
            run_folder.write_json(path, predictions)
            written = time.monotonic()

    try:
        yield record
    finally:
        run_folder.write_json(path, predictions)


class Predictor:
    """Segments image files, and writes masks and figures.

    Args:
        network: the model.
        explain: whether to write the codeword pages.
        window: see `SegmentationModel.segment`.
        overlap: see `SegmentationModel.segment`.
        size: see `SegmentationModel.segment`.
        probabilities: whether to write the probability of each class.

    Raises:
        ValueError: if the model has no codewords to explain, or for invalid windows or sizes.
    """

    def __init__(
        self,
        network: keras_encnet.SegmentationModel,
        explain: bool = False,
        window: int | None = None,
        overlap: int | None = None,
        size: int | Literal["native"] | None = None,
        probabilities: bool = False,
    ):
        checked_overlap(window, overlap)
        network.chosen_size(size)
        self.network, self.explain = network, explain
        self.window, self.overlap, self.size = window, overlap, size
        self.probabilities = probabilities
        tensors = {k: v for k, v in network.output.items() if k in ("segmentation", "presence")}
        if explain:
            tensors |= codewords.tensors(network)
        # Everything about an image comes from one call.
        self.outputs = CompiledOutputs(network, tensors)

    def __call__(self, path: Path, result: Path, truth: Path | None = None) -> dict[str, Any]:
        """Writes the results for an image, and returns its entry in `predictions.json`.

        Args:
            path: the image.
            result: path of its results without a suffix.
            truth: its true mask, shown on the codeword page.
        """
        network, image = self.network, read_image(path, self.network.channels)
        check_values(image, network.expected_images)
        if exif_orientation(path) != 1:
            tqdm.write(
                f"{path} has the EXIF orientation {exif_orientation(path)}, which is not applied: "
                "the mask is that of the pixels as stored.",
                file=sys.stderr,
            )
        prediction = self._predict(image, result)
        mask = prediction["classes"]
        save_mask(result_path(result, ".png"), mask, network.classes)
        save_overlay(result_path(result, "_overlay.png"), image, mask, network.class_names)
        if self.explain:
            page = result_path(result, "_codewords.png")
            shown = None if truth is None else read_mask(truth)
            codewords.save_page(page, as_rgb(image), prediction, network.class_names, shown)
        presence = sigmoid(prediction["presence"]) if "presence" in prediction else None
        return describe(mask, network.class_names, presence)

    def _predict(self, image, result):
        """Returns the outputs for an image, from a few rows at a time if it can be large."""
        size = self.network.network_size(image.shape[:2], self.size)
        how = self.window, self.overlap, size
        if not (self.probabilities or is_split(size, self.window)):
            return {name: x[0] for name, x in self.outputs(image[None], *how).items()}
        rows, outputs = self.outputs.rows(image, *how, self.probabilities)
        rows = with_progress(rows, len(image))
        if self.probabilities:
            shape = (*image.shape[:2], self.network.classes)
            rows = saved_rows(result_path(result, "_probabilities.npy"), rows, shape)
        classes = np.concatenate([*rows])
        return {"classes": classes, **{name: x[0] for name, x in outputs.items()}}


def with_progress(rows: Iterable[np.ndarray], height: int) -> Iterator[np.ndarray]:
    """Yields rows of an image and shows the progress."""
    with tqdm(total=height, unit="row", leave=False) as bar:
        for part in rows:
            yield part
            bar.update(len(part))


def saved_rows(
    path: Path, rows: Iterable[np.ndarray], shape: tuple[int, ...]
) -> Iterator[np.ndarray]:
    """Writes probabilities as float16 to a `.npy` file, and yields the class ids.

    Args:
        path: the file, which appears when it is complete.
        rows: consecutive rows, `(rows, width, classes)`.
        shape: `(height, width, classes)`.
    """
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in rows:
            file.write(part.astype("<f2").tobytes())
            yield part.argmax(-1).astype(dtype_of(shape[-1]))


def find_truths(results: Mapping[Path, Path], output: Path, folder: Path) -> dict[Path, Path]:
    """Returns the path of the true mask of each image, where its result is in `output`.

    Raises:
        FileNotFoundError: if one is missing.
    """
    truths = {
        path: folder / result_path(stem, ".png").relative_to(output)
        for path, stem in results.items()
    }
    missing = [str(path) for path in truths.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(truths)} true masks are missing. Received: {missing[:10]}"
        )
    return truths


def print_predictions(predictions: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints one line per image: the classes in it, with their share and presence."""
    for path, prediction in predictions.items():
        if "error" not in prediction:
            print(f"{path}: {sentence(prediction)}")


if __name__ == "__main__":
    cli.run(main)
