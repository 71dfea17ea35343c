"""Runs the tutorial notebooks and stores their outputs.

python docs/run_tutorials.py [NOTEBOOK ...]
"""

import os
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs/tutorials"
# Of a notebook that is run from a clone, without messages about the hardware.
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def executed(path):
    """Returns a notebook with the outputs of its code, which runs in a temporary folder.

    Progress bars and other messages on the standard error stream, which differ from run to run, are
    left out.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(
            notebook,
            coalesce_streams=True,
            record_timing=False,
            timeout=900,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env={**os.environ, **ENVIRONMENT})
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def main(paths):
    """Runs these notebooks, by default all of them."""
    for path in paths or sorted(TUTORIALS.glob("*.ipynb")):
        nbformat.write(executed(path), path)
        print(f"Outputs written to {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
