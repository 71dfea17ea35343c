"""The documentation has the current table of structural options."""

from training.research import option_table


def test_table_in_the_documentation_is_current():
    page = option_table.PAGE.read_text()
    current = option_table.updated(page) == page
    assert current, "run `python -m training.research.option_table`"
