"""Stages are found in the graph of a network, and its layers become those of this package."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_encnet import FCN, EncNet
from keras_encnet.backbones import as_backbone
from keras_encnet.graph import fold_batch_normalization
from keras_encnet.graph.folding import run_folded
from keras_encnet.layers import BatchNormalization
from keras_encnet.layers.image_normalization import normalization_in
from keras_encnet.utils import compat
from tests.fixtures import raw_images


def conv(x, width, stride=1, padding="same", **options):
    x = layers.Conv2D(width, 3, stride, padding, use_bias=False, **options)(x)
    return layers.BatchNormalization()(x)


def squeeze_and_excite(x):
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Multiply()([x, layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(gate)])


def residual(x, width, stride, name):
    y = layers.Activation("swish")(conv(x, width, stride))
    y = squeeze_and_excite(conv(y, width))
    return layers.Add(name=name)([y, layers.Conv2D(width, 1, stride)(x)])


def pre_activation(x, width, stride, name):
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = conv(layers.ReLU()(conv(y, width)), width, stride)
    return layers.Add(name=name)([y, layers.MaxPooling2D(1, stride)(layers.Conv2D(width, 1)(x))])


def expanded(x, width, stride, name):
    x = layers.Activation("hard_swish", name=f"{name}_expand")(conv(x, 2 * width))
    if stride > 1:
        # As Keras Applications do: right for even sizes, if the size is unknown.
        x = layers.ZeroPadding2D([((side or 0) % 2, 1) for side in x.shape[1:3]])(x)
    x = layers.DepthwiseConv2D(3, stride, "same" if stride == 1 else "valid", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x)) * 0.5
    return layers.Conv2D(width, 1, name=name)(x)


def patches(x, width, stride, name):
    if stride > 1:
        down = [
            layers.LayerNormalization(name=f"{name}_norm"),
            layers.Conv2D(width, 2, 2, name=f"{name}_patches"),
        ]
        x = keras.Sequential(down)(x)
    y = layers.Conv2D(width, 3, padding="same", groups=width)(x)
    return x + layers.Dense(width, activation="gelu")(layers.LayerNormalization()(y))


BLOCKS = {f.__name__: f for f in (residual, pre_activation, expanded, patches)}
# The layers at which stages 1 to 3 end.
ENDS = {
    "residual": ["net1b", "net2b", "net3b"],
    "pre_activation": ["net1b", "net2b", "net3b"],
    "expanded": ["net2a_expand", "net3a_expand", "net4a_expand"],
    "patches": ["net2a_norm", "net3a_norm", "net4a_norm"],
}


def classifier(kind, size=None, top=False):
    """Returns a network with two blocks per stage; the first block of a stage has its stride."""
    images = keras.Input((size, size, 3))
    x = conv(images, 4, 2, name="stem")
    for i, width in enumerate((4, 6, 8, 10), start=1):
        x = BLOCKS[kind](x, width, 2, f"net{i}a")
        x = BLOCKS[kind](x, width, 1, f"net{i}b")
    if top:
        x = layers.Dense(5)(layers.GlobalAveragePooling2D()(layers.Activation("relu")(x)))
    model = keras.Model(images, x)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    return model


@pytest.fixture(scope="module", params=BLOCKS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def source(kind):
    return classifier(kind)


@pytest.fixture(scope="module")
def backbone(source):
    return as_backbone(source, include_preprocessing=False)


def test_stages_end_before_the_size_is_reduced(kind, backbone):
    ends = [compat.producer_of(x).name for x in backbone.output.values()]
    assert ends[:3] == ENDS[kind]
    assert backbone.output["stage4"].shape[-1] == 10


def test_stages_of_a_classifier_of_one_size_end_before_its_pooling():
    backbone = as_backbone(classifier("expanded", size=96, top=True), preprocessing="tf")
    ends = [compat.producer_of(x).name for x in backbone.output.values()]
    assert ends[:3] == ENDS["expanded"]
    assert ends[3].startswith("activation")
    assert backbone.output["stage4"].shape == (None, 3, 3, 10)


def test_features_and_the_original_network_are_unchanged(source, backbone):
    x = raw_images(2, 64, 96).astype("float32") / 255
    expected = source(x)
    np.testing.assert_allclose(backbone(x)["stage4"], expected, rtol=1e-4, atol=1e-5)
    assert not set(source.layers[1:]) & set(backbone.layers)


def test_sizes_of_stages_are_rounded_up(backbone):
    sizes = [x.shape[1:3] for x in backbone(np.zeros((1, 97, 130, 3), "float32")).values()]
    assert sizes == [(-(-97 // stride), -(-130 // stride)) for stride in (4, 8, 16, 32)]


def test_folded_model_computes_the_same(backbone):
    folded = fold_batch_normalization(backbone)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    x = raw_images(1, 97, 130).astype("float32") / 255
    outputs = folded(x), run_folded(backbone, tf.constant(x))
    for stage, expected in backbone(x).items():
        for other in outputs:
            np.testing.assert_allclose(other[stage], expected, rtol=1e-3, atol=1e-4)


def test_layers_are_fused_and_synchronized_with_the_same_names(source, backbone):
    norms = [x for x in backbone.layers if isinstance(x, layers.BatchNormalization)]
    assert norms
    assert all(type(x) is BatchNormalization for x in norms)
    assert not any(getattr(layer, "groups", 1) > 1 for layer in backbone.layers)
    names = {layer.name for layer in backbone.layers}
    assert {layer.name for layer in source.layers if layer.name.startswith("net")} <= names


def test_names_of_layers_do_not_depend_on_earlier_models():
    first, second = (as_backbone(classifier("patches"), preprocessing="tf") for _ in range(2))
    named = [[layer.name for layer in x.layers if layer.weights] for x in (first, second)]
    assert named[0] == named[1]


def test_models_on_a_converted_backbone_freeze_and_reload(tmp_path):
    model = EncNet(classifier("expanded"), 3, channels=4, preprocessing="tf")
    model.freeze_backbone_batch_normalization()
    frozen = {layer.name for layer in model.layers if not layer.trainable}
    assert len(frozen) == 17
    assert frozen <= set(model.backbone_layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = raw_images(1, 40, 50)
    np.testing.assert_array_equal(loaded(images)["segmentation"], model(images)["segmentation"])


def test_statistics_of_images_become_constants():
    normalization = layers.Normalization()
    normalization.adapt(raw_images(2, 16, 16))
    images = keras.Input((None, None, 3))
    source = keras.Model(images, pyramid_of(normalization(images)))
    stage4 = keras.Model(images, source.get_layer("stage4").output)
    backbone = as_backbone(source)
    assert normalization_in(backbone) == "none"
    assert not any(isinstance(layer, layers.Normalization) for layer in backbone.layers)
    x = raw_images(1, 64, 64)
    np.testing.assert_allclose(backbone(x)["stage4"], stage4(x), rtol=1e-4, atol=1e-5)


def test_stages_are_the_named_ones():
    source = classifier("residual")
    for backbone in (
        as_backbone(source, layers=("net1a", "net2a", "net3a", "net4a")),
        as_backbone(keras_hub_like(source)),
        as_backbone(with_layers_named_stages()),
    ):
        shapes = backbone.compute_output_shape((1, 64, 64, 3))
        assert {k: shape[1] for k, shape in shapes.items()} == {
            "stage1": 16,
            "stage2": 8,
            "stage3": 4,
            "stage4": 2,
        }
        assert not any(type(x) is layers.BatchNormalization for x in backbone.layers)


def keras_hub_like(source):
    class Backbone(keras.Model):
        def __init__(self, model):
            super().__init__(model.inputs, model.outputs)
            ends = ["stem", *(f"net{i}b" for i in range(1, 5))]
            outputs = {f"P{i}": model.get_layer(end).output for i, end in enumerate(ends, start=1)}
            self.pyramid_outputs = outputs

    return Backbone(source)


def pyramid_of(x):
    for i in range(5):
        x = conv(x, 4, 2, name=f"stage{i}")
    return x


def with_layers_named_stages():
    images = keras.Input((None, None, 3))
    return keras.Model(images, pyramid_of(images))


def test_model_without_the_strides_names_the_missing_ones():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, conv(conv(conv(images, 4, 2), 4, 2), 4, 2), name="shallow")
    with pytest.raises(ValueError, match=r"as_backbone\(model, layers=.*'shallow'.*\[16, 32\]"):
        EncNet(model)


def test_model_that_is_wrong_for_unknown_sizes_raises():
    images = keras.Input((None, None, 3))
    x = layers.Add()([layers.MaxPooling2D(2)(images), images])
    with pytest.raises(ValueError, match="cannot run on images of 512 x 512 pixels.*a known size"):
        as_backbone(keras.Model(images, x))


@pytest.mark.parametrize("names", [("stage1",), ("stage1", "stage2", "stage3", "nowhere")])
def test_layers_that_the_model_lacks_raise(names):
    with pytest.raises(ValueError, match="names of four layers.*Received: layers="):
        as_backbone(with_layers_named_stages(), layers=names)


def test_model_that_is_not_functional_raises():
    with pytest.raises(ValueError, match="must be a functional model.*of class Sequential"):
        FCN(keras.Sequential([layers.Conv2D(3, 3)], name="sequence"))


def test_unknown_preprocessing_of_a_classifier_raises(source):
    with pytest.raises(ValueError, match="`preprocessing` must be given.*Received: backbone="):
        FCN(source, 3)


@pytest.mark.parametrize("options", [{"preprocessing": "tf"}, {"include_preprocessing": False}])
def test_images_are_not_normalized_twice(options):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, pyramid_of(layers.Rescaling(1 / 255)(images)))
    assert FCN(model, 3).preprocessing == "none"
    with pytest.raises(ValueError, match="normalizes raw images itself"):
        FCN(model, 3, **options)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("resnet50", "caffe"),
        ("mobilenetv2_1.00_224", "tf"),
        ("mobilenet_0.25_224", "tf"),
        ("nasnet_mobile", "tf"),
        ("densenet121", "torch"),
        ("convnext_tiny", "none"),
    ],
)
def test_preprocessing_follows_from_the_names_of_keras_applications(name, mode):
    x = images = keras.Input((64, 64, 3))
    for stride in (4, 2, 2, 2):
        x = layers.Conv2D(2, stride, stride)(x)
    assert normalization_in(as_backbone(keras.Model(images, x, name=name))) == mode


def test_backbones_with_the_name_of_another_keep_the_default(tiny_backbone):
    backbone = tiny_backbone()
    named = keras.Model(backbone.input, backbone.output, name="resnet50")
    assert FCN(named, 3).preprocessing == "torch"
