"""Configuration files of TensorFlow Serving."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_encnet.utils.files import atomic_file

MODELS = """\
# tensorflow_model_server --model_config_file=<this file>
model_config_list {{
  config {{
    name: "{name}"
    base_path: "{base_path}"
    model_platform: "tensorflow"
    # By default the highest version is served. To serve two and name them:
    # model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    # version_labels {{ key: "stable" value: 1 }}
    # version_labels {{ key: "canary" value: 2 }}
  }}
}}
"""

BATCHING = """\
# tensorflow_model_server --enable_batching --batching_parameters_file=<this file>
# {remark}
max_batch_size {{ value: {images} }}
batch_timeout_micros {{ value: 2000 }}
num_batch_threads {{ value: {threads} }}
max_enqueued_batches {{ value: 100 }}
"""

ANY_SIZE = """\
For `serving_default` only. `tensors` and `tensors_uint8` of this export take images of any size,
# and a server cannot batch images of different sizes: concurrent requests would fail. Padding would
# change the predictions. Export with a fixed size to batch these signatures as well."""
FIXED_SIZE = "For all signatures, as they take images of one size."


def write_configuration(
    folder: str | os.PathLike, export: Mapping[str, Any], base_path: str | None = None
) -> None:
    """Writes `models.config` and `batching.config` to the folder of a model's versions.

    Existing files are kept, since users edit them.

    Args:
        folder: the folder, `<...>/<name>`.
        export: the dict that `export_saved_model` returned. It limits the images in a batch.
        base_path: path of the folder on the server. Defaults to `/models/<name>`, as in TensorFlow
            Serving's Docker image.
    """
    folder = Path(folder)
    fixed_size, limits = export["fixed_size"], export["limits"]
    images = limits["images"]
    if fixed_size:
        images = max(1, min(images, limits["tensor_pixels"] // math.prod(export["size"])))
    contents = {
        "models.config": MODELS.format(
            name=folder.name, base_path=base_path or f"/models/{folder.name}"
        ),
        "batching.config": BATCHING.format(
            remark=FIXED_SIZE if fixed_size else ANY_SIZE, images=images, threads=os.cpu_count()
        ),
    }
    for name, text in contents.items():
        if not (folder / name).exists():
            with atomic_file(folder / name) as temporary:
                temporary.write_text(text)
