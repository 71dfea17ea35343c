"""Trains a recipe and records everything in a run folder.

python -m training.train --help
python -m training.train RECIPE --help
python -m training.train RECIPE [--option value ...]
"""

from collections.abc import Sequence
from pathlib import Path

from training import cli
from training.configs import RECIPES
from training.run.fit import train
from training.run.strategies import lost_workers_named


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains a recipe and records everything in a run folder."""
    name, config = cli.choose(RECIPES, arguments, prog="python -m training.train")
    with cli.plain_errors(), lost_workers_named():
        train(config, Path(config.run_dir or f"runs/{name}"))


if __name__ == "__main__":
    main()
