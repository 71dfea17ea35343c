"""The page of a checked data set."""

import base64
import dataclasses
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from keras_encnet.losses import balanced_class_weights, median_frequency_class_weights
from tests.training.folders import write_split
from training.figures import data_page
from training.figures.data_page import sample, save_data_page
from training.input.data_check import check_folder
from training.input.folder import Split
from training.input.report import Report

NAMES = ("sky & sea", "<script>alert(1)</script>", "Straße")


def report_of(presence, name="train"):
    """Returns a report of images that contain these classes, whose files do not exist."""
    presence = np.array(presence, bool)
    stems = tuple(f"s{i}" for i in range(len(presence)))
    classes = tuple(f"class {i}" for i in range(presence.shape[1]))
    split = Split(None, name, stems, stems, stems, classes)
    counts = presence.sum(0)
    return Report(split, (), counts, presence, counts, 0, (), np.ones((len(stems), 2), int))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("my <data>")
    masks = {f"<i>{i} ä": np.array([[0, 0, 0, i % 2]], "uint8") for i in range(5)}
    masks["unlabeled"] = np.full((1, 4), 255, "uint8")
    write_split(root, {stem: (None, mask) for stem, mask in masks.items()}, NAMES)
    held_out = {"c": (None, np.array([[0] * 900], "uint8"))}
    write_split(root, held_out, NAMES, name="val")
    Image.new("RGB", (2, 2)).save(root / "images/new.jpg")
    return root


@pytest.fixture(scope="module")
def check(data):
    return check_folder(data)


@pytest.fixture(scope="module")
def page(check, data):
    save_data_page(data / "page.html", check)
    return (data / "page.html").read_text(encoding="utf-8")


def test_the_page_refers_to_no_other_file(page):
    assert not re.search(r"(src|href)=['\"]?(?!['\"]?data:)", page)
    assert "<script" not in page


def test_names_are_escaped_and_complete(page):
    for name in (*NAMES, "<i>1 ä", "my <data>"):
        assert html.escape(name) in page
    assert "<i>" not in page


def test_the_page_states_problems_notes_and_the_plan(page, check):
    assert check.failed == ["train"]  # no pixel of the last class
    assert "cannot be learned: Straße" in page
    for note in (
        "1 images of train have ignored labels only: unlabeled.",
        "1 images are in no list: new.",
        "1 classes have no pixel in val",
    ):
        assert note in page
    assert "Images are seen at a working size of 8 pixels" in page
    assert "6 images in batches of 8; steps: 40 per epoch, 240 in all, 40 of them warm-up." in page


def test_class_weights_are_those_that_a_training_would_compute(page, check):
    report = check.reports["train"]
    assert report.pixel_counts.tolist() == [18, 2, 0]
    expected = [
        balanced_class_weights(report.pixel_counts),
        median_frequency_class_weights(report.pixel_counts, report.image_pixel_counts),
    ]
    table = page[page.index("<h2>Training") : page.index("<h2>Classes")]
    assert "The most frequent class has 9 times as many pixels as the rarest one." in table
    for weights in expected:
        for weight in weights:
            assert f"<td class=number>{weight:.3g}</td>" in table


def test_images_and_overlays_of_the_sample_are_embedded(page):
    encoded = re.findall(r"data:image/jpeg;base64,([^']+)", page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(data))).size for data in encoded]
    assert len(sizes) == 2 * 7
    assert sorted(set(sizes)) == [(4, 1), (data_page.SIDE, 1)]


def test_the_sample_shows_every_class_if_it_can(rng):
    presence = rng.random((400, 10)) < 0.01 * np.arange(1, 11)
    presence[:, 0] = False
    presence[77, 0] = True  # one image has this class
    chosen = sample([report_of(presence[:300]), report_of(presence[300:], "val")], 12)
    assert len({(report.split.name, i) for report, i in chosen}) == 12
    assert np.any([report.presence[i] for report, i in chosen], axis=0).all()


def test_the_sample_does_not_depend_on_the_order_of_the_list():
    report = report_of(np.eye(5)[[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]])
    names = {report.good_stems[i] for report, i in sample([report], 4)}
    stems = report.good_stems[::-1]
    turned = dataclasses.replace(
        report,
        split=dataclasses.replace(report.split, stems=stems),
        presence=report.presence[::-1],
    )
    assert {turned.good_stems[i] for turned, i in sample([turned], 4)} == names


def test_a_large_data_set_is_sampled_without_reading_it():
    report = report_of(np.ones((50_000, 3)))
    assert len(sample([report])) == data_page.SAMPLES


def test_a_data_set_without_images_has_a_page(tmp_path):
    write_split(tmp_path, {"a": (None, np.array([[7]], "uint8"))})
    check = check_folder(tmp_path)
    save_data_page(tmp_path / "page.html", check)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "a: the mask contains the ids 7" in page
    assert "<h2>Sample" not in page
