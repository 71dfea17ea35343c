import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from tests.training.importing.exports import imported, reasons, write_image, write_mask
from training.importing import images
from training.importing.images import bits_of, read_header, upright_mask
from training.importing.images import write_image as convert


def read(path):
    """Decodes an image with Pillow, which needs no tracing."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def oriented(path, pixels, orientation, **options):
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(path, exif=exif, **options)
    return path


def converted(path, folder):
    header = read_header(path)
    bits = bits_of([path]) if header.deep else 8
    return convert(path, header, folder / "out" / "a.b", bits)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_upright_files_are_copied_byte_for_byte(tmp_path, suffix):
    path = write_image(tmp_path / f"a.{suffix}")
    written = converted(path, tmp_path)
    assert written.name == f"a.b.{suffix}"
    assert written.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_orientations_are_applied_to_images_and_masks(tmp_path, rng, orientation):
    pixels = rng.integers(0, 256, (5, 7, 3), "uint8")
    path = oriented(tmp_path / "a.png", pixels, orientation)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    written = converted(path, tmp_path)
    np.testing.assert_array_equal(read(written), expected)
    assert read_header(written).orientation == 1
    turned = np.stack([upright_mask(pixels[..., i], orientation) for i in range(3)], -1)
    np.testing.assert_array_equal(turned, expected)


def test_turned_jpegs_keep_their_quantization(tmp_path):
    pixels = np.asarray(Image.linear_gradient("L").resize((32, 16)).convert("RGB"))
    path = oriented(tmp_path / "a.jpg", pixels, 6, quality=50)
    written = converted(path, tmp_path)
    with Image.open(path) as before, Image.open(written) as after:
        assert after.size == (16, 32)
        assert after.quantization == before.quantization
        difference = np.asarray(ImageOps.exif_transpose(before), int) - np.asarray(after, int)
    assert abs(difference).max() <= 12


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.tif", "RGB"), ("a.tif", "CMYK"), ("a.webp", "RGB"), ("a.bmp", "P"), ("a.gif", "P")],
)
def test_other_formats_become_png_without_loss(tmp_path, rng, name, mode):
    image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), "uint8")).convert(mode)
    image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    written = converted(tmp_path / name, tmp_path)
    assert written.suffix == ".png"
    np.testing.assert_array_equal(read(written), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("largest", "bits"), [(200, 8), (256, 10), (1023, 10), (4095, 12), (9000, 14), (65535, 16)]
)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_images_are_divided_by_a_power_of_two(tmp_path, name, largest, bits):
    pixels = np.array([[0, largest // 2, largest]], "uint16")
    Image.fromarray(pixels).save(tmp_path / name)
    assert bits_of([tmp_path / name]) == bits
    written = converted(tmp_path / name, tmp_path)
    np.testing.assert_array_equal(read(written)[..., 0], pixels >> (bits - 8))


def test_all_16_bit_images_of_an_export_are_divided_alike(tmp_path):
    for stem, largest in (("a", 300), ("b", 4000)):
        (tmp_path / "in/images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([[0, largest]], "uint16")).save(tmp_path / f"in/images/{stem}.tif")
        write_mask(tmp_path / f"in/masks/{stem}.png", [[0, 1]])
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert "2 images have 16 bits per channel; their values need 12 bits" in report.notes[0]
    assert read(tmp_path / "out/images/a.png").max() == 300 >> 4


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [(np.array([[0.5]], "float32"), "fractions"), (np.array([[70000]], "int32"), "0 to 65535")],
)
def test_pixels_without_a_known_range_are_skipped(tmp_path, pixels, reason):
    (tmp_path / "in/images").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "in/images/a.tif")
    write_mask(tmp_path / "in/masks/a.png", [[1]])
    write_image(tmp_path / "in/images/b.jpg", (2, 1))
    write_mask(tmp_path / "in/masks/b.png", [[0, 1]])
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"b"}
    assert reason in reasons(report)["images/a.tif"]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("orientation", [3, 6])
def test_masks_are_turned_if_they_are_for_the_stored_pixels(tmp_path, orientation, stored):
    """The size determines the frame, unless the orientation keeps it; then the option does."""
    mask = np.zeros((4, 6), "uint8")
    mask[0, 0] = 1
    upright = np.asarray(upright_mask(mask, orientation))
    (tmp_path / "in/images").mkdir(parents=True)
    oriented(tmp_path / "in/images/a.png", np.stack([mask] * 3, -1), orientation)
    write_mask(tmp_path / "in/masks/a.png", mask if stored else upright)
    report, masks = imported(
        tmp_path / "in", tmp_path / "out", annotated="stored" if stored else "upright"
    )
    np.testing.assert_array_equal(masks["a"] == "object", upright == 1)
    np.testing.assert_array_equal(read(tmp_path / "out/images/a.png")[..., 0], upright)
    assert ("--annotated" in " ".join(report.notes)) == (orientation == 3)


def test_files_that_are_no_photos_are_skipped(tmp_path):
    for stem in ("a", "b", "c"):
        write_image(tmp_path / f"in/images/{stem}.jpg", (2, 1))
        write_mask(tmp_path / f"in/masks/{stem}.png", [[0, 1]])
    # Pillow would run Ghostscript for it.
    Image.new("RGB", (2, 1)).save(tmp_path / "in/images/b.jpg", "EPS")
    (tmp_path / "in/images/c.jpg").rename(tmp_path / "in/images/c.heic")
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"a"}
    assert "cannot identify" in reasons(report)["images/b.jpg"]
    assert "convert it" in reasons(report)["images/c.heic"]


def test_too_large_and_damaged_images_are_skipped(tmp_path, monkeypatch):
    for stem, side in (("a", 4), ("b", 40), ("c", 4)):
        write_image(tmp_path / f"in/images/{stem}.png", (side, side))
        write_mask(tmp_path / f"in/masks/{stem}.png", np.eye(side))
    data = (tmp_path / "in/images/c.png").read_bytes()
    (tmp_path / "in/images/c.png").write_bytes(data[:-5])
    monkeypatch.setattr(images, "LARGEST", 100)
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"a"}
    assert "40 x 40 pixels, more than 100" in str(reasons(report))
    assert "cannot be converted" in reasons(report)["images/c.png"]
    assert sorted(p.name for p in (tmp_path / "out/images").iterdir()) == ["a.png"]
