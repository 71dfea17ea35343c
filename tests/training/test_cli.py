"""The command line of training: names of recipes, options, help, and errors."""

import dataclasses
import re

import pytest

from training import cli, train
from training.configs import RECIPES

GROUPS = (
    *("data", "network", "structure", "loss", "augmentation", "photometric"),
    *("schedule", "devices", "run"),
)


def output_of(arguments, capsys):
    """Returns the exit code, standard output and errors of `training.train`."""
    with pytest.raises(SystemExit) as stop:
        train.main(arguments)
    return stop.value.code, *capsys.readouterr()


def test_name_and_options_are_parsed():
    name, config = cli.choose(RECIPES, ["scenes_encnet", "--epochs", "3", "--gating", "residual"])
    assert name == "scenes_encnet"
    assert config == RECIPES[name](epochs=3, gating="residual")


def test_help_lists_every_recipe_with_one_sentence(capsys):
    code, shown, _ = output_of(["--help"], capsys)
    assert code == 0
    assert all(name in shown for name in RECIPES)
    assert "--epochs" not in shown


def test_help_of_a_recipe_groups_its_options(capsys):
    code, shown, _ = output_of(["folder_encnet50", "--help"], capsys)
    assert code == 0
    assert "joint pyramid upsampling. It keeps its output stride" in " ".join(shown.split())
    titles = re.findall(r"^\W*(\w+) options\W*$", shown, re.MULTILINE)
    assert titles == list(GROUPS)


@pytest.mark.parametrize("name", ["folder_encnet50", "cifar10_encnet_16k64d"])
def test_help_describes_every_option(name, capsys):
    _, shown, _ = output_of([name, "--help"], capsys)
    text = " ".join(shown.translate(str.maketrans("│|", "  ")).split())
    for field in dataclasses.fields(RECIPES[name]):
        option = re.escape(field.name.replace("_", "-"))
        # A sentence, then the default in parentheses, before the next option.
        assert re.search(rf" --{option},? (?:(?! --(?!no-)).)*?[\w)`]\. \(", text), field.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenes_fcn", "--epocs", "3"], "No such option .* --epochs.* Received: '--epocs'"),
        (["scenes_fcn", "--epocs=3"], "Did you mean --epochs.* Received: '--epocs'"),
        (["scenes_fcn", "--batch_sise", "3"], "Did you mean --batch-size"),
        (["folder_fcn50", "--dta", "x"], "Did you mean --data"),  # and --data is missing
        (["folder_fcn50", "--no-flp", "--data", "x"], "Did you mean --no-flip"),
        (["cifar10_resnet_64d", "--heads", "psp"], "No such option of this recipe. `--help`"),
        (["scenes_fnc"], "No such recipe. Did you mean scenes_fcn.* Received: recipe='scenes_fnc'"),
        (["Scenes_FCN", "--epochs", "3"], "Did you mean scenes_fcn"),
        (["encnet50"], "Did you mean .*folder_encnet50"),
        (["xyz"], "No such recipe. `--help` lists"),
        (["--data", "x", "folder_fcn50"], "First name a recipe, folder_fcn50, then options"),
        (["--epocs", "3"], "First name a recipe, then options"),
        ([], "First name a recipe, then options.* Received: no arguments"),
    ],
)
def test_misspelled_recipes_and_options_suggest_similar_ones_of_their_kind(
    arguments, message, capsys
):
    code, _, error = output_of(arguments, capsys)
    assert code == 2
    assert re.search(message, error), error
    # Neither options of other recipes, nor options in place of recipes.
    assert "--width" not in error
    assert "ade20k" not in error.replace("ade20k_encnet50", "")


def test_options_are_accepted_in_every_spelling():
    spelled = [["--batch-size", "3"], ["--batch_size=3"], ["--batch-size=3"]]
    for options in spelled:
        _, config = cli.choose(RECIPES, ["scenes_fcn", *options, "--no-flip"])
        assert (config.batch_size, config.flip) == (3, False)


def test_callbacks_may_be_repeated():
    options = ["--callback", "a:b", "--callback", "c:d"]
    assert cli.choose(RECIPES, ["scenes_fcn", *options])[1].callback == ("a:b", "c:d")
    assert cli.choose(RECIPES, ["scenes_fcn"])[1].callback == ()


def test_missing_required_option_is_named(capsys):
    code, _, error = output_of(["folder_fcn50"], capsys)
    assert code == 2
    assert "--data" in error


def test_invalid_value_exits_with_a_message(capsys):
    with pytest.raises(SystemExit, match=r"error: `--epochs` must be at least 1. Received: epo"):
        train.main(["scenes_fcn", "--epochs", "0"])


def test_refuse_names_options_and_values():
    cli.refuse({"power": None}, "here")
    with pytest.raises(ValueError, match=r"`--power` has no effect here. Received: power=1.0"):
        cli.refuse({"power": 1.0, "l2": None}, "here")
    with pytest.raises(ValueError, match="`--base-size` and `--l2` have no effect here"):
        cli.refuse({"base_size": 0, "l2": 0.0}, "here")
