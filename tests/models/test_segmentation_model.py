"""SegmentationModel fits on images and masks, and segments raw images."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import FCN, EncNet, objectives, preprocess_input
from keras_encnet.backbones import ResNet

CLASSES = 3


@pytest.fixture
def data(rng):
    """Four normalised images and their masks, a quarter of it void."""
    masks = rng.integers(0, CLASSES, (4, 8, 8)).astype("int32")
    masks[:, :4, :4] = 255
    return rng.normal(size=(4, 8, 8, 3)).astype("float32"), masks


@pytest.fixture
def fcn(tiny_backbone):
    """Builds and compiles the smallest model. Eager, since a step costs less than its graph."""

    def build(run_eagerly=True, **options):
        model = FCN(tiny_backbone(), classes=CLASSES, **options)
        model.compile("sgd", run_eagerly=run_eagerly, **objectives(model))
        return model

    return build


@pytest.fixture
def encnet(tiny_backbone):
    def build(**options):
        model = EncNet(
            tiny_backbone(), classes=CLASSES, num_codewords=4, channels=8, dropout=0, **options
        )
        model.compile("sgd", run_eagerly=True, **objectives(model))
        return model

    return build


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


def assert_unchanged(model, before):
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value, err_msg=weight.path)


def balance(model, images):
    """Gives all classes logits of the same mean, so that none covers every pixel."""
    logits = model(preprocess_input(images, model.preprocessing))["segmentation"]
    model.get_layer("segmentation_logits").bias.assign_sub(np.mean(logits, (0, 1, 2)))


def raw_images(*shape):
    return np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype("uint8")


def test_the_form_of_the_mask_does_not_matter(fcn, data):
    images, masks = data
    losses = []
    for dtype in ("uint8", "int32", "int64"):
        for shaped in (masks, masks[..., None]):
            model = fcn(dropout=0)
            keras.utils.set_random_seed(1)
            model.set_weights([keras.random.normal(w.shape) for w in model.weights])
            history = model.fit(images, shaped.astype(dtype), verbose=0).history
            losses.append((history["loss"][0], *(w.sum() for w in weights_of(model))))
    assert np.isfinite(losses).all()
    np.testing.assert_array_equal(losses, [losses[0]] * 6)


def test_one_compiled_step_takes_masks_with_and_without_the_trailing_one(fcn, data):
    images, masks = data
    model = fcn(run_eagerly=False, dropout=0)
    plain = model.evaluate(images, masks, verbose=0)
    assert model.evaluate(images, masks[..., None], verbose=0) == plain
    assert model.evaluate(images, masks.astype("uint8"), verbose=0) == plain


def test_fit_lowers_the_loss(encnet, data):
    model = encnet()
    model.compile(keras.optimizers.Adam(0.01), **objectives(model))
    history = model.fit(*data, batch_size=2, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert history["presence_loss"][-1] < history["presence_loss"][0]


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_fit_takes_a_data_set_and_validation_data(fcn, data):
    model = fcn(run_eagerly=False)
    before = weights_of(model)
    dataset = tf.data.Dataset.from_tensor_slices(data)
    history = model.fit(
        # The last batch is smaller, so the traced batch size is unknown.
        dataset.take(3).batch(2),
        validation_data=dataset.batch(2),
        epochs=2,
        verbose=0,
    ).history
    assert np.isfinite([history["loss"], history["val_loss"]]).all()
    assert 0 < history["val_mean_iou"][-1] <= 1
    assert any((a != b.numpy()).any() for a, b in zip(before, model.weights, strict=True))


def test_evaluate_returns_the_losses_and_the_scores_of_the_data(fcn, data):
    images, masks = data
    model = fcn()
    logs = model.evaluate(images, masks, batch_size=4, verbose=0, return_dict=True)
    logits = np.asarray(model(images)["segmentation"], "float64")
    labelled = masks != 255
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    truth = np.where(labelled, masks, 0)
    entropy = -np.take_along_axis(log_probabilities, truth[..., None], -1)[..., 0]
    assert logs["loss"] == pytest.approx(entropy[labelled].mean(), rel=1e-5)
    correct = (logits.argmax(-1) == masks)[labelled]
    assert logs["pixel_accuracy"] == pytest.approx(correct.mean(), rel=1e-6)


def test_losses_of_all_outputs_add_up_by_their_weights(encnet, data):
    model = encnet()
    model.compile("sgd", run_eagerly=True, **objectives(model, se_weight=0.7))
    logs = model.evaluate(*data, verbose=0, return_dict=True)
    total = logs["segmentation_loss"] + 0.7 * (logs["presence_loss"] + logs["presence_stage3_loss"])
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def pixel_losses(model, images, masks):
    """Cross-entropy of each pixel, 0 where void, and how many count."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    labelled = masks != 255
    entropy = loss(np.where(labelled, masks, 0), model(images)["segmentation"])
    return np.where(labelled, entropy, 0), labelled.sum()


@pytest.mark.parametrize("per_pixel", [False, True])
def test_a_weight_of_zero_leaves_its_pixels_out_of_the_numerator(fcn, data, rng, per_pixel):
    images, masks = data
    weights = np.array([1, 0, 2, 0.5], "float32")
    if per_pixel:
        weights = rng.uniform(0, 2, masks.shape).astype("float32")
        weights[:, 5] = 0
    model = fcn()
    logs = model.evaluate(images, masks, sample_weight=weights, verbose=0, return_dict=True)
    losses, count = pixel_losses(model, images, masks)
    per_image = weights if per_pixel else weights[:, None, None]
    assert logs["loss"] == pytest.approx((per_image * losses).sum() / count, rel=1e-5)


def test_weights_per_image_weigh_presence_and_weights_per_pixel_do_not(encnet, data):
    images, masks = data
    model = encnet()

    def presence_loss(weights):
        logs = model.evaluate(images, masks, sample_weight=weights, verbose=0, return_dict=True)
        return logs["presence_loss"]

    everything = presence_loss(None)
    assert presence_loss(np.zeros(masks.shape, "float32")) == everything
    assert presence_loss(np.full(4, 0.25, "float32")) == pytest.approx(everything / 4, rel=1e-5)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_ids_beyond_the_classes_are_refused_in_arrays(fcn, data, method):
    images, masks = data
    masks[2, 7, 7], masks[3, 7, 7] = 77, 3
    model = fcn()
    before = weights_of(model)
    with pytest.raises(ValueError, match=r"3 classes.*Received: ids=\[3, 77\], void=\(255,\)"):
        getattr(model, method)(images, masks, verbose=0)
    assert_unchanged(model, before)


def test_negative_ids_are_refused_unless_void(fcn, data):
    images, masks = data
    masks[masks == 255] = -1
    model = fcn()
    with pytest.raises(ValueError, match=r"Received: ids=\[-1\]"):
        model.fit(images, masks, verbose=0)
    model.compile("sgd", run_eagerly=True, **objectives(model, void=(-1, 255)))
    assert np.isfinite(model.fit(images, masks, verbose=0).history["loss"]).all()


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
# XLA, Keras's default on a GPU, drops the assertions of the losses.
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_ids_beyond_the_classes_are_refused_in_data_sets(tiny_backbone, data, method, jit_compile):
    data[1][0, 7, 7] = 77
    # With batch normalisation, whose statistics may not change either.
    model = FCN(tiny_backbone(), classes=CLASSES)
    model.compile("sgd", jit_compile=jit_compile, **objectives(model))
    before = weights_of(model)
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither one of 3 classes nor void"):
        getattr(model, method)(tf.data.Dataset.from_tensor_slices(data).batch(4), verbose=0)
    assert_unchanged(model, before)


def test_ids_beyond_the_classes_are_refused_in_validation_data(fcn, data):
    images, masks = data
    wrong = np.where(masks == 0, 77, masks)
    with pytest.raises(ValueError, match=r"Received: ids=\[77\]"):
        fcn().fit(images, masks, validation_data=(images, wrong), verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices((images, wrong)).batch(2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither one of 3 classes nor void"):
        fcn().fit(images, masks, validation_data=dataset, verbose=0)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize("kind", ["array", "data set"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x, y.astype("float32")), "must hold integers.*Received: dtype=float32"),
        (lambda x, y: (x, y[:, 0]), r"must be a mask of class ids.*Received: shape=\(.*, 8\)"),
        (lambda x, y: (x, np.stack([y, y], -1)), "must be a mask of class ids.*Received: shape="),
        (lambda x, y: (np.concatenate([x, x[..., :1]], -1), y), "shape"),
    ],
    ids=["float mask", "mask of rank 2", "mask of two channels", "images of four channels"],
)
def test_wrong_data_is_refused_before_it_trains(fcn, data, kind, spoil, message):
    model = fcn()
    before = weights_of(model)
    spoiled = spoil(*data)
    if kind == "data set":
        spoiled = (tf.data.Dataset.from_tensor_slices(spoiled).batch(2),)
    with pytest.raises(ValueError, match=message):
        model.fit(*spoiled, verbose=0)
    assert_unchanged(model, before)


def test_a_missing_mask_is_refused(fcn, data):
    with pytest.raises(ValueError, match="must be a mask of class ids.*Received: shape=None"):
        fcn().fit(data[0], verbose=0)


@pytest.mark.parametrize("mode", ["torch", "caffe", "tf"])
def test_segment_is_the_arg_max_for_normalised_images(fcn, randomize, mode):
    model = randomize(fcn(preprocessing=mode))
    images = raw_images(2, 17, 23)
    balance(model, images)
    logits = model(preprocess_input(images, mode))["segmentation"]
    labels = model.segment(images)
    assert labels.dtype == "uint8"
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels, np.argmax(logits, -1))


def test_segment_takes_an_image_a_batch_or_a_list(fcn, randomize):
    model = randomize(fcn())
    images = raw_images(11, 17, 23)
    balance(model, images)
    batch = model.segment(images)
    assert batch.shape == (11, 17, 23)
    np.testing.assert_array_equal(model.segment(images[3]), batch[3])
    listed = model.segment([images[0], images[1, :9, :5]])
    assert [labels.shape for labels in listed] == [(17, 23), (9, 5)]
    np.testing.assert_array_equal(listed[0], batch[0])
    np.testing.assert_array_equal(listed[1], model.segment(images[1, :9, :5]))


def test_segment_takes_a_single_pixel(fcn):
    assert fcn().segment(raw_images(1, 1)).shape == (1, 1)


def test_segment_takes_floats_in_the_range_of_integers(fcn, randomize):
    model = randomize(fcn())
    images = raw_images(17, 23)
    for dtype in ("float32", "float64", "int32"):
        np.testing.assert_array_equal(model.segment(images.astype(dtype)), model.segment(images))
    # A black image is no sign of a wrong range.
    assert model.segment(np.zeros((4, 4, 3), "float32")).shape == (4, 4)


def test_segment_uses_the_weights_of_the_moment(fcn, randomize):
    model = randomize(fcn(), seed=0)
    images = raw_images(17, 23)
    first = model.segment(images)
    randomize(model, seed=1)
    second = model.segment(images)
    assert (first != second).any()
    logits = model(preprocess_input(images, "torch")[None])["segmentation"]
    np.testing.assert_array_equal(second, np.argmax(logits, -1)[0])


def test_segment_computes_no_other_output(encnet, monkeypatch):
    model = encnet()
    monkeypatch.setattr(model.get_layer("presence"), "call", lambda code, **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(np.zeros((1, 8, 8, 3), "float32"))
    assert model.segment(raw_images(8, 8)).shape == (8, 8)


def test_more_than_256_classes_need_wider_integers(tiny_backbone):
    model = FCN(tiny_backbone(), classes=300)
    model.get_layer("segmentation_logits").bias.assign(np.eye(300)[299] * 100)
    labels = model.segment(raw_images(4, 4))
    assert labels.dtype == "int32"
    assert (labels == 299).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((4, 4, 3), 0.5, "float32"), "scaled to 0 to 1.*Received: values from 0.5 to 0.5"),
        (np.full((4, 4, 3), -1, "int32"), "0 to 255.*Received: values from -1 to -1"),
        (np.full((4, 4, 3), 256.0), "0 to 255.*Received: values from 256.0 to 256.0"),
        (np.full((4, 4, 3), np.nan), "0 to 255.*Received: values from nan"),
        (np.zeros((4, 4, 4), "uint8"), r"RGB.*Received: shape=\(4, 4, 4\)"),
        (np.zeros((4, 4), "uint8"), r"RGB.*Received: shape=\(4, 4\)"),
        (np.zeros((1, 1, 4, 4, 3), "uint8"), r"RGB.*Received: shape=\(1, 1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), "uint8"), r"RGB.*Received: shape=\(0, 4, 3\)"),
        (np.zeros((4, 4, 3), "bool"), "numbers.*Received: dtype=bool"),
        ([np.zeros((4, 4, 3), "uint8"), np.zeros((4, 4), "uint8")], r"Received: shape=\(4, 4\)"),
    ],
)
def test_segment_refuses_what_is_no_raw_image(fcn, images, message):
    with pytest.raises(ValueError, match=message):
        fcn().segment(images)


def test_what_the_model_knows_of_itself_is_saved(fcn, tmp_path):
    model = fcn(preprocessing="caffe")
    model.class_names = ["sky", "tree", "road"]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.preprocessing == "caffe"
    assert loaded.class_names == ("sky", "tree", "road")
    assert loaded.classes == CLASSES
    assert loaded.backbone_layers == model.backbone_layers
    assert loaded.head_layers == model.head_layers
    images = raw_images(2, 9, 9)
    np.testing.assert_array_equal(loaded.segment(images), model.segment(images))


def test_class_names_default_to_numbers(fcn, tmp_path):
    model = fcn()
    assert model.class_names == ("0", "1", "2")
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").class_names == ("0", "1", "2")


def test_class_names_must_be_as_many_as_classes(fcn):
    with pytest.raises(ValueError, match="each of 3 classes. Received: 2 names"):
        fcn().class_names = ["sky", "tree"]


def test_a_loaded_model_trains_on_as_if_never_saved(fcn, data, tmp_path):
    model = fcn(dropout=0)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), run_eagerly=True, **objectives(model))
    model.fit(*data, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        one.run_eagerly = True
        one.fit(*data, shuffle=False, verbose=0)
    assert_unchanged(loaded, weights_of(model))


def test_a_model_of_fewer_outputs_shares_its_weights(encnet, randomize):
    model = encnet(preprocessing="tf")
    model.class_names = ["a", "b", "c"]
    part = model.with_outputs(("presence",))
    assert set(part.output) == {"presence"}
    shared = {id(weight) for weight in model.weights}
    assert part.weights
    assert all(id(weight) in shared for weight in part.weights)
    assert len(part.layers) < len(model.layers)
    randomize(model)
    x = np.ones((1, 8, 8, 3), "float32")
    np.testing.assert_array_equal(part(x)["presence"], model(x)["presence"])
    again = model.with_outputs(("segmentation", "presence"))
    assert (again.preprocessing, again.class_names) == ("tf", ("a", "b", "c"))
    assert again.backbone_layers == model.backbone_layers


@pytest.mark.parametrize("outputs", [("segmentation", "depth"), "presence", ()])
def test_outputs_that_a_model_does_not_have_are_refused(fcn, outputs):
    with pytest.raises(
        ValueError, match=r"must name some of \['segmentation'\]. Received: outputs="
    ):
        fcn().with_outputs(outputs)


def test_every_layer_with_weights_is_of_the_backbone_or_of_the_head(encnet):
    model = encnet()
    backbone, head = set(model.backbone_layers), set(model.head_layers)
    assert not backbone & head
    assert {layer.name for layer in model.layers if layer.weights} <= backbone | head
    assert {"head_conv", "context_encoding", "segmentation_logits", "presence"} <= head


def test_frozen_batch_normalisation_stays_as_it_is(data, tmp_path):
    images, masks = data
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=1 / 16)
    model = FCN(backbone, classes=CLASSES)
    model.freeze_backbone_batch_normalization()
    model.save(tmp_path / "model.keras")
    for trained in (model, keras.models.load_model(tmp_path / "model.keras")):
        before = {weight.path: weight.numpy() for weight in trained.weights}
        trained.compile("sgd", run_eagerly=True, **objectives(trained))
        trained.fit(images, masks, batch_size=2, verbose=0)
        changed = {w.path for w in trained.weights if (w.numpy() != before[w.path]).any()}
        norms = [name for name in trained.backbone_layers if name.endswith("_bn")]
        assert len(norms) == 12
        assert not {path for path in changed if path.split("/")[0] in norms}
        assert {"conv1_conv/kernel", "segmentation_bn/moving_mean"} <= changed


def test_unfrozen_batch_normalisation_learns(data):
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=1 / 16)
    model = FCN(backbone, classes=CLASSES)
    before = model.get_layer("conv1_bn").moving_mean.numpy()
    model.compile("sgd", run_eagerly=True, **objectives(model))
    model.fit(*data, verbose=0)
    assert (model.get_layer("conv1_bn").moving_mean.numpy() != before).any()
