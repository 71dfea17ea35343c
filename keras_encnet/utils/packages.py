"""Packages that only some functions require."""

import importlib
from typing import Any


class MissingPackageError(ModuleNotFoundError):
    """A package that a function requires is not installed."""


def import_optional(module: str, package: str, purpose: str, otherwise: str = "") -> Any:
    """Imports a module of a package that is not a dependency of this one.

    Args:
        module: name of the module, such as `"tensorflow_serving.apis.predict_pb2"`.
        package: name of the package that contains it, for pip.
        purpose: what requires it, for the message.
        otherwise: how to do without, as a sentence.

    Returns:
        The module.

    Raises:
        MissingPackageError: if it is not installed. The command in the message installs the
            package next to a clone of this one as well as next to an installed one.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        remedy = f"`python -m pip install {package}` installs it. {otherwise}".rstrip()
        raise MissingPackageError(
            f"{purpose} requires the package {package}. {remedy} Received: {error}"
        ) from error
