"""What the product decides, given photographs as they lie on the disk."""

import importlib.util
from types import SimpleNamespace

import pytest
import torch
from people import ColourEmbedder, Giving, Scenes, both
from PIL import Image

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.loading import Models
from resemblance.core.pipeline import RestoreOptions
from resemblance.core.training.decisions import Decider


@pytest.fixture
def scenes(patterns):
    return Scenes()


def stored(scenes, *people, **settings):
    """A photograph in levels of 8 bits, as files hold it, uint8 (H,W,3)."""
    photo = scenes.photo(*people, **settings)
    levels = (photo * 255).round().byte()
    scenes.faces[scenes._key(levels.float() / 255)] = scenes.faces[scenes._key(photo)]
    return levels.permute(1, 2, 0).numpy()


def test_photographs_are_refused_and_faces_matched_as_for_a_user(scenes, tmp_path):
    photos = [stored(scenes, "anna", side=512, seed=1), stored(scenes, "anna", seed=2), stored(scenes, "bob", seed=3)]
    photos.append(stored(scenes))
    for number in (1, 2, 3):  # the first one is no file of the folder
        Image.fromarray(photos[number]).save(tmp_path / f"{number}.png")
    album = SimpleNamespace(names=[f"{n}.png" for n in range(4)], faces=photos)
    detected = []

    def detect(given):
        detected.append(len(given))
        return scenes.detect(given)

    decide = Decider(album, tmp_path, Models(Giving(), both(ColourEmbedder())), detect, RestoreOptions(blend=1))
    damaged = scenes.photo("anna", side=512, seed=5, blur=16)
    own = decide(damaged, [0, 1])
    assert own.guided and own.accepted == 1 and own.picture.shape == damaged.shape
    looked = len(detected)
    assert decide(damaged, [0, 1]).guided and len(detected) == looked + 1  # references are read once
    half = decide(damaged, [0, 3])  # the second shows no face
    assert half.guided and half.accepted == 0.5
    stranger = decide(damaged, [2])
    assert not stranger.guided and stranger.accepted == 1
    nobody = decide(damaged, [3])
    assert not nobody.guided and nobody.accepted == 0
    assert torch.equal(nobody.picture, stranger.picture) and not torch.equal(nobody.picture, own.picture)
    assert not torch.equal(half.picture, own.picture)  # two photographs give other texture than one
