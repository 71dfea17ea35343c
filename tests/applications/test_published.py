"""The table of published weights."""

import functools
import re

import keras
import pytest

import keras_encnet
from keras_encnet.applications import pretrained
from keras_encnet.utils.sizes import checked_working_size
from tests.fixtures import CLASSES
from tests.pytorch import published, published_heads

CLASS_COUNTS = {
    "ade20k": 150,
    "cityscapes": 19,
    "pascal_context": 59,
    "pascal_context_60": 60,
    "voc2012": 21,
}
HEADS = {"FCN": "fcn", "PSPNet": "psp", "DeepLabV3_": "deeplabv3", "EncNet": "encnet"}
# Words in the names of mmsegmentation's files, and those in the names of the weights.
METHODS = {"fcn": "FCN", "pspnet": "PSPNet", "deeplabv3": "DeepLabV3_", "encnet": "EncNet"}
METHODS |= {"jpu_enc": "EncNet", "jpu_psp": "PSPNet", "jpu_aspp": "DeepLabV3_"}
DATASETS = {
    "ade20k": "ade20k",
    "cityscapes": "cityscapes",
    "voc12aug": "voc2012",
    "pascal_context": "pascal_context_60",
    "pascal_context_59": "pascal_context",
}
MMSEGMENTATION = re.compile(
    r"(?P<method>[a-z0-9]+)_r(?P<depth>\d+)(?P<plain>b?)-d(?P<stride>\d+)(?P<jpu>_jpu_[a-z]+)?"
    r"(?P<batch>_4x4)?(?P<rsb>_rsb-pretrain)?_(?P<crop>\d+x\d+)(_adamw)?_(?P<iterations>\d+k)"
    r"_(?P<dataset>\w+)_\d{8}_\d{6}-(?P<digest>[0-9a-f]{8})\.pth"
)
OFFICIAL = re.compile(r"(encnet|fcn|psp|deeplab)_resnet(\d+)s?_(ade|pcontext)-([0-9a-f]{8})\.zip")
ENTRIES = pretrained.available()


def head_of(entry):
    return HEADS[re.fullmatch(r"([A-Za-z]+(?:V3_)?)(\d+)", entry.network)[1]]


def of_source(source):
    return [entry for entry in ENTRIES if entry.structure["variant"] == source]


def test_every_published_file_has_one_name():
    assert len(of_source("mmsegmentation")) == 112
    assert len(of_source("official")) == 8
    assert len({entry.url for entry in ENTRIES}) == len(ENTRIES) == 120
    assert len({(entry.network, entry.weights) for entry in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        assert pretrained.find(entry.network, entry.weights) is entry
        assert callable(getattr(keras_encnet, entry.network))


@pytest.mark.parametrize("entry", of_source("mmsegmentation"), ids=lambda e: e.file_name)
def test_entry_agrees_with_the_file_name_of_mmsegmentation(entry):
    found = MMSEGMENTATION.fullmatch(entry.file_name)
    jpu = (found["jpu"] or "").strip("_")
    assert entry.network == METHODS[jpu or found["method"]] + found["depth"]
    assert entry.dataset == DATASETS[found["dataset"]]
    strided = found["stride"] == "32" and not jpu
    words = [entry.dataset, "mmsegmentation", *(["fastfcn"] if jpu else [])]
    words += [found["crop"], found["iterations"]]
    words += [f"r{found['depth']}b"] if found["plain"] else []
    words += ["rsb"] if found["rsb"] else []
    words += ["d32"] if strided else []
    words += ["4x4"] if found["batch"] else []
    assert entry.weights == "_".join(words)
    structure = {
        "variant": "mmsegmentation",
        **({"stem": "plain"} if found["plain"] or found["rsb"] else {}),
        **({"neck": "jpu"} if jpu else {}),
        **({"output_stride": 32} if strided else {}),
        **({"align_corners": True} if found["crop"] == "769x769" else {}),
    }
    assert {name: entry.structure.get(name) for name in structure} == structure
    assert (entry.algorithm, entry.digest) == ("sha256", found["digest"])
    assert entry.url.startswith("https://download.openmmlab.com/mmsegmentation/v0.5/")
    method, run, _ = entry.url.split("/")[-3:]
    assert method == found["method"]
    # The file of one training is in the folder of another.
    same = f"{method}_r50-d8_512x1024_80k_cityscapes" if found["rsb"] and not strided else None
    assert run == (same or entry.file_name.rsplit("_", 2)[0])
    assert 30 < entry.mean_iou < entry.mean_iou_multi_scale < 82


@pytest.mark.parametrize("entry", of_source("official"), ids=lambda e: e.file_name)
def test_entry_agrees_with_the_file_name_of_the_official_code(entry):
    method, depth, dataset, digest = OFFICIAL.fullmatch(entry.file_name).groups()
    methods = {"encnet": "EncNet", "fcn": "FCN", "psp": "PSPNet", "deeplab": "DeepLabV3_"}
    assert entry.network == methods[method] + depth
    assert entry.dataset == {"ade": "ade20k", "pcontext": "pascal_context"}[dataset]
    assert entry.weights == f"{entry.dataset}_official"
    assert (entry.algorithm, len(entry.digest)) == ("sha1", 40)
    assert entry.digest.startswith(digest)
    assert (entry.mean_iou is None) == (entry.pixel_accuracy is None)
    if entry.mean_iou is not None:
        assert 30 < entry.mean_iou < entry.pixel_accuracy < 90


@pytest.mark.parametrize("dataset", CLASS_COUNTS)
def test_classes_have_names_and_colors(dataset):
    for entry in pretrained.available(dataset=dataset):
        names, palette = entry.class_names, entry.palette
        assert len(names) == len(set(names)) == len(palette) == CLASS_COUNTS[dataset]
        assert all(len(color) == 3 and set(color) <= set(range(256)) for color in palette)


def test_background_is_the_first_of_60_classes_of_pascal_context():
    (with_background, *_), (without, *_) = (
        pretrained.available("PSPNet101", name) for name in ("pascal_context_60", "pascal_context")
    )
    assert with_background.class_names == ("background", *without.class_names)
    assert with_background.palette[1:] == without.palette


STRUCTURES = {f"{head_of(e)} {sorted(e.structure.items())}": e for e in ENTRIES}


def checkpoint_of(entry):
    """Returns tensors like those of a published checkpoint, on a ResNet of one block per stage."""
    head, structure = head_of(entry), entry.structure
    official = structure["variant"] == "official"
    stem = ("conv1", 64, 128) if official else ("stem", 32, 64)
    options = {"blocks": (1, 1, 1, 1), "bottleneck": False, "classes": CLASSES}
    options["stem_kind"] = structure.get("stem", stem)
    width = 512 if "neck" in structure else None
    if head == "encnet":
        encnet = published.official if official else published.mmsegmentation
        lateral = structure.get("lateral", False)
        return published.empty(encnet(lateral=lateral, jpu=width, **options))
    build = published_heads.official if official else published_heads.mmsegmentation
    name = {"psp": "pspnet", "deeplabv3": "deeplabv3_"}.get(head, head)
    return published.empty(build(name, neck=width, **options))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(e, id=name, marks=() if set(e.structure) == {"variant"} else pytest.mark.slow)
        for name, e in STRUCTURES.items()
    ],
)
def test_builder_gives_the_network_of_the_checkpoint(entry, monkeypatch):
    for depth in (18, 50, 101):
        build = functools.partial(keras_encnet.backbones.ResNet, (1, 1, 1, 1), False)
        monkeypatch.setattr(keras_encnet.backbones, f"ResNet{depth}", build)
    structure = entry.structure
    options = {name: structure.get(name) for name in ("align_corners", "output_stride")}
    converted = keras_encnet.from_pytorch(checkpoint_of(entry), **options)
    built = getattr(keras_encnet, entry.network)(CLASSES, backbone_weights=None, **structure)
    layers = [{layer.name: layer.get_config() for layer in m.layers} for m in (converted, built)]
    assert layers[0] == layers[1]
    weights = [[weight.shape for weight in model.weights] for model in (converted, built)]
    assert weights[0] == weights[1]
    assert set(converted.output) == set(built.output)


PROTOCOLS = {str(sorted(e.protocol.items())): e for e in ENTRIES}


@pytest.mark.parametrize("entry", PROTOCOLS.values(), ids=lambda e: e.weights)
def test_protocol_is_that_of_a_segmenter(entry):
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    settings = keras_encnet.MultiScaleSegmenter(model, **entry.protocol).settings
    assert settings.base_size == checked_working_size(entry.protocol["base_size"])
    windows = {"480x480": (480, 320), "769x769": (769, 513)}
    crop = entry.weights.split("mmsegmentation_")[-1].partition("_")[0]
    if entry.structure["variant"] == "official":
        assert settings.align_corners
        assert (settings.base_size, settings.crop_size) in ((520, 480), (640, 576))
        assert len(settings.scales) == 6
    else:
        assert (settings.scales, settings.flip) == ((1.0,), False)
        assert settings.align_corners == entry.structure.get("align_corners", False)
        assert settings.window == ("slide" if crop in windows else "whole")
        if crop in windows:
            assert (settings.crop_size, settings.stride) == windows[crop]


def test_available_filters_by_network_and_data_set():
    found = pretrained.available("PSPNet50", "cityscapes")
    assert {(entry.network, entry.dataset) for entry in found} == {("PSPNet50", "cityscapes")}
    for options in ({"network": "PSPNet50"}, {"dataset": "cityscapes"}):
        ((name, value),) = options.items()
        expected = [entry for entry in ENTRIES if getattr(entry, name) == value]
        assert list(pretrained.available(**options)) == expected
        assert len(found) < len(expected) < len(ENTRIES)


@pytest.mark.parametrize("options", [{"network": "PSPNet"}, {"dataset": "ade"}], ids=str)
def test_unknown_filter_raises(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"`{name}` must be one of .*Received: {name}={value!r}"):
        pretrained.available(**options)
