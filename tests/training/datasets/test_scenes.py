"""Outside the band, nothing distinguishes one scene from another."""

import numpy as np
import pytest
from PIL import Image

from training.datasets import scenes
from training.datasets.scenes import BANDS, CLASSES, CLEARANCE, DISCS, SCENES
from training.input.folder import IGNORED

SMALL = {"train": 8, "val": 4, "test": 4}
DISC_IDS = [CLASSES.index(name) for name in DISCS]
BAND_IDS = [CLASSES.index(name) for name in BANDS]


def contents(root):
    """Every file below a folder, by name."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def quadruples():
    """The four scenes from equal generators, as images and masks, for a hundred seeds."""
    quadruples = []
    for seed in range(100):
        pairs = [scenes.draw_scene(np.random.default_rng(seed), scene) for scene in SCENES]
        quadruples.append(tuple(np.stack(pixels) for pixels in zip(*pairs, strict=True)))
    return quadruples


class TestDrawScene:
    def test_shapes_and_ids(self, quadruples):
        seen = set()
        for images, masks in quadruples:
            assert images.dtype == masks.dtype == np.uint8
            assert images.shape == (4, scenes.HEIGHT, scenes.WIDTH, 3)
            assert masks.shape == (4, scenes.HEIGHT, scenes.WIDTH)
            seen |= set(np.unique(masks).tolist())
        assert seen == {*range(len(CLASSES)), IGNORED}

    def test_sizes_are_multiples_of_the_output_stride(self):
        assert scenes.HEIGHT % 8 == scenes.WIDTH % 8 == 0

    def test_each_scene_has_its_own_band_and_disc_classes(self, quadruples):
        for _, masks in quadruples:
            for mask, (band, disc) in zip(masks, SCENES.values(), strict=True):
                found = set(np.unique(mask)) & {*BAND_IDS, *DISC_IDS}
                assert found == {CLASSES.index(band), CLASSES.index(disc)}

    def test_band_is_on_either_side(self, quadruples):
        left = [np.isin(masks[0, :, 0], BAND_IDS).all() for _, masks in quadruples]
        right = [np.isin(masks[0, :, -1], BAND_IDS).all() for _, masks in quadruples]
        assert np.logical_xor(left, right).all()
        assert 30 < sum(left) < 70

    def test_pixels_outside_the_band_do_not_depend_on_the_scene(self, quadruples):
        for images, masks in quadruples:
            in_band = np.isin(masks[0], BAND_IDS)
            differs = (images != images[0]).any(axis=(0, -1))
            # Pixels that the band covers partly are ignored.
            assert not (differs & ~in_band & (masks[0] != IGNORED)).any()
            # The masks differ in the ids of band and discs only.
            for mask, (band, disc) in zip(masks, SCENES.values(), strict=True):
                neutral = mask.copy()
                neutral[mask == CLASSES.index(band)] = BAND_IDS[0]
                neutral[mask == CLASSES.index(disc)] = DISC_IDS[0]
                np.testing.assert_array_equal(neutral, masks[0])

    def test_no_disc_lies_within_the_clearance(self, quadruples):
        for images, masks in quadruples:
            differs = (images != images[0]).any(axis=(0, -1))
            band = differs | np.isin(masks, BAND_IDS).any(axis=0)
            discs = np.isin(masks, DISC_IDS).any(axis=0)
            (band,) = band.any(axis=0).nonzero()
            (discs,) = discs.any(axis=0).nonzero()
            assert np.abs(band[:, None] - discs).min() >= CLEARANCE

    def test_scene_of_another_size(self):
        image, mask = scenes.draw_scene(np.random.default_rng(0), "sea", (96, 320))
        assert image.shape == (96, 320, 3)
        assert mask.shape == (96, 320)

    def test_unknown_scene_raises(self):
        with pytest.raises(ValueError, match=r"street, kitchen, .* Received: scene='desert'"):
            scenes.draw_scene(np.random.default_rng(0), "desert")

    @pytest.mark.parametrize("size", [(16, 224), (64, 160)])
    def test_image_too_small_raises(self, size):
        with pytest.raises(ValueError, match=r"at least .* Received: size="):
            scenes.draw_scene(np.random.default_rng(0), "sea", size)


class TestWrite:
    def test_folder_has_the_layout_of_training_data(self, tmp_path):
        root = scenes.write(tmp_path / "new" / "scenes", **SMALL)
        stems = []
        for split, count in SMALL.items():
            written = (root / f"{split}.txt").read_text().splitlines()
            assert len(written) == count
            stems += written
        assert len(set(stems)) == len(stems)
        assert sorted(path.stem for path in (root / "images").iterdir()) == sorted(stems)
        assert sorted(path.stem for path in (root / "labels").iterdir()) == sorted(stems)
        assert (root / "classes.txt").read_text().splitlines() == list(CLASSES)
        for stem in stems:
            assert Image.open(root / "images" / f"{stem}.png").mode == "RGB"
            assert Image.open(root / "labels" / f"{stem}.png").mode == "L"

    def test_scenes_are_balanced(self, tmp_path):
        root = scenes.write(tmp_path / "scenes", **SMALL)
        for split, count in SMALL.items():
            masks = np.stack(
                [
                    np.asarray(Image.open(root / "labels" / f"{stem}.png"))
                    for stem in (root / f"{split}.txt").read_text().split()
                ]
            )
            for ids in (BAND_IDS, DISC_IDS):
                images_with = [(masks == i).any(axis=(1, 2)).sum() for i in ids]
                assert images_with == [count // 4] * 4

    def test_same_seed_gives_identical_files(self, tmp_path):
        one = contents(scenes.write(tmp_path / "one", **SMALL))
        assert contents(scenes.write(tmp_path / "two", **SMALL)) == one

    def test_seeds_and_splits_have_different_images(self, tmp_path):
        roots = [scenes.write(tmp_path / str(seed), **SMALL, seed=seed) for seed in range(2)]
        pictures = [path.read_bytes() for root in roots for path in (root / "images").iterdir()]
        assert len(set(pictures)) == len(pictures)

    def test_images_do_not_depend_on_their_number(self, tmp_path):
        few = contents(scenes.write(tmp_path / "few", **SMALL))
        more = contents(scenes.write(tmp_path / "more", train=12, val=8, test=8))
        pictures = [name for name in few if name.endswith(".png")]
        assert {name: few[name] for name in pictures} == {name: more[name] for name in pictures}

    def test_an_existing_data_set_is_reused(self, tmp_path, monkeypatch):
        root = scenes.write(tmp_path / "scenes", **SMALL)
        monkeypatch.setattr(scenes, "draw_scene", None)
        assert scenes.write(root, **SMALL) == root

    def test_an_empty_folder_is_filled(self, tmp_path):
        assert contents(scenes.write(tmp_path, **SMALL))

    def test_other_arguments_raise(self, tmp_path):
        root = scenes.write(tmp_path / "scenes", **SMALL)
        before = contents(root)
        with pytest.raises(FileExistsError, match=r"Choose another folder.* Received: root="):
            scenes.write(root, **SMALL, seed=1)
        assert contents(root) == before

    def test_an_occupied_folder_raises(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("")
        with pytest.raises(FileExistsError, match="something else"):
            scenes.write(tmp_path, **SMALL)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_interrupted_write_leaves_nothing(self, tmp_path, monkeypatch):
        draw_scene, drawn = scenes.draw_scene, []

        def interrupted(*args):
            drawn.append(args)
            if len(drawn) == 5:
                raise KeyboardInterrupt
            assert not (tmp_path / "scenes").exists()
            return draw_scene(*args)

        monkeypatch.setattr(scenes, "draw_scene", interrupted)
        with pytest.raises(KeyboardInterrupt):
            scenes.write(tmp_path / "scenes", **SMALL)
        assert not any(tmp_path.iterdir())

    @pytest.mark.parametrize("seed", [0, 1])
    def test_data_set_written_by_another_process_is_accepted(self, tmp_path, monkeypatch, seed):
        draw_scene = scenes.draw_scene

        def late(*arguments):
            # Another process writes the whole data set while this one draws its first image.
            monkeypatch.setattr(scenes, "draw_scene", draw_scene)
            scenes.write(tmp_path / "scenes", **SMALL, seed=seed)
            return draw_scene(*arguments)

        monkeypatch.setattr(scenes, "draw_scene", late)
        if seed == 0:
            assert scenes.write(tmp_path / "scenes", **SMALL) == tmp_path / "scenes"
        else:
            with pytest.raises(FileExistsError, match="Choose another folder"):
                scenes.write(tmp_path / "scenes", **SMALL)
        assert [path.name for path in tmp_path.iterdir()] == ["scenes"]

    @pytest.mark.parametrize("argument", [{"val": 0}, {"seed": -1}])
    def test_arguments_out_of_range_raise(self, tmp_path, argument):
        ((name, value),) = argument.items()
        with pytest.raises(ValueError, match=f"Received: {name}={value}"):
            scenes.write(tmp_path / "scenes", **argument)
        assert not any(tmp_path.iterdir())
