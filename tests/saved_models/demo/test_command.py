"""`python -m saved_models.demo`: mistakes end with a sentence before the page is up."""

import sys

import pytest

from keras_encnet.utils.packages import MissingPackageError
from saved_models.demo import __main__ as demo


def test_a_model_is_required():
    with pytest.raises(ValueError, match="at least one model"):
        demo.main(())


@pytest.mark.parametrize("port", [0, 65536])
def test_ports_out_of_range_are_refused(port):
    with pytest.raises(ValueError, match=f"from 1 to 65535. Received: port={port}"):
        demo.main(("runs/encnet",), port=port)


def test_a_missing_package_raises_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingPackageError, match="pip install gradio"):
        demo.main(("runs/encnet",))
