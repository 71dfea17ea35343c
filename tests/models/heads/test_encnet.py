"""The Context Encoding Module and the head of EncNet, in every variant."""

import keras
import numpy as np
import pytest

from keras_encnet import EncNet50, EncNet101
from keras_encnet.layers import Encoding, FeatureMapAttention
from keras_encnet.models.heads.encnet import context_code
from keras_encnet.utils.compat import producer_of
from tests.fixtures import VARIANTS, normalized_image

AUXILIARIES = {"context": {"presence_stage3"}, "fcn": {"segmentation_stage3"}, "none": set()}


def names(model):
    return {layer.name for layer in model.layers}


@pytest.mark.parametrize(
    ("build", "classes", "options", "parameters"),
    [
        (EncNet50, 150, {"variant": "official"}, 36_164_578),
        (EncNet50, 59, {"variant": "official", "lateral": True}, 43_915_217),
        (EncNet50, 150, {"variant": "mmsegmentation"}, 36_060_034),
        pytest.param(
            *(EncNet101, 150, {"variant": "mmsegmentation"}, 55_052_162), marks=pytest.mark.slow
        ),
    ],
)
def test_number_of_parameters_is_as_published(build, classes, options, parameters):
    model = build(classes, backbone_weights=None, **options)
    assert sum(np.prod(weight.shape) for weight in model.trainable_weights) == parameters


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("auxiliary", [None, *AUXILIARIES])
def test_names_shapes_and_dtypes_of_outputs(tiny, variant, auxiliary):
    model = tiny(variant, auxiliary=auxiliary)
    if auxiliary is None:
        auxiliary = "context" if variant in ("keras_encnet", "paper") else "fcn"
    outputs = model(normalized_image(2, 17, 23))
    assert set(outputs) == {"segmentation", "presence"} | AUXILIARIES[auxiliary]
    for name, output in outputs.items():
        assert output.shape == ((2, 17, 23, 5) if name.startswith("segmentation") else (2, 5))
        assert output.dtype == "float32"
        assert model.output[name].dtype == "float32"


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (31, 2)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_odd_and_tiny_image_sizes(tiny, variant, size):
    outputs = tiny(variant, outputs=("segmentation", "presence"))(normalized_image(1, *size))
    assert outputs["segmentation"].shape == (1, *size, 5)
    assert all(np.isfinite(output).all() for output in outputs.values())


def normalize(x, layer, axis):
    """Batch normalization at inference, in float64."""
    shape = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
    mean, variance, gamma, beta = (
        np.asarray(value, "float64").reshape(shape)
        for value in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


@pytest.mark.parametrize("aggregation", ["sum", "mean"])
@pytest.mark.parametrize("codeword_pooling", ["sum", "mean"])
@pytest.mark.parametrize("gating", ["scale", "residual"])
def test_context_encoding_module_computes_its_equations(
    rng, randomize, aggregation, codeword_pooling, gating
):
    inputs = keras.Input((None, None, 6))
    code = context_code(inputs, 4, aggregation, codeword_pooling, name="context")
    attention = FeatureMapAttention(gating, name="attention")
    model = randomize(keras.Model(inputs, [code, attention(inputs, code)]))
    model.get_layer("context_encoding").scale.assign(rng.uniform(-1, 0, 4))
    x = rng.normal(size=(2, 5, 7, 6)).astype("float32")

    kernel = model.get_layer("context_projection_conv").kernel.numpy()[0, 0]
    projected = normalize(x @ kernel, model.get_layer("context_projection_bn"), axis=-1)
    pixels = np.maximum(projected, 0).reshape(2, 35, 1, 6)
    encoding = model.get_layer("context_encoding")
    residuals = pixels - encoding.codewords.numpy()
    total = np.mean if aggregation == "mean" else np.sum
    weights = np.exp(encoding.scale.numpy() * total(residuals**2, -1))
    weights /= weights.sum(-1, keepdims=True)
    codes = total(weights[..., None] * residuals, 1)
    # One mean and variance per codeword, not per channel.
    codes = np.maximum(normalize(codes, model.get_layer("context_bn"), axis=1), 0)
    expected_code = codes.sum(1) if codeword_pooling == "sum" else codes.mean(1)
    gates = expected_code @ attention.kernel.numpy() + attention.bias.numpy()
    gated = x * (1 / (1 + np.exp(-gates)))[:, None, None]
    expected = gated if gating == "scale" else np.maximum(x + gated, 0)

    actual_code, actual = model(x)
    np.testing.assert_allclose(actual_code, expected_code, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("num_codewords", [0, 32])
def test_sum_over_codewords_starts_with_even_odds_and_half_open_gates(tiny, variant, num_codewords):
    model = tiny(variant, num_codewords=num_codewords)
    neutral = num_codewords == 32 and variant in ("keras_encnet", "paper")
    for name in ("context_attention", "presence"):
        assert np.all(model.get_layer(name).kernel == 0) == neutral, name


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("gating", "codeword_pooling"), [("scale", "sum"), ("residual", "mean"), ("residual", "sum")]
)
def test_context_encoding_module_is_finite_in_float16(gating, codeword_pooling, training):
    # Codes are sums over 4096 pixels of 100, far outside the range of float16, and saturate most
    # gates. Those that are not saturated show any rounding of the terms.
    def build(policy):
        keras.config.set_dtype_policy(policy)
        inputs = keras.Input((None, None, 512))
        code = context_code(inputs, 32, "sum", codeword_pooling, name="context")
        features = FeatureMapAttention(gating, name="attention")(inputs, code)
        return keras.Model(inputs, {"code": code, "features": features})

    exact, mixed = build("float32"), build("mixed_float16")
    mixed.set_weights(exact.get_weights())
    x = np.random.default_rng(0).uniform(0, 100, (2, 64, 64, 512)).astype("float16")
    expected = exact(x.astype("float32"), training=training)
    actual = mixed(x, training=training)
    assert actual["code"].dtype == "float32"
    assert actual["features"].dtype == "float16"
    for name, value in actual.items():
        value, wanted = np.asarray(value, "float32"), np.asarray(expected[name])
        assert np.isfinite(value).all(), name
        assert np.abs(value - wanted).max() <= 2e-3 * np.abs(wanted).max(), name


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_are_float32_under_mixed_precision(tiny, policy, variant):
    keras.config.set_dtype_policy(policy)
    model = tiny(variant)
    assert model.get_layer("head_conv").compute_dtype == policy.removeprefix("mixed_")
    for name, output in model(normalized_image(2, 17, 23)).items():
        assert output.dtype == "float32", name
        assert model.output[name].dtype == "float32", name
        assert np.isfinite(output).all(), name
        if name.startswith("segmentation"):
            # The logits before upsampling are not rounded, either.
            assert model.get_layer(f"{name}_logits").output.dtype == "float32"


@pytest.mark.parametrize(
    ("variant", "codeword_pooling", "gating", "auxiliary", "align_corners", "dropout"),
    [
        ("keras_encnet", "sum", "scale", "presence_stage3", False, keras.layers.Dropout),
        ("paper", "sum", "scale", "presence_stage3", False, keras.layers.Dropout),
        ("official", "mean", "residual", "segmentation_stage3", True, keras.layers.Dropout),
        (
            *("mmsegmentation", "mean", "residual", "segmentation_stage3", False),
            keras.layers.SpatialDropout2D,
        ),
    ],
)
def test_each_variant_has_its_structure(
    tiny, variant, codeword_pooling, gating, auxiliary, align_corners, dropout
):
    model = tiny(variant)
    aggregation = "mean" if variant == "keras_encnet" else "sum"
    assert ("context_sum" in names(model)) == (codeword_pooling == "sum")
    assert model.get_layer("context_encoding").aggregation == aggregation
    assert model.get_layer("context_attention").gating == gating
    assert set(model.output) == {"segmentation", "presence", auxiliary}
    assert model.get_layer("segmentation").align_corners == align_corners
    assert type(model.get_layer("segmentation_dropout")) is dropout
    assert model.get_layer("segmentation_dropout").rate == 0.1
    assert "fusion_conv" not in names(model)


@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize(
    ("override", "described"),
    [
        ({"aggregation": "mean"}, lambda m: m.get_layer("context_encoding").aggregation == "mean"),
        ({"aggregation": "sum"}, lambda m: m.get_layer("context_encoding").aggregation == "sum"),
        ({"codeword_pooling": "sum"}, lambda m: "context_sum" in names(m)),
        ({"codeword_pooling": "mean"}, lambda m: "context_sum" not in names(m)),
        ({"gating": "scale"}, lambda m: m.get_layer("context_attention").gating == "scale"),
        ({"gating": "residual"}, lambda m: m.get_layer("context_attention").gating == "residual"),
        ({"auxiliary": "context"}, lambda m: "presence_stage3" in m.output),
        ({"auxiliary": "fcn"}, lambda m: "segmentation_stage3" in m.output),
        ({"auxiliary": "none"}, lambda m: len(m.output) == 2),
        ({"lateral": True}, lambda m: m.get_layer("fusion_concat").output.shape[-1] == 24),
        ({"lateral": False}, lambda m: "fusion_concat" not in names(m)),
        ({"align_corners": True}, lambda m: m.get_layer("segmentation").align_corners),
        ({"align_corners": False}, lambda m: not m.get_layer("segmentation").align_corners),
        ({"dropout": 0.5}, lambda m: m.get_layer("segmentation_dropout").rate == 0.5),
        ({"dropout": 0}, lambda m: "segmentation_dropout" not in names(m)),
        ({"num_codewords": 7}, lambda m: m.get_layer("context_encoding").num_codewords == 7),
        ({"channels": 16}, lambda m: m.get_layer("head_conv").filters == 16),
        ({"classes": 2}, lambda m: m.classes == 2),
        ({"preprocessing": "tf"}, lambda m: m.preprocessing == "tf"),
        ({"outputs": "presence"}, lambda m: set(m.output) == {"presence"}),
        ({"name": "mine"}, lambda m: m.name == "mine"),
    ],
)
def test_option_overrides_the_variant(tiny, variant, override, described):
    assert described(tiny(variant, **override))


def test_lateral_connections_join_stages_2_and_3_with_the_head(tiny):
    model = tiny("official", lateral=True)
    joined = model.get_layer("fusion_concat")
    sources = [producer_of(tensor).name for tensor in joined.input]
    assert sources == ["head_relu", "lateral_stage2_relu", "lateral_stage3_relu"]
    assert np.isfinite(model(normalized_image(1, 17, 23))["segmentation"]).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_model_with_fewer_outputs_computes_less_with_the_same_result(
    tiny, randomize, tmp_path, variant
):
    full = randomize(tiny(variant))
    path = str(tmp_path / "full.weights.h5")
    full.save_weights(path)
    one = tiny(variant, weights=path, outputs=("segmentation",))
    assert set(one.output) == {"segmentation"}
    assert names(one) < names(full)
    assert not any("presence" in name or "stage3_" in name for name in names(one) - {"stage3_conv"})
    x = normalized_image(2, 17, 23)
    np.testing.assert_array_equal(one(x)["segmentation"], full(x)["segmentation"])


def test_without_codewords_the_code_is_the_mean_feature(tiny, randomize):
    model = randomize(tiny(num_codewords=0))
    assert not any(isinstance(layer, Encoding) for layer in model.layers)
    assert model.get_layer("context_pool").output.dtype == "float32"
    features = model.get_layer("context_projection_relu").output
    inner = keras.Model(model.input, [features, model.get_layer("context_pool").output])
    features, code = inner(normalized_image(2, 17, 23))
    np.testing.assert_allclose(code, np.mean(features, (1, 2)), rtol=1e-5)
    assert set(model.output) == {"segmentation", "presence", "presence_stage3"}


def test_batch_normalization_has_the_constants_of_the_official_code(tiny):
    model = tiny("official", lateral=True)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == 7
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-5)}


@pytest.mark.parametrize(("gate_bias", "expected"), [(None, 0.5), (2.0, 0.8807971)])
def test_gate_bias_sets_the_initial_gates_of_any_image(gate_bias, expected, rng, tiny):
    model = tiny("keras_encnet", gate_bias=gate_bias)
    attention = model.get_layer("context_attention")
    code = rng.normal(size=(3, attention.kernel.shape[0])).astype("float32")
    np.testing.assert_allclose(attention.gates(code), expected, rtol=1e-6)
    rebuilt = type(attention).from_config(attention.get_config())
    assert rebuilt.bias_initializer.get_config() == attention.bias_initializer.get_config()
