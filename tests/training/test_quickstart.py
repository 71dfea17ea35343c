"""The quickstart replaces its own export, and nothing else."""

import pytest

from training import quickstart


def test_a_folder_that_holds_no_export_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="holds no SavedModel"):
        quickstart.main(tmp_path / "runs", export=tmp_path)
    assert (tmp_path / "thesis.txt").exists()
    assert not (tmp_path / "runs").exists()
