"""Table and plots of an ablation; the plots have the form of the paper's Figure 6."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.configs import SegmentationConfig
from training.figures.curves import save_sweeps
from training.research.ablation_rows import FULL, OTHER_HEADS
from training.research.experiments import (
    SCORES,
    markdown_table,
    option_value,
    read_results,
    write_text,
)

Results = Mapping[str, Sequence[Mapping[str, Any]]]

# Options that are swept, and their axis labels.
SWEPT = {
    "se_weight": "weight of the SE-loss",
    "num_codewords": "codewords (0: global average pooling)",
}
# Names of the rows of the table, without the sweeps; `se_weight_0` is Encoding without SE-loss.
TABLE = (*OTHER_HEADS, "se_weight_0", FULL.name, "deeper", "multi_scale")
PRESENCE = "presence: SE-loss (base rates), AP %"
PRESENCE_SCORES = ("se_loss", "base_rate_loss", "average_precision")


def write(output: Path, config: SegmentationConfig) -> None:
    """Writes the table, a plot of its rows and a plot of the sweeps from all results in a folder.

    Args:
        output: the folder.
        config: the recipe that the rows vary.
    """
    results = read_results(output)
    write_text(output / "table.md", table(results))
    networks = [name for name in sorted(results, key=_position) if _position(name)[0] == 0]
    rows = {results[name][0]["label"]: results[name] for name in networks}
    curves = {SWEPT[option]: points for option, points in sweeps(results, config).items()}
    for file, plotted in (("rows.png", {"": rows}), ("sweeps.png", curves)):
        scores = {
            option: {
                value: [[result["scores"][score] for result in found] for score in SCORES]
                for value, found in points.items()
            }
            for option, points in plotted.items()
            if len(points) > 1
        }
        if scores:
            save_sweeps(output / file, scores, list(SCORES.values()))


def table(results: Results) -> str:
    """Returns a Markdown table with one row per network: mean, minimum and maximum over seeds."""
    rows = []
    for name in sorted(results, key=_position):
        found = results[name]
        scores = [_spread([100 * result["scores"][score] for result in found]) for score in SCORES]
        minutes = sum(sum(result["seconds"].values()) for result in found) / len(found) / 60
        rows.append((found[0]["label"], *scores, _presence(found), len(found), f"{minutes:.1f}"))
    header = ("network", *SCORES.values(), PRESENCE, "seeds", "minutes per seed")
    return markdown_table(rows, header)


def _position(name):
    """Sort key of a row: the networks by their neck, then each sweep by its values."""
    network, _, neck = name.partition("-")
    if network in TABLE:
        return 0, neck, TABLE.index(network)
    option, _, value = name.rpartition("_")
    return 1, option, float(value)


def _presence(found):
    """Returns the scores of the presence branch, averaged over seeds, if it was trained."""
    scores = [result["scores"].get("presence") for result in found]
    if None in scores or found[0]["changes"].get("se_weight") == 0:
        return ""
    loss, base, precision = (
        sum(score[key] for score in scores) / len(scores) for key in PRESENCE_SCORES
    )
    return f"{loss:.3f} ({base:.3f}), {100 * precision:.1f}"


def _spread(values):
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.1f}"
    return f"{mean:.1f} ({min(values):.1f} to {max(values):.1f})"


def sweeps(
    results: Results, config: SegmentationConfig
) -> dict[str, dict[float, Sequence[Mapping[str, Any]]]]:
    """Returns the two curves of the paper's Figure 6.

    Args:
        results: results by row, as `training.research.experiments.read_results` returns them.
        config: the recipe, which has the values of the row without changes.

    Returns:
        For each swept option, the results by the value of the option, in ascending order.
    """
    curves: dict[str, dict[float, Sequence[Mapping[str, Any]]]] = {option: {} for option in SWEPT}
    for name, found in results.items():
        changes = found[0]["changes"]
        for option, points in curves.items():
            if name == FULL.name or list(changes) == [option]:
                points[changes.get(option, option_value(config, option))] = found
    return {option: dict(sorted(points.items())) for option, points in curves.items()}
