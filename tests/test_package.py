"""What the package promises about itself."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_encnet

ROOT = Path(__file__).parents[1]
# What the scripts use and the library must do without.
EXTRAS = (
    "PIL",
    "matplotlib",
    "tabulate",
    "tensorflow_serving",
    "tf2onnx",
    "torch",
    "tyro",
)


def test_importing_needs_tensorflow_keras_and_numpy_alone():
    block = "".join(f"sys.modules[{name!r}] = None\n" for name in EXTRAS)
    code = f"import sys\n{block}import keras_encnet.export\nassert 'training' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def test_every_public_name_exists_and_is_documented():
    for name in keras_encnet.__all__:
        assert getattr(keras_encnet, name).__doc__, name


def is_overridden(cls, name):
    """Returns whether a method is declared by a base class, whose signature then applies."""
    return any(hasattr(base, name) for base in cls.__mro__[1:] if base is not object)


def unannotated(module):
    """Yields the public functions and methods of a module that lack an annotation."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        functions = {name: value}
        if inspect.isclass(value):
            functions = {
                f"{name}.{member}": function
                for member, function in vars(value).items()
                if member == "__init__" or not member.startswith("_")
                if member == "__init__" or not is_overridden(value, member)
            }
        for label, function in functions.items():
            function = inspect.unwrap(getattr(function, "__func__", function))
            if not inspect.isfunction(function):
                continue
            signature = inspect.signature(function)
            parameters = [
                p
                for p in signature.parameters.values()
                if p.name not in ("self", "cls") and p.kind is not p.VAR_KEYWORD
            ]
            complete = all(p.annotation is not p.empty for p in parameters)
            returns = function.__name__ == "__init__" or (
                signature.return_annotation is not signature.empty
            )
            if not (complete and returns):
                yield label


MODULES = [m.name for m in pkgutil.walk_packages(keras_encnet.__path__, "keras_encnet.")]


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_and_methods_are_annotated(module):
    assert list(unannotated(importlib.import_module(module))) == []


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    # ImageNet weights would be downloaded.
    code = "\n".join(blocks).replace('"imagenet"', "None")
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "saved_models/street/1/saved_model.pb").exists()


def test_the_code_of_the_page_on_cifar_runs():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/cifar10.md").read_text(), re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, "docs/cifar10.md", "exec"), names)
    assert names["probabilities"].shape == (5, 10)


PAGES = ["README.md", "saved_models/README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\(([\w./-]+\.(?:md|png))\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []
