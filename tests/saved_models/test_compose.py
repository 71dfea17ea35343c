"""The serving kit: its files are valid and agree with each other. No container is started."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from packaging.requirements import Requirement

from keras_encnet.export import Limits, write_configuration
from saved_models.demo import __main__ as demo
from saved_models.demo.sources import connect
from saved_models.grpc_client import GrpcClient
from tests.saved_models.fake_server import fake_server
from tests.saved_models.serving_reference import FLAGS, message_class

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "saved_models/compose"
GRPC, REST = 8500, 8501  # on which TensorFlow Serving's image listens
DEMO, PROMETHEUS = 7860, 9090


@pytest.fixture(scope="module")
def services():
    text = (FOLDER / "compose.yaml").read_text()
    # Required when it is first used: the other places may then rely on it.
    text = re.sub(r"\$\{MODEL(:\?[^}]*)?\}", "street", text)
    assert "$" not in text
    return yaml.safe_load(text)["services"]


def flags_of(service):
    pairs = (flag.removeprefix("--").partition("=") for flag in service["command"])
    return {name: value for name, _, value in pairs}


def test_the_compose_file_follows_the_schema_of_the_specification():
    pytest.importorskip("check_jsonschema")
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    file = str(FOLDER / "compose.yaml")
    done = subprocess.run([sys.executable, *command, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_name_of_the_model_is_required():
    first = re.search(r"\$\{MODEL[^}]*\}", (FOLDER / "compose.yaml").read_text())
    assert first[0].startswith("${MODEL:?")


def test_ports_are_published_on_the_loopback_interface_only(services):
    published = [port.split(":") for service in services.values() for port in service["ports"]]
    assert {host for host, _, _ in published} == {"127.0.0.1"}
    assert sorted(int(port) for _, port, _ in published) == sorted((GRPC, REST, DEMO, PROMETHEUS))
    assert all(outside == inside for _, outside, inside in published)


def test_flags_of_the_server_are_documented(services):
    assert set(flags_of(services["serving"])) <= FLAGS
    readme = (ROOT / "saved_models/README.md").read_text()
    named = set(re.findall(r"--((?:enable|allow|\w+_config|\w+_parameters)_\w+)", readme))
    assert len(named) >= 4
    assert named <= FLAGS


def test_the_server_finds_its_files(services, tmp_path):
    export = {
        "size": (32, 32),
        "fixed_size": True,
        "limits": {"images": Limits.images, "tensor_pixels": Limits.tensor_pixels},
    }
    write_configuration(tmp_path / "models/street", export)
    mounts = {target: source for source, target in mounts_of(services["serving"]).items()}
    assert mounts["/models"] == ".."
    files = {
        name: path for name, path in flags_of(services["serving"]).items() if name.endswith("_file")
    }
    assert len(files) == 3
    for path in files.values():
        local = FOLDER / mounts[path] if path in mounts else tmp_path / path.lstrip("/")
        assert local.is_file(), path
    batching = tmp_path / files["batching_parameters_file"].lstrip("/")
    parsed = text_format.Parse(batching.read_text(), message_class("BatchingParameters")())
    assert 1 <= parsed.max_batch_size.value <= Limits.images
    assert parsed.num_batch_threads.value >= 1


def mounts_of(service):
    return dict(volume.split(":")[:2] for volume in service["volumes"])


def test_prometheus_reads_the_metrics_that_the_server_writes(services):
    text = (FOLDER / "monitoring.config").read_text()
    metrics = text_format.Parse(text, message_class("MonitoringConfig")()).prometheus_config
    assert metrics.enable
    configuration = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    [job] = configuration["scrape_configs"]
    assert job["metrics_path"] == metrics.path
    assert job["static_configs"] == [{"targets": [f"serving:{REST}"]}]
    volumes = yaml.safe_load((FOLDER / "compose.yaml").read_text())["volumes"]
    for source in mounts_of(services["prometheus"]):
        assert source in volumes or (FOLDER / source).is_file()


def test_unknown_fields_of_text_protos_raise():
    for text in ("max_batch_sizes { value: 1 }", "max_batch_size { value: true }"):
        with pytest.raises(text_format.ParseError):
            text_format.Parse(text, message_class("BatchingParameters")())


def test_the_page_asks_the_server_for_the_model(services):
    address, *options = services["demo"]["command"]
    client = connect(address)
    assert type(client) is GrpcClient
    host, port = client.address.split(":")
    assert (host in services, int(port), client.model) == (True, GRPC, "street")
    assert options == ["--host", "0.0.0.0"]
    parameters = inspect.signature(demo.main).parameters
    assert parameters["host"].default == "127.0.0.1"
    assert parameters["port"].default == DEMO
    assert services["demo"]["depends_on"] == {"serving": {"condition": "service_healthy"}}


def test_the_server_is_healthy_once_a_version_is_available(services):
    command = services["serving"]["healthcheck"]["test"]
    assert command[0] == "CMD"

    def exit_status(port):
        adapted = [part.replace(str(REST), port) for part in command[1:]]
        return subprocess.run(adapted, capture_output=True, timeout=20).returncode

    with fake_server(None) as address:
        assert exit_status(address.rpartition(":")[2]) == 0
    assert exit_status(address.rpartition(":")[2]) != 0  # closed


def copied():
    """Returns the targets of the files and folders of the image."""
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    return dict(line.split()[1:] for line in lines if line.startswith("COPY"))


def test_the_image_is_built_from_files_that_exist_and_are_not_ignored(services):
    build = services["demo"]["build"]
    context = FOLDER / build["context"]
    assert (context / build["dockerfile"]).samefile(FOLDER / "Dockerfile")
    ignored = (context / (build["dockerfile"] + ".dockerignore")).read_text().splitlines()
    for source in copied():
        assert (context / source).exists()
        assert f"!{source.split('/')[0]}" in ignored


def test_all_packages_of_the_image_are_pinned_within_the_bounds_of_the_project():
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["train"], *extras["serve"], *extras["demo"]]
    for requirement in map(Requirement, required):
        if requirement.name != project["name"]:
            assert requirement.specifier.contains(pins[requirement.name.replace("_", "-")])


@pytest.mark.slow
def test_the_command_runs_from_the_files_of_the_image(tmp_path):
    for source, target in copied().items():
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / target)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path / "none")}
    command = [sys.executable, "-m", "saved_models.demo", "--help"]
    pipes = {"capture_output": True, "text": True}
    done = subprocess.run(command, cwd=tmp_path, env=environment, **pipes)
    assert done.returncode == 0, done.stderr
    assert "python -m saved_models.demo" in done.stdout
