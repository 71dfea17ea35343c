"""Models that the command of the demo page opens."""

import pytest

from saved_models.demo import sources
from saved_models.demo.sources import connect, find_saved_model, open_models
from saved_models.demo.uploads import PageLimits
from saved_models.grpc_client import GrpcClient
from saved_models.rest_client import RestClient


@pytest.mark.parametrize(
    ("address", "kind", "fields"),
    [
        (
            "http://localhost:8501/v1/models/street",
            RestClient,
            ("http://localhost:8501", None, None),
        ),
        ("https://a.b/c/v1/models/street/versions/2/", RestClient, ("https://a.b/c", 2, None)),
        ("grpc://localhost:8500/v1/models/street", GrpcClient, ("localhost:8500", None, None)),
        (
            "grpc://[::1]:8500/v1/models/street/labels/canary",
            GrpcClient,
            ("[::1]:8500", None, "canary"),
        ),
    ],
)
def test_addresses_select_interface_model_and_version(address, kind, fields):
    client = connect(address)
    assert type(client) is kind
    assert client.model == "street"
    assert (client.address, client.version, client.label) == fields


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:8501",
        "http://localhost:8501/v1/models/",
        "http://localhost:8501/v1/models/street:predict",
        "http://localhost:8501/v1/models/street/versions/new",
        "ftp://localhost/v1/models/street",
        "gs://bucket/street.keras",
    ],
)
def test_other_addresses_raise_with_an_example(address):
    with pytest.raises(ValueError, match=f"such as `http.*Received: model='{address}'"):
        open_models([address], PageLimits())


def test_the_highest_version_of_a_saved_model_is_found(tmp_path):
    assert find_saved_model(tmp_path / "missing") is None
    for number in ("2", "10", "old"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "saved_model.pb").touch()
    assert find_saved_model(tmp_path) == tmp_path / "10"
    assert find_saved_model(tmp_path / "2") == tmp_path / "2"


def test_missing_and_damaged_models_raise_with_their_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        open_models([str(tmp_path / "missing")], PageLimits())
    (tmp_path / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=f"incomplete or damaged .*Received: model='{tmp_path}'"):
        open_models([str(tmp_path)], PageLimits())


def test_models_are_named_after_their_runs_and_those_with_the_same_name_numbered(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sources.trained_models, "load_model", lambda path: path)
    monkeypatch.setattr(sources, "KerasModel", lambda name, network, limits: Named(name))
    paths = [
        tmp_path / name for name in ("a/encnet/best.keras", "b/encnet/best.keras", "fcn.keras")
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    given = [paths[0].parent, *paths[1:], "http://localhost:8501/v1/models/street/labels/canary"]
    models = open_models([str(path) for path in given], PageLimits())
    names = [model.name for model in models]
    assert names == ["encnet (1)", "encnet (2)", "fcn", "street/canary"]


class Named:
    def __init__(self, name):
        self.name = name
