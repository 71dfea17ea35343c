"""Rules of the code base that ruff, mypy and import-linter do not check."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("benchmarks", "keras_encnet", "saved_models", "training")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
COMPAT = ROOT / "keras_encnet/utils/compat.py"

# First-party imports inside functions, with the reason for each.
DEFERRED = {
    ("saved_models/client.py", "saved_models.grpc_client"): "needs tensorflow-serving-api",
}

# Methods that TensorFlow Datasets documents for builders to override.
TFDS_BUILDER = {"_info", "_split_generators", "_generate_examples"}


def parse(path):
    return ast.parse(path.read_text())


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in TFDS_BUILDER


def is_main_guard(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def imported(node):
    """Returns the names of the modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]


def deferred_imports(tree):
    """Yields the modules that functions import."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield from imported(node)


def test_the_contract_on_commands_names_every_command():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {c["id"]: c for c in settings["tool"]["importlinter"]["contracts"]}
    commands = {name_of(path) for path in MODULES if any(map(is_main_guard, parse(path).body))}
    assert set(contracts["commands"]["protected_modules"]) == commands


# A benchmark imports its contestants one at a time, and nothing imports a benchmark.
@pytest.mark.parametrize("package", ["keras_encnet", "saved_models", "training"])
def test_no_function_imports_another_module_of_the_project(package):
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for module in deferred_imports(parse(path)):
            file = str(path.relative_to(ROOT))
            if module.split(".")[0] in PACKAGES and not any(
                file == known and module.startswith(target) for known, target in DEFERRED
            ):
                found.add((file, module))
    assert not found, found


def test_private_api_of_keras_and_tensorflow_is_used_in_compat_only():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in MODULES
        if path != COMPAT
        for line, name in foreign_private_names(parse(path))
    ]
    assert not found, "\n".join(found)


def foreign_private_names(tree):
    """Yields line and name of private attributes that a module uses without defining them."""
    defined = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            defined.add(node.id if isinstance(node, ast.Name) else node.attr)
    # A private method that its module never uses overrides one of a base class.
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in defined:
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom | ast.Import):
            private = ("tensorflow.python", "keras.src")
            yield from ((node.lineno, n) for n in imported(node) if n and n.startswith(private))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(name.value):
                yield node.lineno, name.value
        elif isinstance(node, ast.ClassDef):
            methods = [member for member in node.body if isinstance(member, ast.FunctionDef)]
            yield from (
                (m.lineno, m.name) for m in methods if is_private(m.name) and m.name not in used
            )
