"""Trains mmsegmentation's EncNet on given batches, for `benchmarks.training_fidelity`.

    python -m venv PEER && PEER/bin/pip install torch==2.13.0
    PEER/bin/pip install mmengine mmcv-lite==2.1.0 mmsegmentation==1.2.2 ftfy regex 'setuptools<80'
    PEER/bin/python benchmarks/peers/mmsegmentation_training.py FOLDER

It reads `batches.npz` (`images`, uint8, and `masks`, uint8) from the folder and writes
`initial.npz`, the tensors of the state dict before the first step; `peer.json`, the losses of each
step; and `final.npz`, the tensors after the last step. With `--perturbation`, initial weights are
multiplied by 1 plus normal noise of this standard deviation, after they were written.
"""

import argparse
import json
import sys
import types
from pathlib import Path

import numpy as np


def stand_in(name):
    """Creates an empty module: mmcv-lite lacks compiled operators, which EncNet does not use."""
    module = types.ModuleType(name)
    module.__path__ = []
    module.__getattr__ = lambda key: None if key.startswith("__") else type(key, (), {})
    sys.modules[name] = module


for missing in ("mmcv.ops", "mmcv.ops.point_sample", "mmcv.ops.carafe", "mmcv._ext"):
    stand_in(missing)

import mmseg  # noqa: E402
import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.structures import PixelData  # noqa: E402
from mmseg.registry import MODELS  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402
from mmseg.utils import register_all_modules  # noqa: E402

CONFIG = ".mim/configs/encnet/encnet_r50-d8_4xb4-80k_ade20k-512x512.py"


def build(classes):
    """Returns the network without dropout, averaging its losses over labeled pixels only."""
    register_all_modules()
    config = Config.fromfile(Path(mmseg.__file__).parent / CONFIG).model
    config.pretrained = None
    config.backbone.norm_cfg = {"type": "BN"}
    for head in (config.decode_head, config.auxiliary_head):
        head.update(norm_cfg={"type": "BN"}, num_classes=classes, dropout_ratio=0)
        head.loss_decode.avg_non_ignore = True
    return MODELS.build(config)


def samples_of(masks):
    """Returns masks as data samples."""
    samples = []
    for mask in masks:
        sample = SegDataSample()
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(mask.astype("int64"))[None])
        sample.set_metainfo({"img_shape": mask.shape})
        samples.append(sample)
    return samples


def save(path, network):
    """Writes the tensors of a state dict."""
    np.savez(path, **{name: tensor.numpy() for name, tensor in network.state_dict().items()})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--perturbation", type=float, default=0.0)
    arguments = parser.parse_args()
    batches = np.load(arguments.folder / "batches.npz")
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]

    torch.manual_seed(0)
    network = build(arguments.classes).train()
    save(arguments.folder / "initial.npz", network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 1 + arguments.perturbation * torch.randn_like(parameter)
    optimizer = torch.optim.SGD(
        network.parameters(),
        arguments.learning_rate,
        momentum=0.9,
        weight_decay=arguments.weight_decay,
    )
    steps = []
    for images, masks in zip(batches["images"], batches["masks"], strict=True):
        pixels = torch.from_numpy(images.astype("float32").transpose(0, 3, 1, 2))
        losses = network.loss((pixels - mean) / std, samples_of(masks))
        losses = {key: value for key, value in losses.items() if "loss" in key}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        steps.append({key: value.item() for key, value in losses.items()})
    (arguments.folder / "peer.json").write_text(json.dumps({"steps": steps}))
    save(arguments.folder / "final.npz", network)


if __name__ == "__main__":
    main()
