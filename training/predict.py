"""Segments images: masks, overlays, and the classes the model believes present.

python -m training.predict MODEL IMAGE... --output DIR
python -m training.predict MODEL IMAGE... --output DIR --explain --truth FOLDER/labels
"""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

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
):
    """Segments images: masks, overlays, and the classes the model believes present.

    For `photo.jpg` it writes `photo.png` (pixels are class ids, with a
    palette), `photo_overlay.png` (with a legend), and an entry in
    `predictions.json`.

    Args:
        model: a run folder, whose best model is meant, or a `.keras` file.
        images: the files.
        output: folder of the results.
        explain: also write `photo_codewords.png`: where each codeword is, the
            gates, and which classes the model believes present.
        truth: folder of masks, `photo.png`, that the last page compares with.
    """
    check_apart(images, output, explain)
    for path in images:
        read_image(path)  # a file that can't be read stops us here, before any output
    if truth is not None and not explain:
        raise ValueError(f"`--truth` is of use with `--explain` only. Received: truth={truth}")
    truths = dict.fromkeys(images)
    if truth is not None:
        truths = {path: read_mask(truth / f"{path.stem}.png") for path in images}
    network = trained_models.load_model(trained_models.find_model(model))
    if explain:
        codewords.inspect(network, read_image(images[0]))  # likewise a model that has none
    answers = {}
    for path in tqdm(images, unit="image"):
        image = read_image(path)
        mask = network.segment(image)
        save_mask(output / f"{path.stem}.png", mask, network.classes)
        save_overlay(output / f"{path.stem}_overlay.png", image, mask, network.class_names)
        if explain:
            page = output / f"{path.stem}_codewords.png"
            codewords.save_page(page, network, image, mask, truths[path])
        answers[str(path)] = describe(network, image, mask)
    run_folder.write_json(output / "predictions.json", answers)
    for path, answer in answers.items():
        shares = ", ".join(f"{name} {share:.0%}" for name, share in answer["shares"].items())
        print(f"{path}: {shares}")
        if "present" in answer:
            print(f"  believed present: {', '.join(answer['present']) or 'none'}")
    print(f"written to {output}")


def check_apart(images, output, explain):
    """Raises ValueError if a result would be written over another, or over an image."""
    kinds = ("", "_overlay", "_codewords") if explain else ("", "_overlay")
    places = [output / f"{path.stem}{kind}.png" for path in images for kind in kinds]
    twice = sorted({place.name for place in places if places.count(place) > 1})
    if twice:
        raise ValueError(f"Images would overwrite each other's results. Received: {twice[:10]}")
    over = sorted({str(path) for path in images if path.resolve() in {p.resolve() for p in places}})
    if over:
        raise ValueError(
            "These images would be overwritten by results: choose another `--output`. "
            f"Received: {over[:10]}"
        )


def read_image(path):
    """Reads an image as uint8 RGB."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"Can't read this image: {error}. Received: {str(path)!r}") from error


def describe(network, image, mask):
    """Returns the share of each class in the mask and, where the network says it, the presence."""
    counts = np.bincount(mask.ravel(), minlength=network.classes)
    order = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    answer = {"shares": {network.class_names[i]: counts[i] / mask.size for i in order}}
    if "presence" in network.output:
        probabilities = codewords.presence(network, image)
        answer["present"] = {
            network.class_names[i]: float(probabilities[i])
            for i in np.argsort(-probabilities)
            if probabilities[i] > 0.5
        }
    return answer


if __name__ == "__main__":
    cli.run(main)
