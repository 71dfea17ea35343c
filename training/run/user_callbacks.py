"""Callbacks of the user, `--callback module:factory`."""

import importlib
import operator
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from training import cli
from training.configs.config import Config

# From the recipe and the run folder to a callback.
Factory = Callable[[Config, Path], keras.callbacks.Callback]


def find(names: Sequence[str]) -> list[Factory]:
    """Imports the factories of callbacks.

    Args:
        names: their modules and names, such as `"my_callbacks:track"`.

    Raises:
        ValueError: if there is no such module, or no such function in it.
    """
    return [_find(name) for name in names]


def create(config: Config, run_dir: Path) -> list[keras.callbacks.Callback]:
    """Creates the callbacks of a recipe.

    Raises:
        ValueError: as `find`, or if a factory raises an exception or returns something else.
    """
    factories = zip(config.callback, find(config.callback), strict=True)
    return [_created(name, factory, config, run_dir) for name, factory in factories]


def _find(name):
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ValueError(
            "`--callback` must be a module and a function in it, such as `my_callbacks:track` for "
            f"`track` in `my_callbacks.py`. Received: callback={name!r}"
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module of the user can raise any
        raise ValueError(
            f"The module of a callback cannot be imported: {_described(error)}. It must be a file "
            "in the current folder, or installed, and so must all that it imports. "
            f"Received: callback={name!r}"
        ) from error
    try:
        factory = operator.attrgetter(attribute)(module)
    except AttributeError:
        factory = None
    if not callable(factory):
        meant = cli.did_you_mean(attribute, dir(module))
        raise ValueError(
            f"`--callback` must name a function of the module {module_name}.{meant} "
            f"Received: callback={name!r}"
        )
    return factory


def _created(name, factory, config, run_dir):
    try:
        callback = factory(config, run_dir)
    except Exception as error:
        raise ValueError(
            f"A callback cannot be created: {_described(error)}. `--callback` must name a function "
            f"of the recipe and the path of the run folder. Received: callback={name!r}"
        ) from error
    if not isinstance(callback, keras.callbacks.Callback):
        raise ValueError(
            "The function that `--callback` names must return a `keras.callbacks.Callback`. "
            f"Received: callback={name!r}, which returned {callback!r}"
        )
    return callback


def _described(error):
    """Returns the message of an exception, and the line of the user's code that raised it."""
    own = [
        place
        for place in traceback.extract_tb(error.__traceback__)
        if place.filename not in (__file__, importlib.__file__)
        and not place.filename.startswith("<frozen importlib")
    ]
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{where}"
