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
    if arguments and arguments[0] in recipes:
        name = arguments[0]
        return name, tyro.cli(recipes[name], prog=prog and f"{prog} {name}", args=arguments[1:])
    # Lists the recipes, a sentence each, or tells what is wrong with the name, and ends here.
    sentences = {name: recipe.__doc__.partition("\n")[0] for name, recipe in recipes.items()}
    choices = [
        Annotated[
            recipe,
            tyro.conf.subcommand(name, prefix_name=False, description=sentences[name]),
        ]
        for name, recipe in recipes.items()
    ]
    tyro.cli(Union[tuple(choices)], prog=prog, args=arguments)  # noqa: UP007
    raise SystemExit(2)


def run(function):
    """Calls `function` with the arguments of the command line, as its signature says."""
    with plain_errors():
        tyro.cli(function, config=(tyro.conf.PositionalRequiredArgs,))


def refuse(options, where):
    """Raises ValueError if any of these options isn't None, as it would do nothing `where`."""
    given = {key: value for key, value in options.items() if value is not None}
    if given:
        names = " and ".join(f"`--{key.replace('_', '-')}`" for key in given)
        received = ", ".join(f"{key}={value!r}" for key, value in given.items())
        raise ValueError(f"{names} would do nothing {where}. Received: {received}")


@contextlib.contextmanager
def plain_errors():
    """Ends the script with a sentence, not a traceback, where the user's input is at fault."""
    try:
        yield
    except (ValueError, OSError, FloatingPointError) as error:
        raise SystemExit(f"error: {error}") from error
