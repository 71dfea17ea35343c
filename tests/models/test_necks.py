"""Joint pyramid upsampling: its arithmetic, and the backbones and options that it accepts."""

import keras
import numpy as np
import pytest

from keras_encnet import FCN, EncNet, EncNet50
from keras_encnet.layers import BatchNormalization
from tests.fixtures import normalized_image

DILATIONS = (1, 2, 4, 8)
ENDS = ("stage2", "stage3", "stage4")


@pytest.fixture
def pyramid():
    """Builds a backbone with one convolution per stage, by default of strides 4, 8, 16 and 32."""

    def build(strides=(4, 2, 2, 2), shape=(None, None, 3)):
        x = images = keras.Input(shape, name="images")
        stages = {}
        for i, (width, stride) in enumerate(zip((4, 5, 6, 7), strides, strict=True), start=1):
            x = keras.layers.Conv2D(width, 3, stride, padding="same", name=f"stage{i}_conv")(x)
            stages[f"stage{i}"] = x
        return keras.Model(images, stages, name="pyramid")

    return build


@pytest.fixture
def jpu(pyramid):
    def build(head=EncNet, width=4, **options):
        options = {"channels": 8, "num_codewords": 4, **options} if head is EncNet else options
        # Without preprocessing, the outputs of the backbone's layers are in the model's graph.
        options |= {"neck": "jpu", "neck_width": width, "include_preprocessing": False}
        return head(pyramid(), 3, **options)

    return build


def convolve(x, kernel, dilation=1):
    """A 3x3 convolution of a map padded by zeros; a depthwise kernel is `(3, 3, channels)`."""
    height, width = x.shape[:2]
    padded = np.pad(x, ((dilation, dilation), (dilation, dilation), (0, 0)))
    taps = [(i, j) for i in range(3) for j in range(3)]
    shifted = [
        padded[i * dilation : i * dilation + height, j * dilation : j * dilation + width]
        for i, j in taps
    ]
    kernels = [kernel[tap] for tap in taps]
    return sum(s * k if k.ndim == 1 else s @ k for s, k in zip(shifted, kernels, strict=True))


def interpolation(old, new, align_corners):
    """Returns the matrix that interpolates `old` values linearly at `new` positions."""
    if align_corners:
        at = np.arange(new) * ((old - 1) / max(new - 1, 1))
    else:
        at = (np.arange(new) + 0.5) * old / new - 0.5
    at = np.clip(at, 0, old - 1)
    return np.maximum(1 - np.abs(at[:, None] - np.arange(old)), 0)


def expected_features(model, stages, order, align_corners):
    """The equations of joint pyramid upsampling in float64, on maps `(height, width, channels)`."""

    def kernel(name):
        return np.asarray(model.get_layer(name).kernel, "float64")

    def normalize(x, name):
        norm = model.get_layer(name)
        gamma, beta, mean, variance = (np.asarray(weight, "float64") for weight in norm.weights)
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    maps = [
        np.maximum(normalize(convolve(x, kernel(f"neck_{s}_conv")), f"neck_{s}_bn"), 0)
        for s, x in zip(ENDS, stages, strict=True)
    ]
    height, width = maps[0].shape[:2]
    resized = [
        np.einsum(
            "ih,jw,hwc->ijc",
            interpolation(x.shape[0], height, align_corners),
            interpolation(x.shape[1], width, align_corners),
            x,
        )
        for x in maps
    ]
    x = np.concatenate(resized if order == "fine_first" else resized[::-1], -1)
    branches = []
    for dilation in DILATIONS:
        name = f"neck_dilation{dilation}"
        y = convolve(x, kernel(f"{name}_depthwise")[..., 0], dilation)
        y = normalize(y, f"{name}_depthwise_bn") @ kernel(f"{name}_conv")[0, 0]
        branches.append(np.maximum(normalize(y, f"{name}_bn"), 0))
    return np.concatenate(branches, -1)


@pytest.mark.parametrize("order", ["fine_first", "coarse_first"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(64, 96), (97, 41), (1, 30)])
def test_features_follow_the_equations(jpu, randomize, order, align_corners, size):
    model = randomize(jpu(FCN, neck_order=order, neck_align_corners=align_corners))
    outputs = [model.get_layer(f"{s}_conv").output for s in ENDS]
    network = keras.Model(model.input, [*outputs, model.get_layer("neck_features").output])
    *stages, features = (np.asarray(x[0], "float64") for x in network(normalized_image(1, *size)))
    expected = expected_features(model, stages, order, align_corners)
    assert features.shape == (-(-size[0] // 8), -(-size[1] // 8), 16)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


def test_head_takes_the_features_and_the_auxiliary_head_stage_3(jpu):
    model = jpu(variant="mmsegmentation", outputs=None)
    assert model.get_layer("head_conv").input is model.get_layer("neck_features").output
    auxiliary = model.get_layer("segmentation_stage3_conv")
    assert auxiliary.input is model.get_layer("stage3_conv").output
    outputs = model(normalized_image(2, 33, 47))
    assert outputs["segmentation"].shape == (2, 33, 47, 3)
    assert outputs["segmentation_stage3"].shape == (2, 33, 47, 3)


@pytest.mark.parametrize(
    ("variant", "kernel", "order", "align_corners"),
    [
        ("keras_encnet", 1, "fine_first", False),
        ("paper", 1, "fine_first", False),
        ("official", 1, "coarse_first", True),
        ("mmsegmentation", 3, "fine_first", False),
    ],
)
def test_variants_select_kernel_order_and_resizing(jpu, variant, kernel, order, align_corners):
    model = jpu(variant=variant)
    assert model.get_layer("head_conv").kernel_size == (kernel, kernel)
    first = model.get_layer("neck_pyramid").input[0]
    fine = model.get_layer("neck_stage2_relu").output
    assert (first is fine) == (order == "fine_first")
    for stage in ("stage3", "stage4"):
        assert model.get_layer(f"neck_{stage}_upsampling").align_corners == align_corners


@pytest.mark.parametrize(("output_stride", "lateral"), [(None, None), (32, False)])
def test_backbone_is_built_at_output_stride_32(recorded_backbone, output_stride, lateral):
    with pytest.raises(ValueError, match="strides 8, 16 and 32"):  # that of the recorder is 8
        EncNet50(3, neck="jpu", output_stride=output_stride, lateral=lateral)
    assert recorded_backbone[0]["output_stride"] == 32


@pytest.mark.parametrize("option", [{"output_stride": 8}, {"output_stride": 16}, {"lateral": True}])
def test_contradicting_options_raise_before_the_backbone_is_built(recorded_backbone, option):
    ((name, value),) = option.items()
    with pytest.raises(
        ValueError, match=rf"`neck='jpu'` requires `{name}=\w+`.*Received: {name}={value}"
    ):
        EncNet50(3, neck="jpu", **option)
    assert not recorded_backbone


@pytest.mark.parametrize("head", [EncNet, FCN])
@pytest.mark.parametrize("strides", [(4, 2, 1, 1), (4, 2, 2, 1), (2, 2, 2, 2), (8, 2, 2, 2)])
def test_backbone_of_other_strides_raises(pyramid, head, strides):
    with pytest.raises(ValueError, match="`output_stride=32`.*Received: backbone with the strides"):
        head(pyramid(strides), 3, neck="jpu")


@pytest.mark.parametrize("shape", [(32, 48, 3), (96, 70, 3), (None, 64, 3)])
def test_fixed_sizes_of_images_are_accepted(pyramid, shape):
    model = FCN(pyramid(shape=shape), 3, neck="jpu", neck_width=2)
    size = [side or 40 for side in shape[:2]]
    assert model(normalized_image(1, *size))["segmentation"].shape == (1, *size, 3)


def test_backbone_without_stage_2_raises(pyramid):
    backbone = pyramid()
    backbone = keras.Model(
        backbone.input, {stage: backbone.output[stage] for stage in ("stage3", "stage4")}
    )
    with pytest.raises(ValueError, match="requires stage2, stage3, stage4"):
        FCN(backbone, 3, neck="jpu")


def test_neck_belongs_to_the_head(jpu):
    model = jpu()
    model.freeze_backbone_batch_normalization()
    own = [layer for layer in model.layers if layer.name.startswith("neck_") and layer.weights]
    assert len(own) == 22
    assert {layer.name for layer in own} <= set(model.head_layers)
    assert all(layer.trainable for layer in own)
    # Statistics over all replicas.
    norms = [layer for layer in own if layer.name.endswith("_bn")]
    assert all(type(norm) is BatchNormalization for norm in norms)


def test_neck_computes_in_the_precision_of_the_policy(jpu):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = jpu()
    assert model.get_layer("neck_features").output.dtype == "bfloat16"
    assert model.output["segmentation"].dtype == "float32"
    assert np.isfinite(model(normalized_image(1, 40, 40))["segmentation"]).all()


def test_saved_model_gives_identical_outputs(jpu, randomize, tmp_path):
    model = randomize(jpu(variant="official"))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = normalized_image(1, 33, 47)
    expected = model(x)
    for name, output in loaded(x).items():
        np.testing.assert_array_equal(output, expected[name])
    assert loaded.head_layers == model.head_layers
