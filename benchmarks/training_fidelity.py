"""Agreement of training with mmsegmentation: the same weights, batches and optimizer.

    python -m benchmarks.training_fidelity FOLDER --peer PEER/bin/python

mmsegmentation's EncNet-R50-D8 is initialized with random weights, which `from_pytorch` converts.
Both networks then take SGD steps on the same crops of the training images of a folder data set, in
float32 and without dropout. The losses of all steps are compared, and so are the weights after the
last one. Rounding differs between the implementations, and training amplifies it. How much is
measured by a second training of the peer from weights that were changed by `--perturbation`, about
the rounding error of float32: a divergence of this size is not due to a difference in what is
computed.

`benchmarks/peers/mmsegmentation_training.py` states how to install the environment of the peer.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
import tabulate
import tyro

import keras_encnet
from benchmarks.measuring import output_of
from keras_encnet.utils.files import read_json, write_json
from training.datasets.segmentation_data import open_split
from training.input.image_files import read_image, read_mask
from training.run.run_folder import environment

PEER = Path(__file__).parent / "peers" / "mmsegmentation_training.py"
# The weights that both networks give to the SE-loss and to the loss of the auxiliary head.
SE_WEIGHT, AUXILIARY_WEIGHT = 0.2, 0.4
# The names of the losses in the peer, which multiplies them by their weights, and here.
LOSSES = {
    "segmentation": ("decode.loss_ce", "segmentation_loss", 1.0),
    "presence": ("decode.loss_se", "presence_loss", SE_WEIGHT),
    "auxiliary": ("aux.loss_ce", "segmentation_stage3_loss", AUXILIARY_WEIGHT),
}


def main(
    data: tyro.conf.Positional[Path],
    peer: str,
    output: Path | None = None,
    steps: int = 50,
    batch: int = 4,
    size: int = 128,
    learning_rate: float = 0.001,
    weight_decay: float = 5e-4,
    perturbation: float = 1e-7,
    seed: int = 0,
):
    """Compares the losses of two implementations of EncNet50 in training.

    Args:
        data: Folder data set.
        peer: Python interpreter of the environment in which mmsegmentation is installed.
        output: JSON file for the losses of all steps.
        steps: Number of steps.
        batch: Crops per step.
        size: Side of the crops.
        learning_rate: Learning rate, which stays constant.
        weight_decay: Factor of the L2 decay.
        perturbation: Relative change of the initial weights in the second training of the peer.
        seed: Seed of the crops.
    """
    split = open_split(data, "train")
    images, masks = crops(split, steps, batch, size, np.random.default_rng(seed))
    options = {"--learning-rate": learning_rate, "--weight-decay": weight_decay}
    options["--classes"] = len(split.class_names)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "batches.npz"), images=images, masks=masks)
        losses = {"changed": train_peer(peer, folder, {**options, "--perturbation": perturbation})}
        losses["peer"] = train_peer(peer, folder, options)
        model = keras_encnet.from_pytorch(np.load(Path(folder, "initial.npz")))
        losses["keras_encnet"] = train(model, images, masks, learning_rate, weight_decay)
        final = keras_encnet.from_pytorch(np.load(Path(folder, "final.npz")))
    differences = weight_differences(model, final)
    print(table(losses))
    print(f"Relative difference of weights after {steps} steps: {differences}")
    if output is not None:
        setup = {"steps": steps, "batch": batch, "size": size, "perturbation": perturbation}
        record = {**setup, "losses": losses, "weights": differences, "environment": environment()}
        write_json(output, record)


def crops(split, steps, batch, size, rng):
    """Returns random crops `(steps, batch, size, size, 3)` and their masks, as uint8.

    Each has labeled pixels: the peer counts other images in the SE-loss, as images without classes.
    """
    images = np.empty((steps, batch, size, size, 3), "uint8")
    masks = np.full((steps, batch, size, size), 255, "uint8")
    for index in np.ndindex(steps, batch):
        while (masks[index] == 255).all():
            number = rng.integers(len(split.stems))
            image = read_image(split.image_paths[number])
            mask = read_mask(split.mask_paths[number], split.label_map)
            y, x = (rng.integers(side - size + 1) for side in mask.shape)
            images[index] = image[y : y + size, x : x + size]
            masks[index] = mask[y : y + size, x : x + size]
    return images, masks


def train_peer(python, folder, options):
    """Trains the peer in its own environment; returns its unweighted losses per step."""
    arguments = [str(word) for option in options.items() for word in option]
    output_of([python, PEER, folder, *arguments])
    return [
        {name: step[key] / weight for name, (key, _, weight) in LOSSES.items()}
        for step in read_json(Path(folder, "peer.json"))["steps"]
    ]


def train(model, images, masks, learning_rate, weight_decay):
    """Trains a model; returns its unweighted losses per step."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model.compile(
        keras_encnet.optimizers.SGD(learning_rate, l2=weight_decay),
        **keras_encnet.objectives(model, se_weight=SE_WEIGHT, auxiliary_weight=AUXILIARY_WEIGHT),
    )
    steps = []
    for image, mask in zip(images, masks, strict=True):
        model.reset_metrics()
        printed = model.train_on_batch(image, mask.astype("int32"), return_dict=True)
        steps.append({name: float(printed[key]) for name, (_, key, _) in LOSSES.items()})
    return steps


def weight_differences(model, other):
    """Returns the median and the largest relative difference of the weights of two models."""
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    relative = [
        float(np.linalg.norm(weight - other) / np.linalg.norm(other)) for weight, other in pairs
    ]
    return {"median": float(np.median(relative)), "maximum": max(relative)}


def table(losses):
    """Returns a table of the losses and of their relative differences, some steps per row."""
    steps = len(losses["peer"])
    rows = []
    for step in sorted({0, 1, 2, 4, 9, 19, 29, 39, steps - 1} & set(range(steps))):
        row = [step + 1]
        for name in LOSSES:
            peer = losses["peer"][step][name]
            differences = (
                abs(losses[key][step][name] / peer - 1) for key in ("keras_encnet", "changed")
            )
            row += [peer, *differences]
        rows.append(row)
    columns = (f"{name}: {part}" for name in LOSSES for part in ("peer", "difference", "changed"))
    return tabulate.tabulate(rows, ("step", *columns), tablefmt="github", floatfmt=".2e")


if __name__ == "__main__":
    tyro.cli(main)
