import numpy as np
import pytest

from training.importing.splits import assign, groups_of, parse_ratios


def counts(split_of, present=None):
    rows = {name: [s == name for s in split_of] for name in set(split_of)}
    if present is None:
        return {name: sum(row) for name, row in rows.items()}
    return {name: present[row].sum(0) for name, row in rows.items()}


def test_every_class_has_its_share(rng):
    present = rng.random((400, 6)) < np.array([0.9, 0.5, 0.2, 0.1, 0.05, 0.025])
    stems = [f"s{i}" for i in range(400)]
    split_of = assign(stems, present, {"train": 0.7, "val": 0.2, "test": 0.1})
    assert counts(split_of) == {"train": 280, "val": 80, "test": 40}
    by_split = counts(split_of, present)
    for name, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
        # One image per class that is rarer, at most, since images have several classes.
        assert (abs(by_split[name] - share * present.sum(0)) <= 6).all()
        assert (by_split[name] > 0).all()


def test_the_seed_decides_and_the_order_does_not(rng):
    present = rng.random((50, 3)) < 0.4
    stems = [f"s{i}" for i in range(50)]
    first = dict(zip(stems, assign(stems, present, seed=1), strict=True))
    order = rng.permutation(50)
    again = assign([stems[i] for i in order], present[order], seed=1)
    assert dict(zip([stems[i] for i in order], again, strict=True)) == first
    assert assign(stems, present, seed=2) != [*first.values()]


def test_groups_stay_together(rng):
    stems = [f"p{i % 12}_{i}" for i in range(120)]
    groups = groups_of(stems, "[^_]+")
    split_of = assign(groups, rng.random((120, 4)) < 0.3, {"train": 0.75, "val": 0.25})
    assert counts(split_of) == {"train": 90, "val": 30}
    assert len({*zip(groups, split_of, strict=True)}) == 12


def test_the_group_in_parentheses_counts_and_others_are_on_their_own():
    assert groups_of(["a/p1_x", "b/p1_y", "c"], "./(p\\d)") == ["=p1", "=p1", "c"]
    assert groups_of(["a", "b"], None) == ["a", "b"]


@pytest.mark.parametrize(
    ("pattern", "message"), [("(", "regular expression"), ("x", "start of no image's name.*'a_1'")]
)
def test_useless_group_patterns_raise(pattern, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: group='"):
        groups_of(["a_1", "a_2"], pattern)


@pytest.mark.parametrize("images", range(1, 8))
def test_no_split_is_empty_if_there_are_enough_images(images):
    split_of = assign([str(i) for i in range(images)], np.ones((images, 1), bool))
    assert len(set(split_of)) == min(images, 2)
    assert "train" in split_of


def test_images_without_any_class_are_split_too():
    split_of = assign([str(i) for i in range(10)], np.zeros((10, 0), bool))
    assert counts(split_of) == {"train": 8, "val": 2}


@pytest.mark.parametrize(
    "entries",
    [
        ["train"],
        ["train=x"],
        ["train=0", "val=1"],
        ["=1"],
        ["a b=1"],
        ["classes=1"],
        ["a=1", "a=1"],
    ],
)
def test_malformed_shares_raise(entries):
    with pytest.raises(ValueError, match=r"names and shares above 0.*Received: split="):
        parse_ratios(entries)


def test_shares_must_add_up_to_1():
    assert parse_ratios(["train=0.7", "val=0.2", "test=0.1"]) == {
        "train": 0.7,
        "val": 0.2,
        "test": 0.1,
    }
    assert parse_ratios([]) == {}
    with pytest.raises(ValueError, match=r"must add up to 1. Received: split=a=0.5 b=0.4"):
        parse_ratios(["a=0.5", "b=0.4"])
