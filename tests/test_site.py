"""The documentation site: navigation, links and API reference are complete."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import griffe
import pytest

import keras_encnet

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/keras-encnet/keras-encnet"


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks, docstrings = load("site_hooks"), load("site_docstrings")


class Files(dict):
    """The pages of a site, and their text."""

    def get_file_from_path(self, path):
        return self.get(path)


def on_site(markdown, source="guide.md", repository_paths=None):
    """Returns the links of a page of docs/ as they are on a site of three pages."""
    texts = {"training.md": "# Training", "index.md": "# keras_encnet", "api/losses.md": "# Losses"}
    files = Files({path: SimpleNamespace(content_string=text) for path, text in texts.items()})
    config = SimpleNamespace(
        repo_url=REPOSITORY, extra={"repository_paths": repository_paths or {}}
    )
    page = SimpleNamespace(file=SimpleNamespace(src_uri=source))
    return hooks.on_page_markdown(markdown, page, config, files)


def test_navigation_holds_every_page_once():
    nav = hooks.on_config(SimpleNamespace(nav=None)).nav
    pages = [page for section in nav for pages in section.values() for page in pages]
    files = [path for suffix in ("md", "ipynb") for path in ROOT.glob(f"docs/**/*.{suffix}")]
    paths = [path.relative_to(ROOT).as_posix() for path in files]
    expected = {hooks.page_of(path) for path in paths if not path.startswith("docs/results/")}
    assert expected | {"index.md", "CHANGELOG.md", "CONTRIBUTING.md"} <= set(pages)
    assert len(pages) == len(set(pages))


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[a](training.md#check)", "[a](training.md#check)"),
        ("[training.md](training.md)", "[Training](training.md)"),
        ("[a](../README.md)", "[a](index.md)"),
        (f"[a]({REPOSITORY}/blob/main/docs/training.md)", "[a](training.md)"),
        ("![a](../LICENSE)", f"![a]({REPOSITORY}/blob/main/LICENSE)"),
        ("[`f`](../keras_encnet/masks.py)", f"[`f`]({REPOSITORY}/blob/main/keras_encnet/masks.py)"),
        ("[a](results/camvid)", f"[a]({REPOSITORY}/blob/main/docs/results/camvid)"),
        # The strict build fails for a file that does not exist.
        ("[a](missing.md)", "[a](missing.md)"),
        ("[a](https://arxiv.org/abs/1803.08904)", "[a](https://arxiv.org/abs/1803.08904)"),
        ("[a](#check)", "[a](#check)"),
        ("`[a](../LICENSE)`", "`[a](../LICENSE)`"),
        ("```\n[a](../LICENSE)\n```", "```\n[a](../LICENSE)\n```"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(markdown, expected):
    assert on_site(markdown) == expected


def test_links_of_pages_in_other_folders_are_relative_to_their_page():
    assert on_site("[a](../training.md)", "reports/scenes.md") == "[a](../training.md)"
    readme = {"saved_models/README.md": "saved_models/README.md", "index.md": "README.md"}
    text = on_site("[a](../docs/training.md)", "saved_models/README.md", readme)
    assert text == "[a](../training.md)"
    assert on_site("[a](docs/api/losses.md)", "index.md", readme) == "[a](api/losses.md)"


def test_notebooks_become_pages_with_their_images(tmp_path, monkeypatch):
    image = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgo="}}
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "plot()"}
    cells = [{**cell, "execution_count": 1, "outputs": [image]}]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    (tmp_path / "plots.ipynb").write_text(json.dumps(notebook))
    generated = SimpleNamespace(generated=lambda config, path, content: (path, content))
    monkeypatch.setattr(hooks, "File", generated)
    file = SimpleNamespace(src_uri="a/plots.ipynb", abs_src_path=str(tmp_path / "plots.ipynb"))
    (page, markdown), (path, content) = hooks.notebook_pages(file, None)
    assert page == "a/plots.md"
    assert "plot()" in markdown
    assert f"({Path(path).name})" in markdown
    assert path.startswith("a/plots")  # another notebook in this folder has images of its own
    assert content.startswith(b"\x89PNG")


@pytest.mark.parametrize("module", ["", "backbones", "export", "inference", "layers", "losses"])
def test_reference_documents_every_public_name(module):
    package = getattr(keras_encnet, module) if module else keras_encnet
    documented = {path.rpartition(".")[2] for path in docstrings.documented()}
    public = {name for name in package.__all__ if callable(getattr(package, name))}
    assert public <= documented


def test_docstrings_of_keras_become_sections_and_links():
    text = (
        "Adds `Sum` and `DiceLoss`, `x`.\n\nExample:\n\n>>> add(\n...     1)\n1\n\n"
        "Args:\n    x: a number.\n\nReferences:\n    - one\n    - two\n\nMore."
    )
    obj = SimpleNamespace(name="Sum", docstring=griffe.Docstring(text))
    docstrings.KerasDocstrings().on_object(obj=obj)
    assert re.sub("\n{3,}", "\n\n", obj.docstring.value) == (
        "Adds `Sum` and [`DiceLoss`][keras_encnet.losses.DiceLoss], `x`.\n\n"
        "**Example:**\n\n```pycon\n>>> add(\n...     1)\n1\n```\n\n"
        "Args:\n    x: a number.\n\n**References:**\n\n- one\n- two\n\nMore."
    )
