"""The interface of clients, their errors, and the repetition of requests."""

import abc
import contextlib
import dataclasses
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

SIGNATURE = "serving_default"
TIMEOUT = 60.0  # seconds per request
RETRY_SECONDS = 120.0
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0  # seconds between two requests
Response = TypeVar("Response")

logger = logging.getLogger(__name__)


class ServerError(Exception):
    """The server rejected a request, or its response is malformed."""


class UnavailableError(ServerError):
    """The server is unreachable, busy or failed, which may be temporary."""


@dataclasses.dataclass(eq=False)
class Client(abc.ABC):
    """A model on TensorFlow Serving.

    Methods repeat requests while the server is unavailable. They raise `ServerError`, after
    the time for repetitions `UnavailableError`.

    Args:
        address: such as `http://localhost:8501` for REST, `localhost:8500` for gRPC.
        model: name of the model.
        version: number of the version. Defaults to the version that the server selects.
        label: label of the version, such as `canary`, instead of its number.
        retry_seconds: time for which requests are repeated while the server is unavailable.
    """

    address: str
    model: str
    version: int | None = None
    label: str | None = None
    retry_seconds: float = RETRY_SECONDS

    @abc.abstractmethod
    def __post_init__(self) -> None:
        """Opens the connection."""

    @abc.abstractmethod
    def status(self) -> dict[int, str]:
        """Returns the states of the model's versions by number."""

    @abc.abstractmethod
    def signature(self) -> tuple[set[str], set[str]]:
        """Returns the names of the inputs and outputs of the signature for encoded images.

        Both are empty if the model has no such signature.
        """

    @abc.abstractmethod
    def class_names(self) -> list[str]:
        """Returns the names of the classes."""

    @abc.abstractmethod
    def predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        """Sends encoded images in one request and returns a dict of outputs for each."""


def repeated(request: Callable[[], Response], seconds: float) -> Response:
    """Calls `request`, and again while it raises `UnavailableError`, for up to `seconds`.

    The delay between two calls grows exponentially and is random, so that clients do not return
    to a busy server at the same time.
    """
    deadline = time.monotonic() + seconds
    for attempt in itertools.count():
        try:
            return request()
        except UnavailableError as error:
            delay = random.uniform(0.5, 1.0) * min(FIRST_DELAY * 2**attempt, LONGEST_DELAY)
            if time.monotonic() + delay > deadline:
                raise
            if attempt == 0:
                logger.warning("%s; the request is repeated for up to %g s.", error, seconds)
        time.sleep(delay)
    raise AssertionError


@contextlib.contextmanager
def expected_structure() -> Iterator[None]:
    """Raises ServerError if a response does not have the structure that the body reads."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        message = f"The response of the server is malformed: {type(error).__name__}: {error}"
        raise ServerError(message[:300]) from error


def json_value(name: str, value: Any) -> Any:
    """Returns one output for one image as REST does.

    Args:
        name: name of the output. Only those that end in `_bytes` remain bytes.
        value: bytes, which become a string, or an array, which becomes a list.
    """
    if isinstance(value, bytes):
        return value if name.endswith("_bytes") else value.decode()
    return value.tolist()
