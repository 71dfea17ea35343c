"""The package as a whole: what it imports, documents and annotates."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import keras_encnet

ROOT = Path(__file__).parents[1]
# Used by the commands; importing the library must not need them.
EXTRAS = (
    "PIL",
    "huggingface_hub",
    "matplotlib",
    "nncf",
    "onnxruntime",
    "openvino",
    "sklearn",
    "tabulate",
    "tensorflow_serving",
    "tf2onnx",
    "torch",
    "tyro",
)


BLOCK = f"""
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def test_import_needs_only_tensorflow_keras_and_numpy():
    code = f"{BLOCK}import keras_encnet.export\nassert 'training' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def test_commands_without_their_packages_name_the_extra():
    code = "import sys\nsys.modules['tyro'] = None\nimport training.train"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("-e '.[train]'`. Received: missing=tyro")
    assert "Traceback" not in done.stderr


def test_every_public_name_exists_and_is_documented():
    for name in keras_encnet.__all__:
        assert getattr(keras_encnet, name).__doc__, name


def public_functions(module):
    """Yields name and function of what a module declares, methods that override others aside."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            inherited = {member for base in value.__mro__[1:] for member in vars(base)}
            for member in vars(value):
                function = getattr(value, member)
                new = not member.startswith("_") and member not in inherited
                if inspect.isroutine(function) and (new or member == "__init__"):
                    yield f"{name}.{member}", function


def is_annotated(function):
    signature = inspect.signature(function)
    parameters = [
        p.annotation
        for p in signature.parameters.values()
        if p.name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    returned = [] if function.__name__ == "__init__" else [signature.return_annotation]
    return inspect.Parameter.empty not in parameters + returned


MODULES = [m.name for m in pkgutil.walk_packages(keras_encnet.__path__, "keras_encnet.")]


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_and_methods_are_annotated(module):
    functions = public_functions(importlib.import_module(module))
    assert [name for name, function in functions if not is_annotated(function)] == []


def test_version_is_the_same_everywhere():
    version = keras_encnet.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_readme_of_a_package_index_has_absolute_addresses_of_existing_files():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]
    readme = (ROOT / "README.md").read_text()
    for substitution in settings["hooks"]["fancy-pypi-readme"]["substitutions"]:
        readme = re.sub(substitution["pattern"], substitution["replacement"], readme)
    addresses = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", readme)
    repository = "keras-encnet/keras-encnet"
    files = {
        "!": f"https://raw.githubusercontent.com/{repository}/main/",
        "": f"https://github.com/{repository}/blob/main/",
    }
    assert {image for image, _ in addresses} == {"!", ""}
    for image, address in addresses:
        assert address.startswith(("https://", "#")), address
        if repository in address:
            assert address.startswith(files[image]), address
            assert (ROOT / address.removeprefix(files[image]).partition("#")[0]).exists(), address
