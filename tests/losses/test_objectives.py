"""`objectives` gives every output its loss and weight; losses have names and can be added."""

import keras
import numpy as np
import pytest

from keras_encnet import FCN, DiceLoss, EncNet, FocalLoss, PixelCrossEntropy, objectives
from keras_encnet.losses import Sum, build_pixel_loss
from tests.losses import reference
from tests.losses.reference import CLASSES, logits_of, masks


@pytest.fixture
def model(tiny_backbone):
    def build(variant):
        if variant == "fcn":
            return FCN(tiny_backbone(), classes=CLASSES, auxiliary="fcn")
        return EncNet(
            tiny_backbone(), classes=CLASSES, variant=variant, num_codewords=4, channels=8
        )

    return build


@pytest.mark.parametrize(
    ("variant", "weights"),
    [
        ("paper", {"segmentation": 1, "presence": 0.3, "presence_stage3": 0.3}),
        ("official", {"segmentation": 1, "presence": 0.3, "segmentation_stage3": 0.4}),
        ("mmsegmentation", {"segmentation": 1, "presence": 0.3, "segmentation_stage3": 0.4}),
        ("fcn", {"segmentation": 1, "segmentation_stage3": 0.4}),
    ],
)
def test_objectives_assign_loss_and_weight_to_each_output(rng, model, variant, weights):
    model = model(variant)
    settings = objectives(
        model,
        ignore_class=(254, 255),
        se_weight=0.3,
        auxiliary_weight=0.4,
        class_weights=[1, 2, 3, 4],
    )
    assert settings["loss_weights"] == weights
    assert set(settings["metrics"]) == {"segmentation"}
    model.compile("sgd", run_eagerly=True, **settings)
    mask = rng.integers(0, CLASSES, (2, 8, 8)).astype("uint8")
    mask[:, :4], mask[:, 4, :4] = 255, 254
    images = rng.integers(0, 256, (2, 8, 8, 3)).astype("uint8")
    logs = model.evaluate(images, mask, verbose=0, return_dict=True)
    expected = {}
    for name, logits in model(images).items():
        loss = (
            reference.cross_entropy if name.startswith("segmentation") else reference.presence_loss
        )
        expected[name] = loss(mask, logits.numpy(), (254, 255), [1, 2, 3, 4])
        assert logs[f"{name}_loss"] == pytest.approx(expected[name], rel=1e-5)
    total = sum(weights[name] * value for name, value in expected.items())
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_objectives_default_to_the_paper(model):
    settings = objectives(model("paper"))
    assert settings["loss_weights"] == {
        "segmentation": 1,
        "presence": 0.2,
        "presence_stage3": 0.2,
    }
    assert settings["loss"]["segmentation"].ignore_class == (255,)
    assert settings["metrics"]["segmentation"].absent_classes == "exclude"


@pytest.mark.parametrize("argument", ["se_weight", "auxiliary_weight"])
def test_objectives_reject_negative_weights(model, argument):
    with pytest.raises(ValueError, match=f"Received: {argument}=-0.1"):
        objectives(model("paper"), **{argument: -0.1})


@pytest.mark.parametrize(
    ("class_weights", "message"),
    [
        ([1.0] * (CLASSES - 1), f"each of the {CLASSES} classes"),
        ([1.0, -1.0], "must not be negative"),
    ],
)
def test_objectives_reject_wrong_class_weights(model, class_weights, message):
    with pytest.raises(ValueError, match=message):
        objectives(model("paper"), class_weights=class_weights)


def test_objectives_require_the_output_segmentation(model):
    with pytest.raises(ValueError, match=r"Received: outputs=\['presence'\]"):
        objectives(model("paper").with_outputs("presence"))


def test_compiled_losses_and_metrics_are_saved_with_the_model(rng, model, tmp_path):
    model = model("paper")
    settings = objectives(model, (-1, 255), 0.7, class_weights=[1, 2, 3, 4], absent_classes="zero")
    model.compile("sgd", **settings)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, loss in settings["loss"].items():
        assert type(loaded.loss[name]) is type(loss)
        assert loaded.loss[name].get_config() == loss.get_config()
    images = rng.integers(0, 256, (2, 8, 8, 3)).astype("uint8")
    mask = rng.integers(-1, 2, (2, 8, 8))
    logs = []
    for one in (model, loaded):
        one.run_eagerly = True
        logs.append(one.evaluate(images, mask, verbose=0, return_dict=True))
    assert logs[0] == logs[1]
    assert "presence_stage3_loss" in logs[0]
    assert "mean_iou" in logs[0]


def test_sum_adds_weighted_losses_and_their_sample_weights(rng):
    mask, logits = masks(rng, (255,)), logits_of(rng, 3, 5, 6)
    parts, weights = [PixelCrossEntropy(), DiceLoss(), FocalLoss(gamma=1)], [1.0, 0.5, 0.0]
    for sample_weight in (None, np.array([1.0, 3.0, 0.0], "float32")[:, None, None]):
        expected = [float(part(mask, logits, sample_weight)) for part in parts]
        total = Sum(parts, weights)(mask, logits, sample_weight)
        assert float(total) == pytest.approx(np.dot(weights, expected), rel=1e-6)
    assert float(Sum(parts)(mask, logits)) > float(Sum(parts, weights)(mask, logits))


def test_sum_round_trip():
    loss = Sum([PixelCrossEntropy(254), FocalLoss(254, [1, 2], gamma=1)], [1, 0.5], name="mine")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    assert [type(part) for part in again.losses] == [PixelCrossEntropy, FocalLoss]
    assert (again.ignore_class, again.weights) == ((254,), [1.0, 0.5])


@pytest.mark.parametrize(
    ("losses", "weights", "message"),
    [
        ([], None, "at least one loss.*Received: 0 losses"),
        ([DiceLoss(1), DiceLoss(2)], None, r"same `ignore_class`.*\[\(1,\), \(2,\)\]"),
        ([DiceLoss(), DiceLoss()], [1.0], r"each of the 2 losses.*weights=\[1.0\]"),
        ([DiceLoss()], [-1.0], r"at least 0.*weights=\[-1.0\]"),
        (["dice"], None, "losses of this package.*'dice'"),
    ],
)
def test_sum_of_nothing_or_of_losses_that_differ_raises_an_error(losses, weights, message):
    with pytest.raises(ValueError, match=message):
        Sum(losses, weights)


@pytest.mark.parametrize(
    ("pixel_loss", "expected"),
    [
        ("dice", ["DiceLoss"]),
        ("cross_entropy+lovasz_softmax", ["PixelCrossEntropy", "LovaszSoftmaxLoss"]),
        (["ohem", FocalLoss(7, [1, 2], gamma=1)], ["OHEMCrossEntropy", "FocalLoss"]),
        (DiceLoss(7, [1, 2]), ["DiceLoss"]),
        (Sum([DiceLoss(7, [1, 2]), FocalLoss(7, [1, 2])], [1, 2]), ["DiceLoss", "FocalLoss"]),
    ],
)
def test_pixel_loss_is_built_from_names_and_losses(pixel_loss, expected):
    loss = build_pixel_loss(pixel_loss, 7, [1, 2])
    parts = loss.losses if isinstance(loss, Sum) else [loss]
    assert [type(part).__name__ for part in parts] == expected
    assert all(part.ignore_class == (7,) and part.class_weights == [1, 2] for part in parts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dise",), "one of cross_entropy, dice.*pixel_loss='dise'"),
        (("dice+",), r"pixel_loss='dice\+'"),
        (("dice+ohem+",), r"pixel_loss='dice\+ohem\+'"),
        ((5,), "a name or a loss of this package.*pixel_loss=5"),
        ((keras.losses.MeanSquaredError(),), "a loss of this package.*pixel_loss=<"),
        (([],), "at least one loss"),
        ((DiceLoss(7),), r"same ignored labels.*\(7,\), ignore_class=255"),
        ((DiceLoss(), 255, [1, 2]), "class weights of the other losses.*dice_loss with"),
        (("dice", 255, None, 0.1), "applies to the loss 'cross_entropy'.*label_smoothing=0.1"),
    ],
)
def test_wrong_pixel_loss_raises_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_pixel_loss(*arguments)


def test_label_smoothing_is_that_of_the_cross_entropy_in_a_sum():
    loss = build_pixel_loss("cross_entropy+dice", label_smoothing=0.1)
    assert loss.losses[0].label_smoothing == 0.1


@pytest.mark.parametrize("pixel_loss", ["lovasz_softmax", "cross_entropy+dice"])
def test_pixel_losses_train_and_are_saved_with_the_model(rng, model, tmp_path, pixel_loss):
    model = model("fcn")
    model.compile("sgd", **objectives(model, pixel_loss=pixel_loss))
    images = rng.integers(0, 256, (2, 16, 16, 3)).astype("uint8")
    mask = np.where(images[..., 0] > 200, 255, images[..., 1] // 64)
    weights = np.array([1.0, 2.0])
    logs = model.fit(images, mask, sample_weight=weights, verbose=0).history
    assert np.isfinite(logs["loss"][0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss["segmentation"].get_config() == model.loss["segmentation"].get_config()
    mask[0, 0, 0] = 77
    with pytest.raises(ValueError, match=r"Received: ids=\[77\]"):
        loaded.evaluate(images, mask, verbose=0)
