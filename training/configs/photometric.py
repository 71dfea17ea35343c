"""Options of the recipes for random changes of colors, blur and noise."""

import dataclasses
from typing import Annotated

from keras_encnet.utils.checks import Range

Share, AtLeast0 = Range(0, 1), Range(0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photometric:
    """Random colors, blur and noise of the training images; off by default."""

    brightness: Annotated[float, Share] = 0.0
    """Largest relative change of the brightness, such as 0.2 for factors from 0.8 to 1.2."""
    contrast: Annotated[float, Share] = 0.0
    """Largest relative change of the distance of pixels from the mean of their channel."""
    saturation: Annotated[float, Share] = 0.0
    """Largest relative change of the distance of colors from gray; images of 3 channels only."""
    hue: Annotated[float, Range(0, 0.5)] = 0.0
    """Largest rotation of the hue, in turns, such as 0.05; images of 3 channels only."""
    blur: Annotated[float, AtLeast0] = 0.0
    """Largest standard deviation of a Gaussian blur, in pixels of the crop."""
    noise: Annotated[float, Share] = 0.0
    """Largest standard deviation of Gaussian noise, as a share of the range of values."""


KINDS = tuple(field.name for field in dataclasses.fields(Photometric))
