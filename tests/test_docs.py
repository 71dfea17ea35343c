"""The documentation: links, commands, code blocks and summarized numbers are valid."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_encnet
from training.configs import RECIPES

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "saved_models/README.md")
)
# Tests can neither download nor convert.
OFFLINE = {
    'weights="ade20k_official"': "weights=None, backbone_weights=None",
    'backbone_weights="imagenet"': "backbone_weights=None",
}
MODULE = r"python -m ((?:benchmarks|keras_encnet|saved_models|training)(?:\.[a-z]\w*)*)"
# Without "my_...", which stands for files of the reader.
SOURCE = r"`((?:benchmarks|keras_encnet|tests|training)/(?:(?!my_)[\w/])+(?:\.\w+|/))`"
SCRIPT = r"python ((?:benchmarks|tests|training)/[\w/]+\.py)"


def text_of(page):
    return (ROOT / page).read_text()


def links_of(page):
    """Returns the targets of the links of a page, without those in code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text_of(page), flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors_of(path):
    """Returns the anchors of a page's headings, in the form that GitHub gives them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_resolve(page):
    for link in links_of(page):
        name, _, anchor = link.partition("#")
        if "://" not in link:
            target = (ROOT / page).parent / name if name else ROOT / page
            assert target.exists(), link
            assert not anchor or anchor in anchors_of(target), link


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_source_files_exist(page):
    modules = set(re.findall(MODULE, text_of(page)))
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    files = set(re.findall(SCRIPT, text_of(page)) + re.findall(SOURCE, text_of(page)))
    assert [name for name in files if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_recipes_and_options_of_training_commands_exist(page):
    module = r"python -m training\.(?:train|research\.(?:first_steps|learning_rate))"
    command = module + r" ([a-z]\w+)((?:\\\n|[^`\n])*)"
    for recipe, options in re.findall(command, text_of(page)):
        fields = dataclasses.fields(RECIPES[recipe])
        names = {field.name.replace("_", "-") for field in fields}
        names |= {f"no-{field.name.replace('_', '-')}" for field in fields if field.type is bool}
        assert set(re.findall(r"--([a-z][a-z0-9-]*)", options)) <= names, options


def test_index_lists_every_page():
    linked = set(links_of("docs/index.md"))
    for page in ROOT.glob("docs/**/*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name in linked or name == "index.md" or name.startswith("results/"), name


def test_results_in_readme_agree_with_the_reports_they_link():
    rows = re.findall(
        r"^\|.*\| (.*) \| \[\w+\]\((docs/reports/\w+\.md)\) \|$", text_of("README.md"), re.M
    )
    assert len(rows) > 5
    for result, report in rows:
        for number in re.findall(r"\d+(?:\.\d+)?", result):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", text_of(report)), result


def run_python_of(page):
    """Runs the Python blocks of a page, one after the other, and returns their variables."""
    blocks = re.findall(r"^```python\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE)
    code = "\n".join(blocks)
    for online, offline in OFFLINE.items():
        code = code.replace(online, offline)
    variables = {}
    exec(compile(code, page, "exec"), variables)
    return variables


@pytest.mark.slow
def test_code_of_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((70, 90, 3), "uint8")).save("photo.jpg")
    assert run_python_of("README.md")["class_ids"].shape == (70, 90)
    assert (tmp_path / "saved_models/street/1/saved_model.pb").exists()


@pytest.mark.slow
def test_code_of_context_encoding_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_python_of("docs/context_encoding.md")["diagnostics"].history


def test_code_of_cifar10_page_runs():
    assert run_python_of("docs/cifar10.md")["probabilities"].shape == (5, 10)


def test_code_of_losses_page_runs():
    assert run_python_of("docs/losses_and_metrics.md")["model"].compiled


def test_code_of_backbones_page_runs():
    assert "presence" in run_python_of("docs/backbones.md")["model"].output


@pytest.mark.slow
def test_code_of_channels_page_runs():
    assert run_python_of("docs/channels.md")["model"].channels == 4


@pytest.mark.slow
def test_code_of_serving_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backbone = keras_encnet.backbones.ResNet18(width_multiplier=0.125)
    path = tmp_path / "runs/folder_encnet50/best.keras"
    path.parent.mkdir(parents=True)
    keras_encnet.EncNet(backbone, classes=3, channels=8).save(path)
    keras.backend.clear_session()
    assert run_python_of("saved_models/README.md")["class_ids"].shape == (1, 240, 320)
    assert (tmp_path / "street.tflite").exists()
    assert (tmp_path / "street.onnx").exists()
