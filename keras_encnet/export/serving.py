"""Configuration files for TensorFlow Serving, beside the versions of a model."""

import math
import os
from pathlib import Path

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
For `serving_default` alone. `tensors` and `tensors_uint8` take images of any size here, and a
# server can't put images of different sizes together: requests that meet would fail. Padding would
# change their answers. Export with a fixed size to batch these signatures, too."""
FIXED_SIZE = "Fits all signatures: they take images of one size."


def write_configuration(folder, export, base_path=None):
    """Writes `models.config` and `batching.config` to the folder of a model's versions.

    Each is written where it doesn't exist yet: people edit them.

    Args:
        folder: `<...>/<name>`.
        export: what `export_saved_model` returned. Batches hold no more images
            than the export takes.
        base_path: the folder, as the server sees it; `/models/<name>` by
            default, where TensorFlow Serving's Docker image looks.
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
            with atomic_file(folder / name) as place:
                place.write_text(text)
