"""Griffe extension: docstrings in the style of Keras become sections and links of the site."""

import re
import textwrap
from pathlib import Path

import griffe

REFERENCE_PAGES = Path(__file__).parent / "api"
DOCTEST = re.compile(r"^>>> .*(?:\n\S.*)*", re.MULTILINE)
# Sections that Google style does not have.
TITLES = "Input shape|Output shape|Call arguments|References?|Example"
SECTION = re.compile(rf"^({TITLES}):$((?:\n    .*|\n)*)", re.MULTILINE)
CODE = re.compile(r"(?<!`)`([A-Za-z][\w.]*)`(?!`)")


def documented():
    """Returns the public paths of the objects on the pages of the API reference."""
    text = "".join(page.read_text() for page in REFERENCE_PAGES.glob("*.md"))
    return re.findall(r"^::: (\S+)", text, re.MULTILINE)


class KerasDocstrings(griffe.Extension):
    """Formats examples and the sections of Keras, and links the names of documented objects."""

    def __init__(self):
        """Maps short and complete names to the public path of their object."""
        self.paths = {}
        for path in documented():
            for name in (path, path.removeprefix("keras_encnet."), path.rpartition(".")[2]):
                self.paths.setdefault(name, path)

    def on_object(self, *, obj, **kwargs):
        """Adapts the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            text = DOCTEST.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
            text = SECTION.sub(lambda match: titled(*match.groups()), text)
            obj.docstring.value = CODE.sub(lambda match: self.link(obj, match), text)

    def link(self, obj, match):
        """Returns a name in code as a link, unless the docstring is that of the object itself."""
        path = self.paths.get(match[1])
        own = path is None or path.rpartition(".")[2] == obj.name
        return match[0] if own else f"[{match[0]}][{path}]"


def titled(title, text):
    """Returns a section as a bold title and paragraphs."""
    return f"**{title}:**\n\n{textwrap.dedent(text).strip()}\n\n"
