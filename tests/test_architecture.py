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
    ("saved_models/batch.py", "saved_models.beam.run"): "needs apache-beam",
    ("saved_models/client.py", "saved_models.grpc_client"): "needs tensorflow-serving-api",
    ("saved_models/demo/__main__.py", "saved_models.demo.page"): "needs gradio",
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


def test_import_contract_lists_every_command():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {c["id"]: c for c in settings["tool"]["importlinter"]["contracts"]}
    commands = {name_of(path) for path in MODULES if any(map(is_main_guard, parse(path).body))}
    assert set(contracts["commands"]["protected_modules"]) == commands


# A benchmark imports its contestants one at a time, and nothing imports a benchmark.
@pytest.mark.parametrize("package", ["keras_encnet", "saved_models", "training"])
def test_functions_do_not_import_modules_of_the_project(package):
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for module in deferred_imports(parse(path)):
            file = str(path.relative_to(ROOT))
            if module.split(".")[0] in PACKAGES and not any(
                file == known and module.startswith(target) for known, target in DEFERRED
            ):
                found.add((file, module))
    assert not found, found


def defined_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


def private_uses(tree):
    """Yields line and name of private attributes, of private modules, and of overridden methods."""
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr"):
            names = [node.args[1].value] if isinstance(node.args[1], ast.Constant) else []
        elif isinstance(node, ast.Import | ast.ImportFrom):
            private = ("tensorflow.python", "keras.src")
            names = [f"_{name}" for name in imported(node) if str(name).startswith(private)]
        else:
            names = []
        yield from ((node.lineno, name) for name in names if is_private(name))
        # A private method that its module never calls overrides one of a base class.
        if isinstance(node, ast.ClassDef):
            methods = [m for m in node.body if isinstance(m, ast.FunctionDef)]
            overrides = [m for m in methods if is_private(m.name) and m.name not in used]
            yield from ((m.lineno, f"override of {m.name}") for m in overrides)


def test_private_api_of_keras_and_tensorflow_is_used_in_compat_only():
    trees = {path: parse(path) for path in MODULES if path != COMPAT}
    defined = {name for tree in trees.values() for name in defined_names(tree)}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path, tree in trees.items()
        for line, name in private_uses(tree)
        if name not in defined
    ]
    assert not found, "\n".join(found)
