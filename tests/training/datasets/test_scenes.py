"""The scenes keep their promise: beside the band, nothing tells one from another."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.datasets import scenes
from training.datasets.scenes import AMBIGUOUS, CLASSES, CLEARANCE, IGNORED, SCENES, TELLING

SMALL = {"train": 8, "val": 4, "test": 4}
AMBIGUOUS_IDS = [CLASSES.index(name) for name in AMBIGUOUS]
TELLING_IDS = [CLASSES.index(name) for name in TELLING]


def contents(root):
    """Every file below a folder, by name."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def quadruples():
    """One hundred times: the four scenes from equal generators, as images and masks."""
    drawn = []
    for seed in range(100):
        pairs = [scenes.draw_scene(np.random.default_rng(seed), scene) for scene in SCENES]
        drawn.append(tuple(np.stack(pixels) for pixels in zip(*pairs, strict=True)))
    return drawn


class TestDrawScene:
    def test_shapes_and_ids(self, quadruples):
        seen = set()
        for images, masks in quadruples:
            assert images.dtype == masks.dtype == np.uint8
            assert images.shape == (4, scenes.HEIGHT, scenes.WIDTH, 3)
            assert masks.shape == (4, scenes.HEIGHT, scenes.WIDTH)
            seen |= set(np.unique(masks).tolist())
        assert seen == {*range(len(CLASSES)), IGNORED}

    def test_sizes_suit_the_output_stride(self):
        assert scenes.HEIGHT % 8 == scenes.WIDTH % 8 == 0

    def test_each_scene_has_its_own_names(self, quadruples):
        for _, masks in quadruples:
            for mask, (telling, disc) in zip(masks, SCENES.values(), strict=True):
                named = set(np.unique(mask)) & {*TELLING_IDS, *AMBIGUOUS_IDS}
                assert named == {CLASSES.index(telling), CLASSES.index(disc)}

    def test_band_comes_on_either_side(self, quadruples):
        left = [np.isin(masks[0, :, 0], TELLING_IDS).all() for _, masks in quadruples]
        right = [np.isin(masks[0, :, -1], TELLING_IDS).all() for _, masks in quadruples]
        assert np.logical_xor(left, right).all()
        assert 30 < sum(left) < 70

    def test_surroundings_do_not_depend_on_the_scene(self, quadruples):
        for images, masks in quadruples:
            band = np.isin(masks[0], TELLING_IDS)
            differs = (images != images[0]).any(axis=(0, -1))
            # Where the band covers a pixel in part, the mask is void.
            assert not (differs & ~band & (masks[0] != IGNORED)).any()
            # And the masks are the same but for the two names.
            for mask, (telling, disc) in zip(masks, SCENES.values(), strict=True):
                neutral = mask.copy()
                neutral[mask == CLASSES.index(telling)] = TELLING_IDS[0]
                neutral[mask == CLASSES.index(disc)] = AMBIGUOUS_IDS[0]
                np.testing.assert_array_equal(neutral, masks[0])

    def test_clearance(self, quadruples):
        for images, masks in quadruples:
            differs = (images != images[0]).any(axis=(0, -1))
            telling = differs | np.isin(masks, TELLING_IDS).any(axis=0)
            ambiguous = np.isin(masks, AMBIGUOUS_IDS).any(axis=0)
            (telling,) = telling.any(axis=0).nonzero()
            (ambiguous,) = ambiguous.any(axis=0).nonzero()
            assert np.abs(telling[:, None] - ambiguous).min() >= CLEARANCE

    def test_other_sizes(self):
        image, mask = scenes.draw_scene(np.random.default_rng(0), "sea", (96, 320))
        assert image.shape == (96, 320, 3)
        assert mask.shape == (96, 320)

    def test_unknown_scene(self):
        with pytest.raises(ValueError, match=r"street, kitchen, .* Received: scene='desert'"):
            scenes.draw_scene(np.random.default_rng(0), "desert")

    @pytest.mark.parametrize("size", [(16, 224), (64, 160)])
    def test_too_small(self, size):
        with pytest.raises(ValueError, match=r"at least .* Received: size="):
            scenes.draw_scene(np.random.default_rng(0), "sea", size)


class TestWrite:
    def test_layout(self, tmp_path):
        root = scenes.write(tmp_path / "new" / "scenes", **SMALL)
        stems = []
        for split, count in SMALL.items():
            listed = (root / f"{split}.txt").read_text().splitlines()
            assert len(listed) == count
            stems += listed
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
            for ids in (TELLING_IDS, AMBIGUOUS_IDS):
                images_with = [(masks == i).any(axis=(1, 2)).sum() for i in ids]
                assert images_with == [count // 4] * 4

    def test_same_seed_same_bytes(self, tmp_path):
        one = contents(scenes.write(tmp_path / "one", **SMALL))
        assert contents(scenes.write(tmp_path / "two", **SMALL)) == one

    def test_other_seed_and_split_other_images(self, tmp_path):
        roots = [scenes.write(tmp_path / str(seed), **SMALL, seed=seed) for seed in range(2)]
        pictures = [path.read_bytes() for root in roots for path in (root / "images").iterdir()]
        assert len(set(pictures)) == len(pictures)

    def test_an_image_does_not_depend_on_how_many_there_are(self, tmp_path):
        few = contents(scenes.write(tmp_path / "few", **SMALL))
        more = contents(scenes.write(tmp_path / "more", train=12, val=8, test=8))
        pictures = [name for name in few if name.endswith(".png")]
        assert {name: few[name] for name in pictures} == {name: more[name] for name in pictures}

    def test_is_kept_if_there(self, tmp_path, monkeypatch):
        root = scenes.write(tmp_path / "scenes", **SMALL)
        monkeypatch.setattr(scenes, "draw_scene", None)
        assert scenes.write(root, **SMALL) == root

    def test_an_empty_folder_is_filled(self, tmp_path):
        assert contents(scenes.write(tmp_path, **SMALL))

    def test_other_parameters_are_refused(self, tmp_path):
        root = scenes.write(tmp_path / "scenes", **SMALL)
        before = contents(root)
        with pytest.raises(FileExistsError, match=r"Name another folder.* Received: root="):
            scenes.write(root, **SMALL, seed=1)
        assert contents(root) == before

    def test_another_folder_is_refused(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("")
        with pytest.raises(FileExistsError, match="something else"):
            scenes.write(tmp_path, **SMALL)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_interrupted_leaves_nothing(self, tmp_path, monkeypatch):
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
    def test_a_lost_race(self, tmp_path, monkeypatch, seed):
        rename = os.rename

        def late(source, target):
            monkeypatch.setattr(os, "rename", rename)
            scenes.write(target, **SMALL, seed=seed)
            rename(source, target)

        monkeypatch.setattr(os, "rename", late)
        if seed == 0:
            assert scenes.write(tmp_path / "scenes", **SMALL) == tmp_path / "scenes"
        else:
            with pytest.raises(FileExistsError, match="Name another folder"):
                scenes.write(tmp_path / "scenes", **SMALL)
        assert [path.name for path in tmp_path.iterdir()] == ["scenes"]

    @pytest.mark.parametrize("argument", [{"val": 0}, {"seed": -1}])
    def test_out_of_range(self, tmp_path, argument):
        ((name, value),) = argument.items()
        with pytest.raises(ValueError, match=f"Received: {name}={value}"):
            scenes.write(tmp_path / "scenes", **argument)
        assert not any(tmp_path.iterdir())

    def test_command(self, tmp_path):
        pytest.importorskip("tyro")
        command = [sys.executable, "-m", "training.datasets.scenes", str(tmp_path / "scenes")]
        options = [word for name, count in SMALL.items() for word in (f"--{name}", str(count))]
        subprocess.run([*command, *options], check=True, cwd=Path(__file__).parents[3])
        assert contents(tmp_path / "scenes") == contents(scenes.write(tmp_path / "same", **SMALL))
