"""Options of multi-scale evaluation, shared by the commands that offer it."""

import dataclasses
import inspect
from typing import Annotated, Any, Literal

import tyro

import keras_encnet
from training import cli

_PARAMETERS = inspect.signature(keras_encnet.MultiScaleSegmenter).parameters
# The settings of a `MultiScaleSegmenter` that are options, and their defaults.
DEFAULTS = {name: _PARAMETERS[name].default for name in ("base_size", "crop_size", "protocol")}


def _default(name):
    return tyro.conf.arg(help_behavior_hint=f"(default: {DEFAULTS[name]})")


@dataclasses.dataclass(frozen=True)
class MultiScaleOptions:
    """Evaluation at several scales, as for published scores."""

    multi_scale: bool = False
    """Average predictions over six scales and their mirror images."""
    base_size: Annotated[int | tuple[int, int] | None, _default("base_size")] = None
    """Long side at scale 1; for mmsegmentation also bounds of both sides, such as `2048 512`."""
    crop_size: Annotated[int | None, _default("crop_size")] = None
    """Side of the sliding windows."""
    protocol: Annotated[Literal["official", "mmsegmentation"] | None, _default("protocol")] = None
    """Procedure of the official code or of mmsegmentation, see `MultiScaleSegmenter`."""

    def __post_init__(self):
        if not self.multi_scale:
            cli.refuse(self._settings(), "without multi-scale evaluation")

    def settings(self) -> dict[str, Any] | None:
        """Returns the arguments of `MultiScaleSegmenter`, or None without multi-scale."""
        if not self.multi_scale:
            return None
        given = {name: value for name, value in self._settings().items() if value is not None}
        return DEFAULTS | given

    def segmenter(
        self, model: keras_encnet.SegmentationModel
    ) -> keras_encnet.MultiScaleSegmenter | None:
        """Returns the multi-scale segmenter of a model, or None without multi-scale."""
        settings = self.settings()
        return None if settings is None else keras_encnet.MultiScaleSegmenter(model, **settings)

    def _settings(self):
        return {name: getattr(self, name) for name in DEFAULTS}
