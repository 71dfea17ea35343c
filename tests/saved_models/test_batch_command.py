"""`python -m saved_models.batch` without Apache Beam. With it, see the folder `beam`."""

import sys

import pytest

from saved_models import batch
from training import cli


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    arguments = batch.Arguments("photos", "out", model="street")
    message = "requires the package apache-beam.*pip install"
    with pytest.raises(SystemExit, match=message), cli.plain_errors():
        batch.main(arguments, [])
