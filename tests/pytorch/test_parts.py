"""Converted networks of every structure compute the same as PyTorch."""

import pytest

from tests import procedural
from tests.pytorch import published
from tests.pytorch.comparison import converted, relative_error

pytest.importorskip("torch")

from tests.pytorch.reference import Reference, to_numpy


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
    state = procedural.weights(published.resnet((1, 1, 2, 2), bottleneck))
    image = procedural.image("portrait", 71, 50)
    stages = converted(state, output_stride=output_stride)(image[None])
    expected = Reference(state, image, stride=output_stride).stages()
    for (name, features), reference in zip(stages.items(), expected, strict=True):
        assert relative_error(features, to_numpy(reference)) < 1e-5, name


@pytest.mark.parametrize(
    ("width", "codewords", "classes", "size"),
    [(8, 5, 10, (32, 32)), (16, 0, 100, (32, 32)), (4, 0, 3, (17, 40)), (12, 32, 4, (33, 20))],
)
def test_cifar_networks_of_every_width_compute_the_same_as_pytorch(width, codewords, classes, size):
    state = procedural.weights(published.cifar(width, codewords, classes))
    image = procedural.image(f"{width} {size}", *size)
    model = converted(state, input_shape=(None, None, 3))
    assert relative_error(model(image[None]), Reference(state, image).cifar()) < 1e-5
