"""Converted checkpoints compute what the published networks compute."""

import functools
import sys

import keras
import numpy as np
import pytest

import keras_encnet
from tests import procedural
from tests.pytorch import published, published_rivals
from tests.pytorch.published import R50, R101

ENDS = ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")


def relative_error(actual, expected):
    assert np.shape(actual) == np.shape(expected)
    return np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max()


# The images of the references are normalized.
converted = functools.partial(keras_encnet.from_pytorch, include_preprocessing=False)


def trainable_parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.fixture(scope="module", params=["official_encnet50s_ade20k", "mmseg_encnet_r50-d8_ade20k"])
def encnet(request):
    """The model converted from a reference's weights, its outputs, and the expected outputs."""
    description, expected = procedural.golden(request.param)
    model = converted(procedural.weights(description["shapes"]))
    inner = {
        "logits": model.get_layer("segmentation_logits").output,
        "aux_logits": model.get_layer("segmentation_stage3_logits").output,
        **{name: model.get_layer(name).output for name in ENDS},
    }
    image = procedural.image(request.param, description["height"], description["width"])
    outputs = keras.Model(model.input, {**model.output, **inner})(image[None])
    return model, {name: np.asarray(output) for name, output in outputs.items()}, expected


def test_encnet_outputs_match_the_published_network(encnet):
    _, outputs, expected = encnet
    outputs["se_logits"] = outputs["presence"]
    outputs["logits_full_every_4th"] = outputs["segmentation"][:, ::4, ::4]
    for name in ("logits", "aux_logits", "se_logits", "logits_full_every_4th"):
        assert relative_error(outputs[name], expected[name]) < 1e-5, name
    np.testing.assert_array_equal(outputs["segmentation"].argmax(-1), expected["classes_full"])


def test_stage_means_match_the_published_network(encnet):
    _, outputs, expected = encnet
    for name, means in zip(ENDS, expected["feature_means"], strict=True):
        channels = outputs[name].shape[-1]
        assert relative_error(outputs[name].mean((0, 1, 2)), means[:channels]) < 1e-5, name
        assert not means[channels:].any()


def test_encnet_has_all_outputs_and_parameters(encnet):
    model, _, _ = encnet
    assert isinstance(model, keras_encnet.SegmentationModel)
    assert (model.name, model.preprocessing, model.classes) == ("encnet50", None, 150)
    assert set(model.output) == {"segmentation", "presence", "segmentation_stage3"}
    official = model.get_layer("segmentation").align_corners
    assert trainable_parameters(model) == (36_164_578 if official else 36_060_034)


@pytest.mark.parametrize(
    ("shapes", "parameters"),
    [
        (published.official(classes=59, lateral=True), 43_915_217),
        (published.mmsegmentation(classes=19, blocks=R101), 54_884_089),
    ],
    ids=["official_pascal_context", "mmsegmentation_101_cityscapes"],
)
def test_number_of_trainable_parameters_is_as_published(shapes, parameters):
    assert trainable_parameters(keras_encnet.from_pytorch(published.empty(shapes))) == parameters


def test_resnet_stages_match_the_published_network():
    name = "torchvision_style_resnet50"
    description, expected = procedural.golden(name)
    model = converted(procedural.weights(description["shapes"]))
    image = procedural.image(name, description["height"], description["width"])
    stages = model(image[None])
    assert set(stages) == set(expected)
    for stage, features in stages.items():
        assert relative_error(features[..., ::8], expected[stage]) < 1e-5, stage


@pytest.mark.parametrize(
    ("blocks", "bottleneck", "stem", "depth"),
    [
        ((2, 2, 2, 2), False, "plain", 18),
        (R50, False, "plain", 34),
        ((3, 8, 36, 3), True, "plain", 152),
        # timm's resnet50s and the stem of its resnet50c.
        (R50, True, ("conv1", 64, 128), 50),
        ((1, 1, 1, 1), True, ("conv1", 32, 64), 14),
    ],
)
def test_resnets_of_every_depth_and_stem_are_recognized(blocks, bottleneck, stem, depth):
    shapes = published.resnet(blocks, bottleneck, stem)
    shapes |= {"fc.weight": (1000, 512), "fc.bias": (1000,), "bn1.num_batches_tracked": ()}
    model = keras_encnet.from_pytorch(published.empty(shapes))
    assert model.name == f"resnet{depth}"
    assert list(model.output) == ["stage1", "stage2", "stage3", "stage4"]
    assert model.count_params() == sum(
        np.prod(shape) for name, shape in shapes.items() if not name.startswith("fc.") and shape
    )


@pytest.mark.parametrize(
    ("variant", "align_corners", "size", "options"),
    [
        ("official", None, (57, 41), {"lateral": True}),
        ("official", None, (48, 40), {"auxiliary": False, "presence": False}),
        ("official", False, (33, 70), {"presence": False}),
        ("official", None, (40, 40), {"stem_kind": "plain", "auxiliary": False}),
        ("mmsegmentation", None, (33, 70), {"lateral": True, "auxiliary": False}),
        ("mmsegmentation", True, (57, 41), {}),
        # The stem of mmsegmentation's ResNet-50s.
        ("mmsegmentation", None, (40, 48), {"stem_kind": ("stem", 64, 128)}),
        # Basic blocks, whose second convolution is dilated by other rules.
        ("official", None, (57, 41), {"bottleneck": False, "blocks": (1, 1, 2, 2)}),
        ("mmsegmentation", None, (57, 41), {"bottleneck": False, "blocks": (1, 1, 2, 2)}),
        *(
            (variant, None, size, {"jpu": 6, "head_kernel": kernel, **resnet})
            for variant, kernel in (("official", 1), ("mmsegmentation", 3))
            for size, resnet in (
                ((57, 41), {"blocks": (1, 1, 2, 2)}),
                ((48, 70), {"blocks": (1, 1, 2, 2), "bottleneck": False}),
            )
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:This checkpoint has the plain stem")
def test_each_part_of_encnet_computes_the_same_as_pytorch(variant, align_corners, size, options):
    pytest.importorskip("torch")
    from tests.pytorch.reference import Reference

    options = {"blocks": (1, 1, 1, 1), "channels": 16, "codewords": 6, "classes": 7, **options}
    if variant == "mmsegmentation":
        options.setdefault("stem_kind", ("stem", 32, 64))
    # The reference computes under the official names.
    state = procedural.weights(published.official(**options))
    given = {published.rename(n): x for n, x in state.items()} if variant != "official" else state
    model = converted(given, align_corners=align_corners)
    image = procedural.image(f"{variant} {size}", *size)
    outputs = model(image[None])
    align_corners = variant == "official" if align_corners is None else align_corners
    reference = Reference(state, image, prefix="pretrained.", variant=variant)
    expected = reference.encnet(align_corners)
    names = ("segmentation", "presence", "segmentation_stage3")
    held = (True, options.get("presence", True), options.get("auxiliary", True))
    held = [name for name, holds in zip(names, held, strict=True) if holds]
    assert set(outputs) == set(held)
    for name, reference in zip(held, expected, strict=True):
        assert relative_error(outputs[name], reference) < 1e-5, name


@pytest.mark.parametrize(
    ("output_stride", "bottleneck"),
    [(8, True), (16, True), (32, True), (8, False), (16, False), (32, False)],
)
def test_resnet_computes_the_same_as_pytorch_at_each_output_stride(output_stride, bottleneck):
    pytest.importorskip("torch")
    from tests.pytorch.reference import Reference, to_numpy

    state = procedural.weights(published.resnet((1, 1, 2, 2), bottleneck))
    image = procedural.image("portrait", 71, 50)
    stages = converted(state, output_stride=output_stride)(image[None])
    expected = Reference(state, image, stride=output_stride).stages()
    for (name, features), reference in zip(stages.items(), expected, strict=True):
        assert relative_error(features, to_numpy(reference)) < 1e-5, name


@pytest.mark.parametrize("name", ["cifar_encnet14_16k64d", "cifar_resnet14_64d"])
def test_cifar_networks_match_the_published_networks(name):
    description, expected = procedural.golden(name)
    model = converted(procedural.weights(description["shapes"]))
    assert isinstance(model, keras_encnet.ClassificationModel)
    assert model.classifier_activation is None
    assert trainable_parameters(model) == description["parameters"]
    images = np.stack([procedural.image(f"{name}{i}", 32, 32) for i in range(4)])
    assert relative_error(model(images), expected["logits"]) < 1e-5


@pytest.mark.parametrize(
    ("width", "codewords", "classes", "size"),
    [(8, 5, 10, (32, 32)), (16, 0, 100, (32, 32)), (4, 0, 3, (17, 40)), (12, 32, 4, (33, 20))],
)
def test_cifar_networks_of_every_width_compute_the_same_as_pytorch(width, codewords, classes, size):
    pytest.importorskip("torch")
    from tests.pytorch.reference import Reference

    state = procedural.weights(published.cifar(width, codewords, classes))
    image = procedural.image(f"{width} {size}", *size)
    model = converted(state, input_shape=(None, None, 3))
    assert relative_error(model(image[None]), Reference(state, image).cifar()) < 1e-5


def test_stochastic_scale_is_an_option_of_the_cifar_encnet_only():
    shapes = published.cifar(4, 3)
    state = procedural.weights(shapes)
    image = procedural.image("drop", 32, 32)[None]
    drop = keras_encnet.from_pytorch(state, stochastic_scale=True)
    fixed = {n: np.full_like(x, -0.5) if n.endswith("scale") else x for n, x in state.items()}
    assert relative_error(drop(image), keras_encnet.from_pytorch(fixed)(image)) < 1e-6
    with pytest.raises(ValueError, match="ResNet for CIFAR.*Received: stochastic_scale=True"):
        keras_encnet.from_pytorch(published.empty(published.cifar(4, 0)), stochastic_scale=True)


def test_working_size_is_an_option_of_segmentation_networks_only(tiny):
    assert keras_encnet.from_pytorch(tiny, working_size=64).working_size == 64
    with pytest.raises(ValueError, match="ResNet for CIFAR.*Received: working_size=64"):
        keras_encnet.from_pytorch(published.empty(published.cifar(4, 0)), working_size=64)


def test_cifar_network_with_another_number_of_classes():
    state = procedural.weights(published.cifar(4, 3))
    with pytest.warns(UserWarning, match="has 10 classes, not 5.*predictions"):
        model = keras_encnet.from_pytorch(state, classes=5)
    assert model.classes == 5
    del state["model.3.1.se.fc.3.codewords"]
    with pytest.raises(ValueError, match=r"Missing \(1\): model.3.1.se.fc.3.codewords \(3, 1\)"):
        keras_encnet.from_pytorch(state)


def test_wrappers_prefixes_and_counters_are_removed(tiny):
    expected = keras_encnet.from_pytorch(tiny).get_weights()
    odd = {f"module.{name}": tensor for name, tensor in tiny.items()}
    odd["module.pretrained.bn1.num_batches_tracked"] = np.int64(7)
    odd |= {"module.pretrained.fc.weight": np.ones((1000, 512)), "module.pretrained.fc.bias": 0}
    model = keras_encnet.from_pytorch({"epoch": 3, "state_dict": odd, "best_pred": 0.4})
    for weights, expected_weights in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weights, expected_weights)


@pytest.mark.parametrize(
    ("key", "rename"),
    [
        ("state_dict", "model.{}"),  # Lightning
        ("state_dict", "segmentor.{}"),
        ("model_state_dict", "_orig_mod.{}"),
        ("model", "module._orig_mod.{}"),
        ("model_state", "model._orig_mod.{}"),
        ("state_dict", "_orig_mod.module.{}"),
    ],
)
@pytest.mark.parametrize("network", ["segmentation", "cifar"])
def test_prefixes_of_frameworks_are_removed(key, rename, network, tiny):
    # The names of the CIFAR networks start with `model.` themselves.
    state = tiny if network == "segmentation" else procedural.weights(published.cifar(4, 3))
    expected = keras_encnet.from_pytorch(state).get_weights()
    renamed = {rename.format(name): tensor for name, tensor in state.items()}
    model = keras_encnet.from_pytorch({"epoch": 3, key: renamed})
    for weights, expected_weights in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weights, expected_weights)


def test_averaged_model_is_read(tiny):
    averaged = {f"module.{name}": tensor for name, tensor in tiny.items()}
    averaged["n_averaged"] = np.int64(3)
    assert keras_encnet.from_pytorch(averaged).classes == 5


def test_mapping_requires_no_torch_and_is_not_changed(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    before = dict(tiny)
    keras_encnet.from_pytorch(tiny)
    assert tiny == before


def test_bfloat16_tensors_are_accepted():
    torch = pytest.importorskip("torch")
    shapes = published.resnet((1, 1, 1, 1), bottleneck=False)
    state = {name: torch.ones(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    state = {name: torch.nn.Parameter(tensor) for name, tensor in state.items()}
    model = keras_encnet.from_pytorch(state)
    assert all(weight.dtype == "float32" and np.all(weight == 1) for weight in model.weights)


def test_plain_stem_of_old_releases_warns():
    shapes = published.official(stem_kind="plain", **published.TINY)
    shapes |= {"pretrained.fc.weight": (1000, 512), "pretrained.fc.bias": (1000,)}
    with pytest.warns(UserWarning, match="before September 2018.*softmax over pixels") as caught:
        model = keras_encnet.from_pytorch(published.empty(shapes))
    assert caught[0].filename == __file__
    assert model.get_layer("conv1_conv").kernel.shape == (7, 7, 3, 64)


def test_input_shape_can_be_fixed():
    shapes = published.resnet((1, 1, 1, 1), bottleneck=False)
    model = keras_encnet.from_pytorch(
        published.empty(shapes), input_shape=(64, 96, 3), output_stride=32
    )
    assert model.output["stage4"].shape == (None, 2, 3, 512)


@pytest.mark.parametrize(
    ("shapes", "mode"),
    [
        (published.official(**published.TINY), "torch"),
        (published.mmsegmentation(**published.TINY), "torch"),
        (published_rivals.official("fcn", classes=6, blocks=(1, 1, 1, 1)), "torch"),
        (published.resnet((1, 1, 1, 1), bottleneck=False), "torch"),
        (published.cifar(4, 3), "cifar10"),
        (published.cifar(4, 0), "cifar10"),
    ],
    ids=["official", "mmsegmentation", "fcn", "resnet", "cifar encnet", "cifar resnet"],
)
def test_converted_models_take_raw_images(shapes, mode, rng):
    state = procedural.weights(shapes)
    images = rng.integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    raw, normalized = keras_encnet.from_pytorch(state), converted(state)
    outputs = raw(images), normalized(keras_encnet.preprocess_input(images, mode))
    for actual, expected in zip(*map(keras.tree.flatten, outputs), strict=True):
        assert relative_error(actual, expected) < 1e-5
