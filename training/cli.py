"""Command lines of the scripts."""

import contextlib
import dataclasses
import difflib
import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union

import tyro

from keras_encnet.utils.packages import MissingPackageError

Recipe = TypeVar("Recipe")


def choose(
    recipes: Mapping[str, type[Recipe]],
    arguments: Sequence[str] | None = None,
    prog: str | None = None,
) -> tuple[str, Recipe]:
    """Parses the name of a recipe and its options.

    Args:
        recipes: data classes by name.
        arguments: list of strings, by default those of the command line.
        prog: the command, for its help.

    Returns:
        The name, and an instance of its class.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] in recipes:
        name, *rest = arguments
        return name, parse(recipes[name], rest, prog and f"{prog} {name}")
    if not arguments or not _for_tyro(arguments[0]):
        _exit(_no_recipe(arguments, recipes))
    # Subcommands of tyro only list the recipes. They are not used to parse options: each would have
    # the same description in the list as in its own help, and for a misspelled option they would
    # suggest those of other recipes.
    choices = [
        Annotated[recipe, tyro.conf.subcommand(name, prefix_name=False, description=_title(recipe))]
        for name, recipe in recipes.items()
    ]
    subcommands: Any = Union[tuple(choices)]  # noqa: UP007
    tyro.cli(subcommands, prog=prog, args=arguments)
    raise SystemExit(2)


def _no_recipe(arguments, recipes):
    """Returns a message about arguments that do not begin with a recipe."""
    name = arguments[0] if arguments else ""
    if name and not name.startswith("-"):
        meant = did_you_mean(name.lower(), recipes)
        return f"No such recipe.{meant} `--help` lists all recipes. Received: recipe={name!r}"
    found = [argument for argument in arguments if argument in recipes]
    recipe = f"{found[0]}, " if found else ""
    received = repr(name) if name else "no arguments"
    return f"First name a recipe, {recipe}then options; `--help` lists them. Received: {received}"


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Returns a question that names the most similar of some words, empty if none is similar.

    >>> did_you_mean("--epocs", ["--epochs", "--batch-size"])
    ' Did you mean --epochs?'
    """
    similar = difflib.get_close_matches(word, list(words), n=3)
    return f" Did you mean {' or '.join(similar)}?" if similar else ""


def _exit(message):
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def _for_tyro(argument):
    return argument in ("-h", "--help") or argument.startswith("--tyro-")


def parse(recipe: Any, arguments: Sequence[str], prog: str | None = None) -> Any:
    """Parses the options of a recipe; its help groups them by the class that declares them."""
    _check_options(recipe, arguments)
    defaults = {field.name: field.default for field in dataclasses.fields(recipe)}
    groups = [
        (group.__name__.lower(), _with_defaults(group, names, defaults))
        for group, names in _groups(recipe).items()
    ]
    grouped: Any = dataclasses.make_dataclass(
        recipe.__name__, groups, namespace={"__doc__": inspect.getdoc(recipe)}
    )
    parsed = tyro.cli(grouped, prog=prog, args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    return recipe(
        **{
            name: getattr(getattr(parsed, group.__name__.lower()), name)
            for group, names in _groups(recipe).items()
            for name in names
        }
    )


def _check_options(recipe, arguments):
    """Exits if an option is not one of the recipe. tyro reports other problems before that one."""
    fields = {field.name.replace("_", "-"): field for field in dataclasses.fields(recipe)}
    known = {f"--{name}" for name in fields}
    known |= {f"--no-{name}" for name, field in fields.items() if field.type is bool}
    for option in (argument.partition("=")[0] for argument in arguments):
        is_option = option.startswith("--") and not _for_tyro(option)
        if is_option and option.replace("_", "-") not in known:
            _exit(
                f"No such option of this recipe.{did_you_mean(option, known)} `--help` lists all "
                f"options. Received: {option!r}"
            )


def _title(recipe: type) -> str:
    return (recipe.__doc__ or "").partition("\n")[0]


def declarations(recipe: type) -> dict[str, Any]:
    """Returns the types of the fields of a data class, as its most basic class declares them."""
    return {
        name: inspect.get_annotations(group)[name]
        for group, names in _groups(recipe).items()
        for name in names
    }


def _groups(recipe):
    """Returns the names of the fields by the most basic class that declares them."""
    groups, seen = {}, set()
    for base in reversed(recipe.__mro__):
        names = [name for name in inspect.get_annotations(base) if name not in seen]
        seen.update(names)
        if names and dataclasses.is_dataclass(base):
            groups[base] = names
    return {base: groups[base] for base in recipe.__mro__ if base in groups}


def _with_defaults(group, names, defaults):
    """Returns the data class with other defaults, of which tyro finds the documentation."""
    types = inspect.get_annotations(group)
    return dataclasses.make_dataclass(
        group.__name__,
        [(name, types[name], dataclasses.field(default=defaults[name])) for name in names],
        bases=(group,),
        namespace={"__doc__": group.__doc__},
        frozen=True,
        kw_only=True,
    )


def run(function: Callable) -> None:
    """Calls the main function of a command with the arguments that its signature declares."""
    spec = sys.modules[function.__module__].__spec__
    prog = None if spec is None else f"python -m {spec.name}"
    with plain_errors():
        tyro.cli(function, prog=prog, config=(tyro.conf.PositionalRequiredArgs,))


def refuse(options: Mapping[str, Any], where: str) -> None:
    """Raises ValueError if any of these options is not None, as it has no effect `where`."""
    given = {key: value for key, value in options.items() if value is not None}
    if given:
        names = " and ".join(f"`--{key.replace('_', '-')}`" for key in given)
        received = ", ".join(f"{key}={value!r}" for key, value in given.items())
        have = "has" if len(given) == 1 else "have"
        raise ValueError(f"{names} {have} no effect {where}. Received: {received}")


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Exits with a message instead of a traceback.

    The exit status is 1 if the input of the user is invalid or a package is missing, 130 after
    Ctrl-C, and 143 after SIGTERM, which schedulers send.
    """
    try:
        with _termination_raises():
            yield
    except (ValueError, OSError, FloatingPointError, MissingPackageError) as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt as error:
        print(error if error.args else "The command was interrupted.", file=sys.stderr)
        number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
        raise SystemExit(128 + number) from None


class Terminated(KeyboardInterrupt):
    """The process has received SIGTERM."""


@contextlib.contextmanager
def _termination_raises():
    """Raises `Terminated` on SIGTERM, so that files are closed and locks are released."""

    def terminate(number, frame):
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
