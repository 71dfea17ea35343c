"""Uses the installed package as a reader of README would, with nothing else installed.

    python use_wheel.py

Builds a model, fits a step, saves, loads, segments, exports, and predicts with the export.
"""

import importlib.metadata
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_encnet

package = Path(keras_encnet.__file__).parent
assert "site-packages" in package.parts, package
assert importlib.metadata.version("keras-encnet") == keras_encnet.__version__
files = {file.parts[0] for file in importlib.metadata.files("keras-encnet")}
assert files == {"keras_encnet", f"keras_encnet-{keras_encnet.__version__}.dist-info"}, files
assert (package / "py.typed").exists()
assert keras_encnet.pretrained.available("EncNet50", "ade20k")

backbone = keras_encnet.backbones.ResNet18(width_multiplier=0.125)
model = keras_encnet.EncNet(backbone, classes=3, channels=8)
model.compile(
    keras_encnet.optimizers.SGD(0.001, l2=1e-4), **keras_encnet.objectives(model), run_eagerly=True
)
images = np.random.randint(0, 256, (2, 48, 64, 3), "uint8")
masks = np.random.randint(0, 3, (2, 48, 64))
history = model.fit(images, masks, verbose=0).history
assert np.isfinite(history["loss"]).all(), history

model.save("encnet.keras")
model = keras.models.load_model("encnet.keras")
class_ids = model.segment(images)
assert class_ids.shape == masks.shape, class_ids.shape

keras_encnet.export_saved_model(model, "street/1", warm_up=())
served = tf.saved_model.load("street/1").signatures["tensors_uint8"](images=tf.constant(images))
assert (served["classes"].numpy() == class_ids).mean() > 0.99
print(f"keras_encnet {keras_encnet.__version__}: fitted, saved, loaded, segmented, exported")
