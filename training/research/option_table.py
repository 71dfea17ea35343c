"""Updates the list of variants and the table of structural options in docs/recipes.md.

python -m training.research.option_table
"""

from pathlib import Path

import tabulate

from keras_encnet.models.structure import OPTIONS, VARIANTS, Option
from training import cli
from training.research.experiments import with_generated

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"


def main() -> None:
    """Updates the list of variants and the table of structural options in docs/recipes.md."""
    PAGE.write_text(updated(PAGE.read_text()))


def updated(page: str) -> str:
    """Returns the text of the page with the current list and table between its markers."""
    variants = "\n".join(f"- `{variant}`: {text}" for variant, text in VARIANTS.items())
    return with_generated(page, "option table", f"{variants}\n\n{table()}")


def table() -> str:
    """Returns the structural options as a Markdown table, with their values in each variant."""
    header = ("option", "part", *(f"`{variant}`" for variant in VARIANTS), "meaning")
    return tabulate.tabulate([_row(option) for option in OPTIONS], header, tablefmt="pipe")


def _row(option: Option) -> tuple[str, ...]:
    values = (str(option.values[variant]) for variant in VARIANTS)
    meaning = option.help
    if isinstance(option.kind, tuple):
        meaning += f" One of {', '.join(map(str, option.kind))}."
    return f"`{option.name}`", ", ".join(option.parts), *values, meaning


if __name__ == "__main__":
    cli.run(main)
