"""Segment images: masks, overlays, and the classes that are predicted to be present.

python -m training.predict MODEL IMAGE... --output FOLDER
python -m training.predict MODEL IMAGE... --output FOLDER --explain --truth FOLDER/labels
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

import keras_encnet
from training import cli
from training.figures import codewords
from training.figures.overlays import save_mask, save_overlay
from training.input.image_files import read_mask
from training.run import run_folder, trained_models


def main(
    model: Path,
    images: tuple[Path, ...],
    output: Path = Path("predictions"),
    explain: bool = False,
    truth: Path | None = None,
) -> None:
    """Segment images: masks, overlays, and the classes that are predicted to be present.

    For `photo.jpg`, this writes `photo.png`, an indexed image whose pixels are class ids,
    `photo_overlay.png` with a legend, and an entry in `predictions.json`.

    Args:
        model: Run folder (its best model), or `.keras` file.
        images: Image files.
        output: Folder of the results.
        explain: Also write `photo_codewords.png`: assignment to codewords, gates and presence.
        truth: Folder of ground truth masks such as `photo.png`, shown by `--explain`.
    """
    # Every invalid input raises here, before any output.
    if truth is not None and not explain:
        raise ValueError(f"`--truth` requires `--explain`. Received: truth={str(truth)!r}")
    check_outputs(images, output, explain)
    for path in images:
        read_image(path)
    truths = {} if truth is None else {p: read_mask(truth / f"{p.stem}.png") for p in images}
    network = trained_models.load_model(trained_models.find_model(model))
    if explain:
        codewords.inspect(network, read_image(images[0]))

    predictions = {}
    for path in tqdm(images, unit="image"):
        image = read_image(path)
        mask = network.segment(image)
        save_mask(output / f"{path.stem}.png", mask, network.classes)
        save_overlay(output / f"{path.stem}_overlay.png", image, mask, network.class_names)
        if explain:
            page = output / f"{path.stem}_codewords.png"
            codewords.save_page(page, network, image, mask, truths.get(path))
        predictions[str(path)] = describe(network, image, mask)
    run_folder.write_json(output / "predictions.json", predictions)
    print_predictions(predictions)
    print(f"Results written to {output}")


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


def read_image(path: Path) -> np.ndarray:
    """Reads an image as uint8 RGB `(height, width, 3)`."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"The image cannot be read: {error}. Received: {str(path)!r}") from error


def describe(
    network: keras_encnet.SegmentationModel, image: np.ndarray, mask: np.ndarray
) -> dict[str, dict[str, float]]:
    """Describes the prediction for an image.

    Returns:
        `shares`, the fraction of each class in the mask; and, if the network has this output,
        `present`, the probability of presence of each class where it exceeds one half.
    """
    counts = np.bincount(mask.ravel(), minlength=network.classes)
    order = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    prediction = {"shares": {network.class_names[i]: counts[i] / mask.size for i in order}}
    if "presence" in network.output:
        probabilities = codewords.presence(network, image)
        prediction["present"] = {
            network.class_names[i]: float(probabilities[i])
            for i in np.argsort(-probabilities)
            if probabilities[i] > 0.5
        }
    return prediction


def print_predictions(predictions: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints the classes in each image."""
    for path, prediction in predictions.items():
        shares = ", ".join(f"{name} {share:.0%}" for name, share in prediction["shares"].items())
        print(f"{path}: {shares}")
        if "present" in prediction:
            print(f"  predicted presence: {', '.join(prediction['present']) or 'none'}")


if __name__ == "__main__":
    cli.run(main)
