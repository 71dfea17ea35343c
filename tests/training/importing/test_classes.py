import pytest

from training.importing.classes import label_classes
from training.importing.export import EMPTY, IGNORE, Export

CARS = Export(["car", "truck", "road"], [], background="background", aliases={"7": "truck"})
SCENE = Export(["Background", "car"], [])


def test_the_background_comes_first():
    labeling = label_classes(CARS)
    assert labeling.class_names == ("background", "car", "truck", "road")
    assert labeling.labels == {"car": 1, "truck": 2, "road": 3, EMPTY: None, IGNORE: 255}
    assert labeling.empty == 0


def test_pixels_without_annotation_may_be_ignored():
    labeling = label_classes(CARS, background="ignore")
    assert labeling.class_names == ("car", "truck", "road")
    assert labeling.empty == 255
    assert label_classes(SCENE).empty == 255


def test_an_existing_class_may_be_the_background():
    labeling = label_classes(SCENE, background="_background_")
    assert labeling.class_names == ("Background", "car")
    assert labeling.empty == 0


def test_merged_classes_have_the_place_of_the_first():
    labeling = label_classes(CARS, merge=["vehicle=truck, car"], background="ignore")
    assert labeling.class_names == ("vehicle", "road")
    assert labeling.labels["car"] == labeling.labels["truck"] == 0
    into_existing = label_classes(CARS, merge=["car=truck"], background="ignore")
    assert into_existing.class_names == ("car", "road")


def test_dropped_classes_are_not_annotated_and_ignored_ones_are_ignored():
    labeling = label_classes(CARS, drop=["7"], ignore=["road"])
    assert labeling.class_names == ("background", "car")
    assert labeling.labels["truck"] is None
    assert labeling.labels["road"] == 255


def test_more_than_255_classes_have_another_ignored_label():
    many = Export([str(i) for i in range(256)], [])
    assert label_classes(many).labels[IGNORE] == 65535
    assert label_classes(many, drop=["0"]).labels[IGNORE] == 255


@pytest.mark.parametrize("option", ["drop", "ignore", "merge"])
def test_unknown_classes_raise(option):
    entry = "x=bus" if option == "merge" else "bus"
    with pytest.raises(
        ValueError, match=f"`--{option}`.*car, truck, road. Received: {option}='bus'"
    ):
        label_classes(CARS, **{option: [entry]})


@pytest.mark.parametrize("entry", ["vehicle", "=car", "vehicle="])
def test_malformed_merges_raise(entry):
    with pytest.raises(ValueError, match=f"`vehicle=car,truck`. Received: merge='{entry}'"):
        label_classes(CARS, merge=[entry])


@pytest.mark.parametrize(
    "options",
    [{"drop": ["car"], "ignore": ["car"]}, {"drop": ["truck"], "merge": ["a=car,truck"]}],
)
def test_options_must_not_contradict_each_other(options):
    with pytest.raises(ValueError, match=r"only once. Received: (car|truck)"):
        label_classes(CARS, **options)
