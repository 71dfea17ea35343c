"""The tutorial notebooks run, and their stored outputs are those of a complete run."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("docs/**/*.ipynb"))
REPOSITORY = "github.com/keras-encnet/keras-encnet"
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def load(path):
    return nbformat.read(path, as_version=4)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed_by(notebook):
    return "".join(output.get("text", "") for cell in code_of(notebook) for output in cell.outputs)


@notebooks
def test_stored_outputs_are_of_one_complete_run_without_errors(path):
    notebook = load(path)
    nbformat.validate(notebook)
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {output.output_type for cell in cells for output in cell.outputs} <= {
        "display_data",
        "execute_result",
        "stream",
    }
    assert printed_by(notebook)
    images = [o for c in cells for o in c.outputs if "image/png" in o.get("data", {})]
    assert len(images) >= 4
    assert path.stat().st_size < 1_000_000


@notebooks
def test_stored_outputs_hold_neither_paths_of_a_machine_nor_times(path):
    text = printed_by(load(path))
    assert re.findall(r"(?<![\w.:/])/(?:home|root|tmp|work|usr|Users|content)\b", text) == []
    assert "execution" not in {key for cell in load(path).cells for key in cell.metadata}


@notebooks
def test_notebook_opens_in_colab_and_installs_the_package_from_its_repository(path):
    source = path.relative_to(ROOT).as_posix()
    first, *others = load(path).cells
    address = f"colab.research.google.com/github/keras-encnet/keras-encnet/blob/main/{source}"
    assert f"(https://{address})" in first.source
    setup = next(cell.source for cell in others if cell.cell_type == "code")
    assert REPOSITORY in setup
    assert "%pip install" in setup


@notebooks
def test_links_of_notebooks_are_absolute_and_lead_to_existing_files(path):
    text = "\n".join(c.source for c in load(path).cells if c.cell_type == "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    prefix = f"https://{REPOSITORY}/blob/main/"
    assert all(link.startswith("https://") for link in links)
    files = [link.removeprefix(prefix) for link in links if link.startswith(prefix)]
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.mark.slow
@notebooks
def test_notebook_runs(path):
    spec = importlib.util.spec_from_file_location("tutorials", ROOT / "docs/run_tutorials.py")
    tutorials = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tutorials)
    printed = printed_by(tutorials.executed(path))
    # EncNet uses the context, which its FCN cannot.
    fcn, encnet = (float(score) for score in re.findall(r"mean IoU (\d+\.\d) ?%", printed))
    assert encnet > fcn + 5
