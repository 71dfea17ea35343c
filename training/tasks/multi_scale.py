"""Options of multi-scale evaluation, shared by the commands that offer it."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro

import keras_encnet
from training import cli

# The settings of a `MultiScaleSegmenter` that are options.
SETTINGS = ("base_size", "crop_size", "protocol")


def _default(text):
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


@dataclasses.dataclass(frozen=True)
class MultiScaleOptions:
    """Evaluation at several scales, as for published scores."""

    multi_scale: bool = False
    """Average predictions over six scales and their mirror images."""
    base_size: Annotated[
        int | tuple[int, int] | Literal["native"] | None,
        _default("the working size of the model, or 520"),
    ] = None
    """Long side at scale 1; for mmsegmentation also bounds of both sides, such as `2048 512`, or
    `native`."""
    crop_size: Annotated[int | None, _default("12/13 of the base size, 480 of 520")] = None
    """Side of the sliding windows."""
    protocol: Annotated[Literal["official", "mmsegmentation"] | None, _default("official")] = None
    """Procedure of the official code or of mmsegmentation, see `MultiScaleSegmenter`."""

    def __post_init__(self):
        if not self.multi_scale:
            cli.refuse(self._settings(), "without multi-scale evaluation")

    def segmenter(
        self, model: keras_encnet.SegmentationModel
    ) -> keras_encnet.MultiScaleSegmenter | None:
        """Returns the multi-scale segmenter of a model, or None without multi-scale."""
        if not self.multi_scale:
            return None
        given = {name: value for name, value in self._settings().items() if value is not None}
        return keras_encnet.MultiScaleSegmenter(model, **given)

    def _settings(self):
        return {name: getattr(self, name) for name in SETTINGS}


def settings_of(segmenter: keras_encnet.MultiScaleSegmenter | None) -> dict[str, Any] | None:
    """Returns the settings of a multi-scale segmenter, for the record of a measurement."""
    if segmenter is None:
        return None
    settings = segmenter.settings
    return {
        "base_size": settings.base_size or "native",
        "crop_size": settings.crop_size,
        "protocol": segmenter.protocol,
    }
