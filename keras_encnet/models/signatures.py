"""Signatures and documentation of builders that take structural options."""

import functools
import inspect
from collections.abc import Callable

from keras_encnet.models.structure import VARIANTS, check_names, options_of


def takes_options(*parts: str) -> Callable[[Callable], Callable]:
    """Decorator of a builder with `**options`: its signature and documentation name them all.

    An unknown name raises TypeError with the valid ones.
    """

    def decorate(build):
        options = options_of(*parts)
        signature = inspect.signature(build)
        explicit = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        named = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option.annotation
            )
            for name, option in options.items()
        ]
        complete = signature.replace(parameters=explicit + named)

        @functools.wraps(build)
        def checked(*args, **kwargs):
            check_names(kwargs, complete.parameters)
            return build(*args, **kwargs)

        checked.__signature__ = complete
        checked.__doc__ = "\n".join(
            [
                inspect.cleandoc(build.__doc__),
                "\nVariants:",
                *(f"    {variant}: {description}." for variant, description in VARIANTS.items()),
                "\nOptions, by default as in `variant`:",
                *(f"    {name}: {option.help}" for name, option in options.items()),
            ]
        )
        return checked

    return decorate
