"""Calibration of the presence branches at the end of a run."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import keras_encnet
from keras_encnet.calibration import calibrate_presence, presence_classifiers
from keras_encnet.utils import keras_files
from keras_encnet.utils.files import atomic_file, read_json, write_json
from training.configs.segmentation import PRESENCE_CALIBRATION
from training.input import segmentation_batches
from training.input.folder import Split

# Number of training images, at most, from which the biases are estimated.
TRAINING_IMAGES = 200


def calibrate_run(
    run_dir: Path,
    model: keras_encnet.SegmentationModel,
    train_split: Split,
    val_split: Split,
    ignore_class: Sequence[int],
) -> None:
    """Calibrates the saved models of a run, and its model in memory, on validation images.

    The biases depend on whole training images as well, since validation images may be few, or all
    show the same classes. `metrics.json` records the result last: an interrupted call is repeated,
    and a repeated call changes nothing. Without images that the network has not seen, the models
    stay as they are.

    Args:
        run_dir: the run folder, with `last.keras` and `best.keras`.
        model: the trained model, that of `last.keras`.
        train_split: the training split.
        val_split: the validation split.
        ignore_class: the ignored labels.
    """
    metrics = read_json(run_dir / "metrics.json", {})
    if PRESENCE_CALIBRATION in metrics:
        return
    seen = len(set(val_split.stems) & set(train_split.stems))
    if seen:
        reason = f"{seen} of the {len(val_split)} validation images are training images"
        print(f"Presence is not calibrated: {reason}")
        metrics[PRESENCE_CALIBRATION] = {"skipped": reason}
    else:
        splits = (val_split, _part(train_split))
        network, reports = _calibrate_file(run_dir / "last.keras", splits, ignore_class)
        _copy_classifiers(network, model)
        record = {"last": reports}
        if metrics.get("epoch") == len(read_json(run_dir / "history.json")["loss"]):
            with atomic_file(run_dir / "best.keras") as temporary:
                shutil.copyfile(run_dir / "last.keras", temporary)
            record["best"] = reports
        elif (run_dir / "best.keras").exists():
            _, record["best"] = _calibrate_file(run_dir / "best.keras", splits, ignore_class)
        metrics[PRESENCE_CALIBRATION] = record
    write_json(run_dir / "metrics.json", metrics)


def _part(split):
    """Returns the split, or `TRAINING_IMAGES` of its images, spread evenly."""
    kept = np.linspace(0, len(split) - 1, min(len(split), TRAINING_IMAGES)).round().astype(int)
    return split.without(set(split.stems) - {split.stems[i] for i in kept})


def _calibrate_file(path, splits, ignore_class) -> tuple[Any, dict[str, Any]]:
    """Calibrates a saved model; returns it and what `calibrate_presence` returns."""
    network = keras_files.load_model(path)
    unseen, seen = (
        segmentation_batches.whole_images(split, ignore_class=ignore_class) for split in splits
    )
    reports = calibrate_presence(network, unseen, ignore_class, seen)
    with atomic_file(path) as temporary:
        network.save(temporary)
    for name, report in reports.items():
        print(f"{path.name}: {_sentence(name, report)}")
        if math.isnan(report["calibrated_se_loss"]):  # which JSON cannot represent
            report["calibrated_se_loss"] = None
    return network, reports


def _sentence(name, report):
    """Returns what `calibrate_presence` reports about a branch as a sentence."""
    images, loss, calibrated = (report[k] for k in ("images", "se_loss", "calibrated_se_loss"))
    if math.isnan(calibrated):
        return f"{name!r} is not calibrated, since one validation image shows no improvement."
    outcome = "calibrated" if report["calibrated"] else "not calibrated, which would give"
    return (
        f"on {images} validation images, the SE-loss of {name!r} is {loss:.3f}; {outcome} "
        f"{calibrated:.3f} (cross-validated)"
    )


def _copy_classifiers(source, target):
    for name, classifier in presence_classifiers(target).items():
        values = source.get_layer(name).get_weights()
        for weight, value in zip(classifier.weights, values, strict=True):
            weight.assign(value)
