"""Trains a recipe and records everything in a run folder.

python -m training.train --help
python -m training.train RECIPE --help
python -m training.train RECIPE [--option value ...]
"""

from collections.abc import Sequence
from pathlib import Path

from keras_encnet.utils.files import read_json
from training import cli
from training.configs import RECIPES
from training.run.fit import train
from training.run.progress import conclusion
from training.run.strategies import is_chief, lost_workers_named
from training.tasks.next_commands import next_commands


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains a recipe and records everything in a run folder."""
    name, config = cli.choose(RECIPES, arguments, prog="python -m training.train")
    run_dir = Path(config.run_dir or f"runs/{name}")
    with cli.plain_errors(), lost_workers_named():
        model, _ = train(config, run_dir)
        if is_chief(model.distribute_strategy):
            metrics = read_json(run_dir / "metrics.json")
            print(conclusion(config, run_dir, metrics, next_commands(config, run_dir)))


if __name__ == "__main__":
    main()
