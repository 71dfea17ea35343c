"""The registry of recipes."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar, dataclass_transform

from training.configs.classification import ClassificationConfig
from training.configs.segmentation import SegmentationConfig

Recipe = TypeVar("Recipe", bound=SegmentationConfig | ClassificationConfig)
RECIPES: dict[str, type[SegmentationConfig | ClassificationConfig]] = {}


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,)
)
def recipe(name: str) -> Callable[[type[Recipe]], type[Recipe]]:
    """Decorator: makes a class a frozen data class and registers it as the recipe `name`."""

    def register(cls: type[Recipe]) -> type[Recipe]:
        if name in RECIPES:
            raise ValueError(f"Another recipe has this name. Received: name={name!r}")
        cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        RECIPES[name] = cls
        return cls

    return register
