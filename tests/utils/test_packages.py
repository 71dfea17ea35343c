"""Optional packages: what a message about a missing one advises."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from keras_encnet.utils.packages import MissingPackageError, import_optional

ROOT = Path(__file__).parents[2]


def named_packages():
    """Yields the package of every call of `import_optional`."""
    for folder in ("keras_encnet", "saved_models", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_optional":
                    yield ast.literal_eval(node.args[1])


def normalized(name):
    """Returns the form of a name in which packages are compared, as some build tools write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_packages_that_messages_name_are_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [line for extra in project["optional-dependencies"].values() for line in extra]
    extras = {normalized(re.split(r"[\s<>=;\[]", line)[0]) for line in requirements}
    named = {normalized(name) for name in named_packages()}
    assert named >= {"tensorflow-serving-api", "tf2onnx", "torch"}
    assert named <= extras


def test_an_installed_module_is_imported():
    assert import_optional("json", "json", "Reading").dumps(1) == "1"


def test_a_missing_package_raises_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "absent", None)
    expected = r"^Drawing requires the package a-b. `python -m pip install a-b` installs it. Do not"
    with pytest.raises(MissingPackageError, match=expected + r" draw\. Received: .*absent"):
        import_optional("absent", "a-b", "Drawing", "Do not draw.")
