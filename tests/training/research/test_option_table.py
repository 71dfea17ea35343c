"""The documentation has the current tables that are generated from the code."""

import pytest

from training.research import model_zoo, option_table


@pytest.mark.parametrize("command", [option_table, model_zoo])
def test_table_in_the_documentation_is_current(command):
    page = command.PAGE.read_text()
    current = command.updated(page) == page
    assert current, f"run `python -m {command.__name__}`"


def test_zoo_has_one_row_per_published_model():
    rows = [line for line in model_zoo.PAGE.read_text().splitlines() if "://" in line]
    for entry in model_zoo.pretrained.available():
        (row,) = (row for row in rows if entry.url in row)
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[1:3] == [f"`{entry.network}`", f"`{entry.weights}`"]
        assert entry.mean_iou is None or str(entry.mean_iou) in cells
