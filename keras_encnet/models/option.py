"""What is declared about a structural option."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from keras_encnet.utils.checks import Range, is_count

ANY = Range()


@dataclasses.dataclass(frozen=True)
class Option:
    """A structural option.

    Attributes:
        name: the name as an argument; `--name` on the command line.
        kind: `bool`, `int`, `float`, or the tuple of choices.
        help: one sentence.
        values: the value in each variant.
        parts: what the option applies to: the backbone, `"resnet"`, or heads, by their names in
            `models.segmentation.HEADS`.
        least: the smallest `int`.
        range: the range of a `float`.
        unless: name and value of another option which leave this one without effect.
        requires: for a value of this option, the values of others that it requires.
    """

    name: str
    kind: type | tuple[Any, ...]
    help: str
    values: Mapping[str, Any]
    parts: tuple[str, ...]
    least: int = 0
    range: Range = ANY
    unless: tuple[str, Any] | None = None
    requires: Mapping[Any, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def annotation(self) -> Any:
        """The type of a value, or None for the value of the variant."""
        kind = Literal[self.kind] if isinstance(self.kind, tuple) else self.kind
        return kind | None

    def check(self, value: Any) -> None:
        """Raises ValueError unless `value` is one of this option."""
        if isinstance(self.kind, tuple):
            valid, expected = value in self.kind, f"one of {self.kind}"
        elif self.kind is bool:
            valid, expected = isinstance(value, bool), "True or False"
        elif self.kind is int:
            valid, expected = is_count(value, self.least), f"an integer of at least {self.least}"
        else:
            valid, expected = value in self.range, f"a number {self.range}".strip()
        if not valid:
            raise ValueError(f"`{self.name}` must be {expected}. Received: {self.name}={value!r}")
