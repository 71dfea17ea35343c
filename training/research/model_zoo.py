"""Updates the tables of published weights in docs/pretrained.md.

python -m training.research.model_zoo
"""

import re
from collections.abc import Sequence
from pathlib import Path

from keras_encnet.applications import pretrained
from keras_encnet.applications.published import Published
from training import cli
from training.research.experiments import markdown_table, with_generated

PAGE = Path(__file__).parents[2] / "docs" / "pretrained.md"
# The methods by the prefixes of their builders.
METHODS = {"FCN": "FCN", "PSPNet": "PSPNet", "DeepLabv3": "DeepLabV3_", "EncNet": "EncNet"}
HEADER = ("network", "weights", "backbone", "mIoU %", "multi-scale mIoU %", "evaluation", "file")


def main() -> None:
    """Updates the tables of published weights in docs/pretrained.md."""
    PAGE.write_text(updated(PAGE.read_text()))


def updated(page: str) -> str:
    """Returns the text of the page with the current tables between its markers."""
    return with_generated(page, "model zoo", "\n\n".join(_sections()))


def _sections():
    """Yields one section per method; those with a neck are the method FastFCN."""
    entries = pretrained.available()
    for method, prefix in METHODS.items():
        own = [e for e in entries if e.network.startswith(prefix) and "neck" not in e.structure]
        yield f"### {method}\n\n{table(own)}"
    with_neck = [entry for entry in entries if "neck" in entry.structure]
    if with_neck:
        yield f"### FastFCN\n\n{table(with_neck)}"


def table(entries: Sequence[Published]) -> str:
    """Returns a Markdown table of published models."""
    return markdown_table([_row(entry) for entry in entries], HEADER)


def _row(entry):
    single, multiple = entry.mean_iou, entry.mean_iou_multi_scale
    if entry.protocol["protocol"] == "official":
        single, multiple = None, entry.mean_iou
    return (
        f"`{entry.network}`",
        f"`{entry.weights}`",
        _backbone(entry),
        single or "",
        multiple or "",
        _evaluation(entry),
        f"[{entry.digest[:8]}]({entry.url})",
    )


def _backbone(entry):
    structure = entry.structure
    parts = [f"ResNet-{re.search('[0-9]+$', entry.network)[0]}"]
    if structure.get("stem") == "plain":
        parts.append("plain stem")
    if "output_stride" in structure:
        parts.append(f"output stride {structure['output_stride']}")
    if "neck" in structure:
        parts.append("JPU")
    return ", ".join(parts)


def _evaluation(entry):
    protocol = entry.protocol
    if "crop_size" not in protocol:
        return "whole image"
    return f"windows of {protocol['crop_size']}"


if __name__ == "__main__":
    cli.run(main)
