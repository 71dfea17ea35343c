"""Writes small data sets in the exact layout of the published archives, unpacked."""

import json

import numpy as np
from PIL import Image
from scipy.io import savemat

# Height and width, not multiples of anything.
SIZE = (12, 17)


def jpeg(path, size=SIZE, seed=0):
    """Writes an image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), "uint8")
    Image.fromarray(pixels).save(path, quality=30)


def png(path, ids, palette=False):
    """Writes a mask, gray or with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(ids, "uint8"))
    if palette:
        picture.putpalette(np.arange(768, dtype="uint8").tobytes())
    picture.save(path)


def mat(path, **arrays):
    """Writes a MATLAB file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, arrays, do_compression=True)


def lines(path, names):
    """Writes a list, one name per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def filled(*ids, size=SIZE):
    """Returns a mask that repeats the ids pixel by pixel."""
    return np.resize(ids, size)


def ade20k(root, train=3, validation=2):
    """Writes ADE20K: every mask contains 0 ("other") and all classes, 1 to 150."""
    for part, short, count in (("training", "train", train), ("validation", "val", validation)):
        for i in range(1, count + 1):
            stem = f"ADE_{short}_{i:08d}"
            jpeg(root / "ADEChallengeData2016/images" / part / f"{stem}.jpg", seed=i)
            png(
                root / "ADEChallengeData2016/annotations" / part / f"{stem}.png",
                filled(*range(151)),
            )
    (root / "ADEChallengeData2016/objectInfo150.txt").write_text("Idx\tRatio\n")


def pascal_context(root, train=("2008_000002",), val=("2008_000003", "2010_000002")):
    """Writes PASCAL-Context: every mask contains all labels from 0 to 459."""
    voc = root / "VOCdevkit/VOC2010"
    lines(voc / "ImageSets/Main/train.txt", train)
    lines(voc / "ImageSets/Main/val.txt", val)
    for image_id in (*train, *val):
        jpeg(voc / "JPEGImages" / f"{image_id}.jpg", (20, 23))
        labels = filled(*range(460), size=(20, 23)).astype("uint16")
        mat(root / "trainval" / f"{image_id}.mat", LabelMap=labels)


def voc2012(root):
    """Writes VOC 2012 and SBD, which also annotates images of VOC's train and validation splits."""
    voc, sbd = root / "VOCdevkit/VOC2012", root / "benchmark_RELEASE/dataset"
    train, val = ["2007_000001", "2007_000002"], ["2007_000003"]
    extra = ["2008_000004", "2008_000005", "2008_000006"]
    lines(voc / "ImageSets/Segmentation/train.txt", train)
    lines(voc / "ImageSets/Segmentation/val.txt", val)
    lines(sbd / "train.txt", [extra[0], train[0], val[0]])
    lines(sbd / "val.txt", [*extra[1:], train[1]])
    for image_id in (*train, *val, *extra):
        jpeg(voc / "JPEGImages" / f"{image_id}.jpg")
    for image_id in (*train, *val):
        ids = filled(*range(21), 255)
        png(voc / "SegmentationClass" / f"{image_id}.png", ids, palette=True)
    for image_id in (*train, *val, *extra):
        ids = filled(*range(21)).astype("uint8")
        boundaries = np.zeros((20, 1), "uint8")
        mat(sbd / "cls" / f"{image_id}.mat", GTcls={"Segmentation": ids, "Boundaries": boundaries})


def coco(root):
    """Writes COCO: a person in front of a dog, a bench, a tiny cat, and a crowd."""
    square = [[10, 10, 50, 10, 50, 50, 10, 50]]
    shifted = [[30, 10, 60, 10, 60, 50, 30, 50]]
    tiny = [[0, 0, 9, 0, 9, 9, 0, 9]]
    annotations = [
        {"image_id": 1, "category_id": 1, "segmentation": square, "iscrowd": 0},
        {"image_id": 1, "category_id": 18, "segmentation": shifted, "iscrowd": 0},
        {"image_id": 2, "category_id": 15, "segmentation": square, "iscrowd": 0},
        {"image_id": 3, "category_id": 17, "segmentation": tiny, "iscrowd": 0},
        # A crowd of people: 2,048 pixels, run-length encoded column by column.
        {
            "image_id": 4,
            "category_id": 1,
            "segmentation": {"size": [64, 80], "counts": [1024, 2048, 2048]},
            "iscrowd": 1,
        },
    ]
    for folder in ("train2017", "val2017"):
        images = []
        for number in range(1, 5):
            name = f"{number:012d}.jpg"
            jpeg(root / folder / name, (64, 80))
            images.append({"id": number, "file_name": name, "height": 64, "width": 80})
        content = {
            "images": images,
            "annotations": [{"id": i, **entry} for i, entry in enumerate(annotations, 1)],
            "categories": [{"id": i, "name": str(i)} for i in range(1, 91)],
        }
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{folder}.json").write_text(json.dumps(content))


def cityscapes(root):
    """Writes Cityscapes, one image per split: every mask contains all ids, 0 to 33."""
    for split, city in (("train", "aachen"), ("val", "munster"), ("test", "bonn")):
        stem = f"{city}_000000_000019"
        image = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
        image.parent.mkdir(parents=True)
        Image.new("RGB", (2048, 1024), "gray").save(image, compress_level=1)
        ids = filled(*range(34), size=(1024, 2048))
        png(root / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png", ids)
