"""What the heads that predict a mask only have in common."""

import keras
import numpy as np
import pytest

from keras_encnet import FCN, DeepLabV3, PSPNet, SegmentationModel, objectives
from tests.fixtures import normalized_image

BUILDERS = [FCN, PSPNet, DeepLabV3]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_outputs_are_float32_logits_at_input_size(tiny_backbone, build, policy):
    keras.config.set_dtype_policy(policy)
    model = build(tiny_backbone(), classes=5, auxiliary="fcn")
    assert set(model.output) == {"segmentation", "segmentation_stage3"}
    for size in ((1, 1), (17, 23)):
        for output in model(normalized_image(2, *size)).values():
            assert output.shape == (2, *size, 5)
            assert output.dtype == "float32"
            assert np.isfinite(output).all()


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("align_corners", [False, True])
def test_align_corners_reaches_every_upsampling(tiny_backbone, build, align_corners):
    model = build(tiny_backbone(), align_corners=align_corners, auxiliary="fcn")
    found = [layer.align_corners for layer in model.layers if hasattr(layer, "align_corners")]
    assert len(found) > 1
    assert set(found) == {align_corners}


@pytest.mark.parametrize("build", BUILDERS)
def test_dropout_rate(tiny_backbone, build):
    assert build(tiny_backbone(), dropout=0.3).get_layer("segmentation_dropout").rate == 0.3
    without = build(tiny_backbone(), dropout=0, auxiliary="none")
    assert set(without.output) == {"segmentation"}
    assert not [layer.name for layer in without.layers if "dropout" in layer.name]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    ("argument", "value"), [("auxiliary", "context"), ("classes", 1), ("classes", 2.5)]
)
def test_invalid_argument_raises(tiny_backbone, build, argument, value):
    with pytest.raises(ValueError, match=f"Received: {argument}={value!r}"):
        build(tiny_backbone(), **{argument: value})


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("variant", ["official", "mmsegmentation"])
def test_saved_model_gives_identical_outputs(tiny_backbone, randomize, tmp_path, build, variant):
    model = randomize(build(tiny_backbone(), 5, variant=variant))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is SegmentationModel
    x = normalized_image(2, 17, 23)
    for name, output in loaded(x).items():
        np.testing.assert_array_equal(output, model(x)[name])


@pytest.mark.parametrize("build", [PSPNet, DeepLabV3])
@pytest.mark.parametrize("batch", [1, 2])
def test_batches_of_any_size_train_the_branch_of_the_image_average(
    tiny_backbone, randomize, rng, build, batch
):
    model = randomize(build(tiny_backbone(), 3, dropout=0))
    model.compile("sgd", run_eagerly=True, **objectives(model))
    norm = model.get_layer("pyramid_1_bn" if build is PSPNet else "aspp_image_bn")
    before = [np.array(weight) for weight in norm.weights]
    images = rng.integers(0, 256, (batch, 16, 16, 3)).astype("uint8")
    loss = model.train_on_batch(images, rng.integers(0, 3, (batch, 16, 16)))[0]
    assert np.isfinite(loss)
    # A single image has no variance, so it changes no moving statistic.
    for weight, value in zip(norm.weights[2:], before[2:], strict=True):
        assert np.allclose(weight, value, rtol=1e-6) == (batch == 1)
    assert np.isfinite(model.predict_on_batch(images)["segmentation"]).all()
