"""The results of an ablation as a table, and as a plot in the shape of the paper's Figure 6.

`training.research.ablate` writes a file a result, named by the row and the seed.
"""

import tabulate

from keras_encnet.utils.files import atomic_file
from training.figures.curves import save_sweeps
from training.run import run_folder

SCORES = {"pixel_accuracy": "pixAcc %", "mean_iou": "mIoU %"}
# The options that are swept, and what the plot calls them.
SWEPT = {
    "se_weight": "weight of the SE-loss",
    "num_codewords": "codewords (0: global average pooling)",
}
# The row of EncNet as the recipe has it.
FULL = "se_loss"
# The names of the table's rows, without the sweeps; `se_weight_0` is the encoding alone.
TABLE = ("fcn", "se_weight_0", FULL, "deeper", "multi_scale")


def write(output, config):
    """Writes the table, a plot of its rows and one of the sweeps, of all results in a folder."""
    results = collect(output)
    with atomic_file(output / "table.md") as temporary:
        temporary.write_text(table(results))
    rows = {results[name][0]["label"]: results[name] for name in TABLE if name in results}
    curves = {SWEPT[field]: points for field, points in sweeps(results, config).items()}
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


def collect(output):
    """Returns all results in a folder: a dict from names of rows to lists, one result a seed."""
    results = {}
    for path in paths(output):
        results.setdefault(path.stem.rsplit("-seed", 1)[0], []).append(run_folder.read_json(path))
    return results


def paths(output):
    """Returns the paths of all results in a folder."""
    return sorted(output.glob("*-seed*.json"))


def table(results):
    """Returns the results as a Markdown table, a row a network: mean, least and most over seeds."""
    lines = []
    for name in sorted(results, key=_place):
        found = results[name]
        scores = [_spread(found, score) for score in SCORES]
        minutes = sum(sum(result["seconds"].values()) for result in found) / len(found) / 60
        lines.append((found[0]["label"], *scores, len(found), f"{minutes:.1f}"))
    header = ("network", *SCORES.values(), "seeds", "minutes a seed")
    return tabulate.tabulate(lines, header, tablefmt="github", disable_numparse=True) + "\n"


def _place(name):
    """Where a row is in the table: those of the paper's first, then each sweep by its values."""
    if name in TABLE:
        return 0, TABLE.index(name), 0
    field, _, value = name.rpartition("_")
    return 1, field, float(value)


def _spread(found, score):
    values = [100 * result["scores"][score] for result in found]
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.1f}"
    return f"{mean:.1f} ({min(values):.1f} to {max(values):.1f})"


def sweeps(results, config):
    """Returns the two curves of the paper's Figure 6.

    Args:
        results: as `collect` returns them.
        config: the recipe, which has the values of the row that changes none.

    Returns:
        Dict from fields to the points of their sweep, a dict from the value to
        the results at it.
    """
    curves = {field: {} for field in SWEPT}
    for name, found in results.items():
        changes = found[0]["changes"]
        for field, points in curves.items():
            if name == FULL or list(changes) == [field]:
                points[changes.get(field, getattr(config, field))] = found
    return {field: dict(sorted(points.items())) for field, points in curves.items()}
