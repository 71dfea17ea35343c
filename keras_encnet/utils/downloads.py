"""Errors of downloads, with their cause and the remedy."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


class DownloadError(OSError):
    """A file could not be downloaded."""


def keras_home() -> Path:
    """Returns the folder in which Keras caches downloads: `$KERAS_HOME`, or `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


@contextlib.contextmanager
def naming_download(what: str, remedy: str) -> Iterator[None]:
    """Context manager that names what could not be downloaded, the cause and the remedy.

    Args:
        what: the address, or a description.
        remedy: what to do without access to the internet, a sentence.

    Raises:
        DownloadError: if the body raises an exception.
    """
    try:
        yield
    except Exception as error:
        cause = str(error) or type(error).__name__
        raise DownloadError(f"Could not download {what}: {cause}. {remedy}") from error


@contextlib.contextmanager
def naming_imagenet(network: str, weights: str | os.PathLike | None) -> Iterator[None]:
    """Context manager around a function of Keras Applications, which may download its weights.

    Args:
        network: name of the function.
        weights: its argument. Other errors than those of a download are raised as they are.

    Raises:
        DownloadError: if the weights are `"imagenet"` and cannot be downloaded.
    """
    try:
        yield
    except Exception as error:
        # `keras.utils.get_file` raises bare `Exception` if it cannot reach the address.
        if weights != "imagenet" or not (type(error) is Exception or isinstance(error, OSError)):
            raise
        remedy = (
            "This requires access to the internet once. If you have the file, save it in "
            f"{keras_home() / 'models'}, or pass its path as the weights of the backbone "
            "(`--backbone-weights`). Received: weights='imagenet'"
        )
        with naming_download(f"the ImageNet weights of {network}", remedy):
            raise
