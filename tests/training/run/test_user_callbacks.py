"""`--callback module:factory`: errors, and the examples of the documentation."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import keras
import pytest

from training.configs.scenes import ScenesFCN
from training.run import user_callbacks
from training.run.user_callbacks import create

ROOT = Path(__file__).parents[3]
MODULE = '''
import keras

received = []

class Callback(keras.callbacks.Callback):
    def __init__(self, config=None, run_dir=None):
        super().__init__()

def track(config, run_dir):
    received.append((config, run_dir))
    return Callback()

def nothing(config, run_dir):
    """Forgets to return the callback."""

def broken(config, run_dir):
    return config.no_such_option

number = 3
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes `my_callbacks.py` and makes it importable, once."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text=MODULE, name="my_callbacks"):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    write()
    yield write
    sys.modules.pop("my_callbacks", None)


def config(*names, **options):
    return ScenesFCN(callback=names, **options)


def test_functions_and_classes_create_callbacks_from_recipe_and_run_folder(module, tmp_path):
    recipe = config("my_callbacks:track", "my_callbacks:Callback")
    callbacks = create(recipe, tmp_path)
    assert [type(callback).__name__ for callback in callbacks] == ["Callback", "Callback"]
    assert sys.modules["my_callbacks"].received == [(recipe, tmp_path)]
    assert create(config(), tmp_path) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_callbacks", "must be a module and a function in it"),
        (":track", "must be a module and a function in it"),
        ("no_such_module:track", "cannot be imported: ModuleNotFoundError: No module named 'no_s"),
        ("my_callbacks:trak", "must name a function of the module.* Did you mean track?"),
        ("my_callbacks:number", "must name a function of the module my_callbacks"),
        ("sys:track", "must name a function of the module sys"),
    ],
)
def test_functions_that_cannot_be_found_raise(name, message, module):
    with pytest.raises(ValueError, match=f"{message}.*Received: callback='{name}'"):
        user_callbacks.find([name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_callbacks:nothing", "must return a `keras.callbacks.Callback`.*returned None"),
        ("my_callbacks:broken", r"no_such_option' \(.*my_callbacks.py, line 18\)"),
        ("my_callbacks:list", "must name a function"),
    ],
)
def test_functions_that_create_no_callback_raise(name, message, module, tmp_path):
    with pytest.raises(ValueError, match=message):
        create(config(name), tmp_path)


@pytest.mark.parametrize("text", ["import no_such_package", "def track(:", "1 / 0"])
def test_modules_that_cannot_be_imported_raise(text, module, tmp_path):
    module(f"\n{text}\n")
    with pytest.raises(ValueError, match=r"cannot be imported: \w+Error.*Received: callback="):
        create(config("my_callbacks:track"), tmp_path)


def example(package):
    """Returns the module of the documentation that imports a package."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/training.md").read_text(), re.M | re.S
    )
    (block,) = [block for block in blocks if f"import {package}" in block]
    return block


class StandIn(ModuleType):
    """A tracking package that records runs, parameters and metrics."""

    def __init__(self, name):
        super().__init__(name)
        self.runs, self.params, self.metrics = [], [], []

    def start_run(self, run_id=None, run_name=None):
        self.runs.append(run_id)
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "new"))

    def log_params(self, params):
        self.params.append(params)

    def log_metrics(self, metrics, step):
        self.metrics.append((step, metrics))


def test_mlflow_example_continues_the_run_of_a_resumed_training(module, monkeypatch, tmp_path):
    mlflow = StandIn("mlflow")
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    module(example("mlflow"))
    for epoch, overwrite in ((0, False), (1, False), (0, True)):
        (callback,) = create(config("my_callbacks:track", overwrite=overwrite), tmp_path)
        callback.on_epoch_end(epoch, {"loss": 2.0})
    assert mlflow.runs == [None, "new", None]
    assert [params["head"] for params in mlflow.params] == ["fcn", "fcn"]
    assert mlflow.metrics == [(1, {"loss": 2.0}), (2, {"loss": 2.0}), (1, {"loss": 2.0})]


def test_wandb_example_continues_the_run_of_a_resumed_training(module, monkeypatch, tmp_path):
    wandb, started = ModuleType("wandb"), []
    wandb.init = lambda **options: started.append(options) or SimpleNamespace(id="new")
    integration = ModuleType("wandb.integration.keras")
    integration.WandbMetricsLogger = keras.callbacks.Callback
    for name, stand_in in {
        "wandb": wandb,
        "wandb.integration": ModuleType("wandb.integration"),
        "wandb.integration.keras": integration,
    }.items():
        monkeypatch.setitem(sys.modules, name, stand_in)
    module(example("wandb"))
    for _ in range(2):
        create(config("my_callbacks:track"), tmp_path)
    assert [options["id"] for options in started] == [None, "new"]
    assert started[0]["config"]["head"] == "fcn"


@pytest.mark.slow
def test_mlflow_example_writes_to_a_local_store(module, monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    module(example("mlflow"))
    recipe = config("my_callbacks:track")
    for epoch in (0, 1):
        (callback,) = create(recipe, tmp_path)
        callback.on_epoch_end(epoch, {"loss": 2.0 - epoch})
        mlflow.end_run()
    client = mlflow.tracking.MlflowClient()
    (run,) = client.search_runs(["0"])
    assert run.data.params["head"] == "fcn"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
