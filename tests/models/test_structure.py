"""Structural options are stated once: what reads them follows."""

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keras_encnet import (
    FCN,
    FCN50,
    FCN101,
    DeepLabV3,
    DeepLabV3_50,
    EncNet,
    EncNet50,
    EncNet101,
    PSPNet,
    PSPNet50,
)
from keras_encnet.models.necks import NECKS
from keras_encnet.models.segmentation import AUXILIARY_HEADS, HEADS
from keras_encnet.models.structure import (
    ALL_HEADS,
    OPTIONS,
    VARIANTS,
    options_of,
    resolve,
    without_effect,
)

ROOT = Path(__file__).parents[2]
ENCNET50 = ("resnet", "encnet")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: f"{option.name}-{option.parts[0]}")
def test_declaration_is_complete(option):
    assert set(option.parts) <= {"resnet", *HEADS}
    assert list(option.values) == list(VARIANTS)
    for value in option.values.values():
        option.check(value)
    assert option.help.endswith(".")
    if option.unless is not None:
        assert option.unless[0] in options_of(*option.parts)
    for value, required in option.requires.items():
        option.check(value)
        for name, required_value in required.items():
            options_of("resnet", *ALL_HEADS)[name].check(required_value)


def test_every_head_can_be_chosen():
    assert set(ALL_HEADS) == set(HEADS)
    assert set(options_of("encnet")["auxiliary"].kind) == {*AUXILIARY_HEADS, "none"}
    assert all(set(options_of(head)["neck"].kind) == {*NECKS, "none"} for head in HEADS)


def test_none_selects_the_value_of_the_variant():
    values = resolve(ENCNET50, "official", {"gating": None, "stem": None, "auxiliary": None})
    assert values == {name: o.values["official"] for name, o in options_of(*ENCNET50).items()}


def test_given_options_replace_those_of_the_variant():
    values = resolve(ENCNET50, "official", {"gating": "scale", "lateral": True, "gate_bias": 2})
    assert (values["gating"], values["lateral"], values["gate_bias"]) == ("scale", True, 2)
    assert values["stem"] == "deep_64"


@pytest.mark.parametrize("variant", VARIANTS)
def test_value_replaces_those_that_it_requires_and_contradicts_others(variant):
    values = resolve(ENCNET50, variant, {"neck": "jpu", "output_stride": None})
    assert (values["output_stride"], values["lateral"]) == (32, False)
    assert resolve(ENCNET50, variant, {"neck": "jpu", "output_stride": 32}) == values
    assert "output_stride" not in resolve(("encnet",), variant, {"neck": "jpu"})
    message = "`neck='jpu'` requires `output_stride=32`.*`neck='none'` does not.*output_stride=8"
    with pytest.raises(ValueError, match=message):
        resolve(ENCNET50, variant, {"neck": "jpu", "output_stride": 8})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gating", "scal", r"one of \('scale', 'residual'\)"),
        ("output_stride", 4, r"one of \(8, 16, 32\)"),
        ("lateral", "yes", "True or False"),
        ("num_codewords", -1, "an integer of at least 0"),
        ("num_codewords", 2.5, "an integer of at least 0"),
        ("channels", 0, "an integer of at least 1"),
        ("dropout", 1.5, "a number from 0 to 1"),
        ("gate_bias", "open", "a number"),
        ("gate_bias", float("nan"), "a number"),
    ],
)
def test_invalid_value_raises(name, value, message):
    with pytest.raises(ValueError, match=f"`{name}` must be {message}. Received: {name}={value!r}"):
        resolve(ENCNET50, "paper", {name: value})


def test_unknown_names_raise():
    with pytest.raises(ValueError, match="`variant` must be one of .*Received: variant='papr'"):
        resolve(ENCNET50, "papr", {})
    with pytest.raises(TypeError, match=r"Unknown options: gatin, stem\. Valid options: aggreg"):
        resolve(("encnet",), "paper", {"stem": "plain", "gatin": "scale"})


def test_options_of_other_parts_or_disabled_by_others_have_no_effect():
    encnet = {"gating", "gate_bias", "channels", "lateral", "num_codewords"}
    encnet |= {"aggregation", "codeword_pooling", "head_kernel"}
    neck = {"neck_width", "neck_order", "neck_align_corners", "dilate_strided"}
    deeplabv3 = {"aspp", "aspp_dilation"}
    assert without_effect(("resnet", "fcn"), "paper", {}) == encnet | deeplabv3 | neck
    others = deeplabv3 | {"concat_input"}
    assert without_effect(("resnet", "psp"), "paper", {}) == encnet | others | neck
    assert without_effect(ENCNET50, "paper", {}) == others | neck | {"head_kernel"}
    assert without_effect(ENCNET50, "paper", {"neck": "jpu"}) == others
    given = {"neck": "jpu", "num_codewords": 0, "dropout": 0.0}
    without_codewords = without_effect(ENCNET50, "paper", given)
    assert without_codewords == others | {"aggregation", "codeword_pooling", "spatial_dropout"}


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (EncNet, ("encnet",)),
        (FCN, ("fcn",)),
        (EncNet50, ENCNET50),
        (EncNet101, ENCNET50),
        (FCN50, ("resnet", "fcn")),
        (FCN101, ("resnet", "fcn")),
        (PSPNet, ("psp",)),
        (PSPNet50, ("resnet", "psp")),
        (DeepLabV3, ("deeplabv3",)),
        (DeepLabV3_50, ("resnet", "deeplabv3")),
    ],
)
def test_signature_and_documentation_of_a_builder_name_its_options(build, parts):
    parameters = inspect.signature(build).parameters
    documentation = inspect.getdoc(build)
    for name, option in options_of(*parts).items():
        assert parameters[name].default is None
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert f"{name}: {option.help}" in documentation
    others = {option.name for option in OPTIONS} - set(options_of(*parts))
    assert not others & set(parameters)


USE_OPTION = """
import contextlib, inspect, io, json
import keras_encnet
from training import train
from training.configs.scenes import ScenesEncNet
from training.research.option_table import table
from training.tasks.segmentation import build_model

def error(build):
    try:
        build()
    except ValueError as problem:
        return str(problem)

def layers(model):
    return [layer.name for layer in model.layers]

shown = io.StringIO()
with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
    train.main(["folder_encnet50", "--help"])
tiny = keras_encnet.backbones.ResNet((1, 1, 1, 1), False, width_multiplier=0.0625)
recipe = ScenesEncNet(sharpness="high", width_multiplier=0.0625, channels=8)
print(json.dumps({
    "signatures": [
        "sharpness" in inspect.signature(build).parameters
        for build in (keras_encnet.EncNet, keras_encnet.EncNet50, keras_encnet.FCN)
    ],
    "default": layers(keras_encnet.EncNet(tiny, 3, channels=8)),
    "encnet": layers(keras_encnet.EncNet(tiny, 3, channels=8, sharpness="high")),
    "encnet50": layers(keras_encnet.EncNet50(3, backbone_weights=None, sharpness="high")),
    "recipe": layers(build_model(recipe, "abc")),
    "invalid": error(lambda: keras_encnet.EncNet50(backbone_weights=None, sharpness="highest")),
    "without effect": error(ScenesEncNet(head="fcn", sharpness="high").check),
    "help": shown.getvalue(),
    "table": table(),
}))
"""


@pytest.mark.slow
def test_new_option_needs_only_a_declaration_and_an_implementation(tmp_path):
    for package in ("keras_encnet", "training"):
        shutil.copytree(ROOT / package, tmp_path / package)
    declaration = tmp_path / "keras_encnet" / "models" / "structure.py"
    _edit(
        declaration,
        "OPTIONS = (\n",
        """OPTIONS = (
    Option(
        "sharpness",
        ("low", "high"),
        "Sharpness of the head.",
        _all("low"),
        ("encnet",),
    ),
""",
    )
    code = tmp_path / "keras_encnet" / "models" / "heads" / "encnet.py"
    _edit(code, 'kernel_size, name="head")', 'kernel_size, name=f"head_{options.sharpness}")')

    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "100"}
    run = subprocess.run(
        [sys.executable, "-c", USE_OPTION],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["signatures"] == [True, True, False]
    assert "head_low_conv" in found["default"]
    for model in ("encnet", "encnet50", "recipe"):
        assert "head_high_conv" in found[model]
    assert found["invalid"] == (
        "`sharpness` must be one of ('low', 'high'). Received: sharpness='highest'"
    )
    assert found["without effect"].startswith("`--sharpness` has no effect in this recipe.")
    assert "--sharpness {None,low,high}" in found["help"]
    assert "Sharpness of the head. (default: low)" in found["help"]
    assert "| `sharpness` " in found["table"]


def _edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
