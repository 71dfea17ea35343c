import numpy as np
import pytest

from keras_encnet.export import export_saved_model
from tests.export.exported import LIMITS, SIZE, signatures_of
from tests.fixtures import small_encnet


@pytest.fixture(scope="session")
def model():
    keras_encnet_model = small_encnet(gating="residual")
    draw = np.random.default_rng(0)
    for weight in keras_encnet_model.weights:
        if weight.path.endswith(("beta", "moving_mean", "bias")):
            weight.assign(draw.normal(0.0, 0.1, weight.shape))
    keras_encnet_model.class_names = ("sky", "tree", "road", "car", "person")
    return keras_encnet_model


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "street" / "1"
    scores = {"mean_iou": 0.5}
    export_saved_model(
        model, path, size=SIZE, limits=LIMITS, warm_up=(1, 2), origin="Random.", scores=scores
    )
    return path


@pytest.fixture(scope="session")
def signatures(exported):
    return signatures_of(exported)
