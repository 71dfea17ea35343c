"""The command lines of the scripts."""

import contextlib
import sys
from typing import Annotated, Union

import tyro


def choose(recipes, arguments=None, prog=None):
    """Reads the name of a recipe and its options.

    Args:
        recipes: dict from names to data classes.
        arguments: list of strings, the command line's by default.
        prog: the command, as the help names it.

    Returns:
        The name, and an instance of its class.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    choices = [
        Annotated[recipe, tyro.conf.subcommand(name, prefix_name=False)]
        for name, recipe in recipes.items()
    ]
    config = tyro.cli(Union[tuple(choices)], prog=prog, args=arguments)  # noqa: UP007
    name = next(name for name, recipe in recipes.items() if type(config) is recipe)
    return name, config


def run(function):
    """Calls `function` with the arguments of the command line, as its signature says."""
    with plain_errors():
        tyro.cli(function, config=(tyro.conf.PositionalRequiredArgs,))


@contextlib.contextmanager
def plain_errors():
    """Ends the script with a sentence, not a traceback, where the user's input is at fault."""
    try:
        yield
    except (ValueError, OSError, FloatingPointError) as error:
        raise SystemExit(f"error: {error}") from error
