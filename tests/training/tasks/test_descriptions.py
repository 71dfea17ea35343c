"""`training.tasks.descriptions`: the classes in a mask, and where presence disagrees with it."""

import numpy as np

from training.tasks.descriptions import describe, sentence


def test_line_of_an_image_states_where_mask_and_presence_disagree():
    mask = np.repeat([0, 1, 2], [900, 95, 5]).reshape(20, 50)
    names = ["road", "sky", "car", "dog", "cat"]
    description = describe(mask, names, np.array([0.12, 0.95, 0.02, 0.73, 0.27]))
    assert description["without_pixels"] == ["dog"]
    assert description["contradictions"] == ["road"]  # a few pixels of a car may be an error
    assert sentence(description) == (
        "road 90.0% (presence 12%, which contradicts the mask), sky 9.5% (presence 95%), "
        "car 0.5% (presence 2%); probably present without a pixel: dog (presence 73%)"
    )


def test_every_visible_class_is_shown_with_its_presence_or_as_a_contradiction(rng):
    names = [f"class {i}" for i in range(6)]
    for _ in range(50):
        mask = rng.choice(6, (10, 20), p=rng.dirichlet(np.full(6, 0.3)))
        presence = rng.uniform(size=6)
        description = describe(mask, names, presence)
        line = sentence(description)
        for i, name in enumerate(names):
            share, present = np.mean(mask == i), presence[i] > 0.5
            assert (name in line) == (share > 0 or present)
            assert (name in description["contradictions"]) == (share >= 0.01 and not present)


def test_line_of_a_model_without_presence_has_the_shares():
    description = describe(np.array([[0, 0, 1, 0]]), ["road", "sky"])
    assert sentence(description) == "road 75.0%, sky 25.0%"
