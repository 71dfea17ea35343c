"""A backend other than TensorFlow is refused before Keras imports it."""

import json
import os
import subprocess
import sys

import pytest


def import_in_new_process(module, **environment):
    inherited = {name: text for name, text in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("module", ["keras_encnet", "training.train", "saved_models.client"])
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backend_in_the_environment_is_refused(module, backend):
    process = import_in_new_process(module, KERAS_BACKEND=backend)
    assert process.returncode == 1
    message = process.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: keras_encnet requires the TensorFlow backend")
    assert message.endswith(f"Received: KERAS_BACKEND='{backend}'")


def test_other_backend_in_the_file_of_keras_is_refused(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    process = import_in_new_process("keras_encnet", KERAS_HOME=str(tmp_path))
    message = process.stderr.strip().splitlines()[-1]
    assert f"the `backend` in {tmp_path / 'keras.json'}. Received: backend='torch'" in message


@pytest.mark.parametrize("content", ['{"backend": "torch"}', "{}", "no JSON", None])
def test_environment_and_defaults_take_precedence_as_in_keras(content, tmp_path):
    if content is not None:
        (tmp_path / "keras.json").write_text(content)
    environment = {"KERAS_BACKEND": "tensorflow"} if content and "torch" in content else {}
    # The check without the import of TensorFlow, which takes seconds.
    code = "runpy; runpy.run_path('keras_encnet/utils/backend.py')['check_backend']()"
    process = import_in_new_process(code, KERAS_HOME=str(tmp_path), **environment)
    assert process.returncode == 0, process.stderr
