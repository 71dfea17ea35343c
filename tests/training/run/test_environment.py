"""What results record about code and machine."""

import subprocess

import pytest

from training.run import environment

IDENTITY = ("-c", "user.name=name", "-c", "user.email=name@example.com")


def git(folder, *arguments):
    command = ("git", "-C", folder, *IDENTITY, *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_is_that_of_the_clone_and_marks_changed_files(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "First")
    git(tmp_path, "tag", "v1")  # the name of a release would not identify later changes
    head = git(tmp_path, "rev-parse", "HEAD")
    found = environment.commit(tmp_path)
    assert len(found) >= 7
    assert head.startswith(found)
    (tmp_path / "code.py").write_text("changed")
    assert environment.commit(tmp_path) == f"{found}-dirty"


def test_commit_is_none_outside_of_a_clone_and_without_git(tmp_path, monkeypatch):
    assert environment.commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.commit(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx512_bf16 sse\n", "AMD EPYC (avx512_bf16)"),
        ("model name : Xeon\nflags : fpu\n", "Xeon"),
    ],
)
def test_processor_has_its_name_and_instructions_for_bfloat16(
    text, expected, tmp_path, monkeypatch
):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(environment, "CPU_INFO", tmp_path / "cpuinfo")
    assert environment.processor() == expected


@pytest.mark.parametrize(
    ("text", "precision", "emulated"),
    [
        ("flags : fpu avx512f\n", "bfloat16", True),
        ("flags : fpu avx512f avx512_bf16\n", "bfloat16", False),
        ("flags : fpu avx512f avx512_bf16\n", "float16", True),
        ("Features : fp asimd bf16\n", "bfloat16", False),  # Arm
        ("Features : fp asimd\n", "bfloat16", True),
        ("flags : fpu avx512f\n", "float32", False),
        ("", "bfloat16", False),  # not known
    ],
)
def test_only_processors_known_to_lack_instructions_emulate(
    text, precision, emulated, tmp_path, monkeypatch
):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(environment, "CPU_INFO", tmp_path / "cpuinfo")
    assert environment.emulates(precision) == emulated


def test_processor_has_a_name_without_the_files_of_linux(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "CPU_INFO", tmp_path / "none")
    assert environment.processor()


def test_environment_names_processor_and_versions():
    found = environment.environment()
    assert found["processor"]
    assert found["packages"]["tensorflow"]
    assert found["packages"].keys() == set(environment.PACKAGES)
