"""Hostile and broken inputs by the thousand: files of weights, files of references, tensors and geometry.

A short campaign with a fixed seed is part of every run of the tests. A long one with fresh seeds is asked for with
``pytest -m campaign tests/campaign --log-cli-level=INFO``; RESEMBLANCE_CAMPAIGN_SECONDS says how long each of its parts
may take. What fails names its seed: put that into `SEED` to try it again.
"""

import json
import os
import time
from dataclasses import replace

import pytest
import torch
from damaging import (
    any_number,
    any_tensor,
    archive_changed,
    archive_of,
    bytes_changed,
    header_changed,
    legacy_of,
    program,
    tensors_changed,
    tree_changed,
)
from people import ColourEmbedder, Giving, both
from resemblance.core import geometry
from resemblance.core.faces import boxes, crop, paste
from resemblance.core.files.checkpoints import about, inspect, read
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.records import Crops, Face, FaceQuality, References
from resemblance.core.references.encoding import person_from
from resemblance.core.references.likeness import likeness
from resemblance.core.references.matching import match_faces, match_people
from resemblance.core.references.saving import load_references, save_references
from resemblance.core.references.transfer import attribution_map, shares_taken, transfer_texture
from resemblance.core.restorers.table import can_load, describe, load_restorer
from resemblance.core.restorers.tokens import encode_tokens
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from trying import tried

SEED = 0
TRIES = {"weights": 150, "restorers": 6, "references": 60, "tensors": 150, "geometry": 40}
SECONDS = float(os.environ.get("RESEMBLANCE_CAMPAIGN_SECONDS", "60"))
FRESH = pytest.mark.campaign
ROOM = 2 << 30  # bytes that a part may take beyond what was taken before


@pytest.fixture(params=[pytest.param(False, id="short"), pytest.param(True, id="fresh", marks=FRESH)])
def campaign(request):
    """Runs one kind of try, and sees how much memory that takes."""
    resource = pytest.importorskip("resource", reason="memory is measured where Unix says how much was taken")

    def run(name, attempt):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if request.param:
            counts = tried(name, attempt, time.time_ns() % 10**9, 10**9, SECONDS)
        else:
            counts = tried(name, attempt, SEED, TRIES[name], 600)
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < ROOM
        assert sum(counts.values()) - counts.get("good", 0) > 0, "nothing was hostile"
        return counts

    return run


# Files


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    """Small files of weights of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
    torch.save({"params_ema": tensors}, folder / "zip")
    torch.save({"params": tensors}, folder / "legacy", _use_new_zipfile_serialization=False)
    kinds = {name: (folder / name).read_bytes() for name in ("zip", "legacy")}
    return kinds | {"safetensors": save(tensors, {"format": "pt"})}


def test_weights(campaign, whole_files, tmp_path):
    path = tmp_path / "x"

    def attempt(dice):
        kind = dice.choice(sorted(whole_files))
        change = {"zip": archive_changed, "legacy": bytes_changed, "safetensors": header_changed}[kind]
        data = dice.choice((bytes_changed, change))(whole_files[kind], dice)
        if dice.random() < 0.2:
            data = dice.choice((archive_of, legacy_of))(program(dice))
        path.write_bytes(data)
        assert can_load(path) is False  # of no restorer, whatever became of it
        for step in dice.sample((inspect, read, describe, about, load_restorer), 2):
            step(path)

    campaign("weights", attempt)


def test_restorers(campaign, tiny_codeformer, tmp_path):
    config = RestorerConfig(widths=(8, 8, 8), latent=8, codes=16, dim=32, layers=1, heads=1)
    states = [ResemblanceNet(config).state_dict(), tiny_codeformer.state_dict()]
    faces = torch.rand(1, 3, 512, 512)

    def attempt(dice):
        save_file(tensors_changed(dice.choice(states), dice), tmp_path / "x.safetensors")
        describe(tmp_path / "x.safetensors")
        restorer = load_restorer(tmp_path / "x.safetensors", dtype=torch.float32)
        if dice.random() < 0.2:  # which takes longer than all else
            assert restorer.restore(faces).shape == faces.shape

    campaign("restorers", attempt)


@pytest.fixture(scope="module")
def giving():
    return Giving()


@pytest.fixture(scope="module")
def known(giving):
    """References of two people."""

    def somebody(name, count):
        faces, unit = torch.rand(count, 3, 512, 512), torch.eye(count, 3)
        quality = (FaceQuality(0.5, 60.0, 0.01, 0.2),) * count
        sources = [f"{name} {n}" for n in range(count)]
        return replace(person_from(name, faces, giving, unit, unit.clone(), [1.0] * count, sources), qualities=quality)

    return References((somebody("anna", 2), somebody("bob", 1)), "0" * 16, "built-in", ("c" * 16,) * 2)


def test_references(campaign, giving, known, tmp_path):
    path = tmp_path / "x.safetensors"
    save_references(known, path)
    data, tensors = path.read_bytes(), load_file(path)
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()["references"])
    tokens = encode_tokens(crop.aligned_crops(torch.rand(2, 3, 512, 512)), giving)

    def attempt(dice):
        kind = dice.randrange(4)
        if kind == 0:
            path.write_bytes(dice.choice((header_changed, bytes_changed))(data, dice))
        else:
            parts = tensors_changed(tensors, dice) if kind != 1 else tensors
            about_them = tree_changed(told, dice) if kind != 2 else told
            save_file(parts, path, {"references": json.dumps(about_them)})
        found = load_references(path)
        save_references(found, tmp_path / "again.safetensors")
        match_faces(tokens.crops, found, both(ColourEmbedder()))
        people = [dice.choice([None, *(person.name for person in found.people)]) for _ in range(2)]
        transferred = transfer_texture(tokens, found, people=people)
        assert attribution_map(transferred).isfinite().all()
        shares_taken(transferred)

    campaign("references", attempt)


# Tensors and geometry


def test_tensors(campaign, known, giving):
    photo = torch.rand(3, 60, 80)
    face = Face(0, 0, (0.0, 0.0, 50.0, 50.0), 1.0, boxes.upright_landmarks((5.0, 5.0, 45.0, 55.0)))
    crops = crop.crop_faces([photo], [face], 64)

    def attempt(dice):
        given = lambda *shape: any_tensor(dice, *shape)  # noqa: E731 - short
        options = paste.PasteOptions(scale=dice.choice((0.3, 1.0, 1.0, 1.7)))
        settings = {"in_place": dice.random() < 0.3, "options": options}
        dice.choice(
            (
                lambda: crop.check_photos(given(1, 3, 60, 80)),
                lambda: crop.crop_faces(given(1, 3, 60, 80), [face], 64),
                lambda: crop.with_pixels(crops, given(1, 3, 64, 64)),
                lambda: crop.into_crops(crops, given(1, 3, 512, 512)),
                lambda: crop.aligned_crops(given(1, 3, 512, 512)),
                lambda: paste.paste_faces(given(1, 3, 60, 80), crops, torch.rand(1, 3, 64, 64), **settings),
                lambda: paste.paste_faces([photo.clone()], crops, given(1, 3, 64, 64), **settings),
                lambda: paste.paste_faces([photo.clone()], crops, crops.pixels, masks=given(1, 1, 64, 64), **settings),
                lambda: paste.paste_faces(
                    [photo.clone()], crops, crops.pixels, photo_masks=given(1, 1, 60, 80), **settings
                ),
                lambda: paste.paste_faces(
                    [photo.clone()], crops, crops.pixels, background=given(1, 3, 90, 120), **settings
                ),
                lambda: geometry.warp(given(3, 20, 30), torch.eye(2, 3), (8, 8)),
                lambda: geometry.invert(given(2, 3)),
                lambda: geometry.fit_similarity(given(5, 2), torch.tensor(geometry.TEMPLATE)),
                lambda: giving.restore(given(1, 3, 512, 512)[:1], dice.choice((None, 0.5, any_number(dice)))),
                lambda: match_people(given(2, 2), torch.zeros(2, 2), [0, 0], known),
                lambda: match_people(
                    torch.zeros(2, 2), given(2, 2), [0, 0], known, manual={dice.randrange(-1, 4): "anna"}
                ),
                lambda: likeness(given(2, 3), known),
                lambda: boxes.faces_from_meshes([[((0.0, 0.0, 9.0, 9.0), given(478, 2), 1.0)]]),
            )
        )()

    campaign("tensors", attempt)


def test_geometry(campaign):
    photos = [torch.rand(3, 60, 80), torch.rand(3, 9, 7)]

    def placed(dice) -> Crops:
        x, y, width, height = (any_number(dice) for _ in range(4))
        box = (x, y, x + abs(width), y + abs(height))
        landmarks = boxes.upright_landmarks(box)
        if dice.random() < 0.3:
            landmarks = tuple((px + any_number(dice), py + any_number(dice)) for px, py in landmarks)
        face = Face(dice.choice((0, 1, 1, 2, -1)) if dice.random() < 0.2 else 1, 0, box, 1.0, landmarks)
        size = dice.choice((64, 64, 64, 1, 2, 0, -1))
        return crop.crop_faces(photos, [face], size, dice.choice((0.0, 0.5, 2.0, abs(any_number(dice)))))

    def attempt(dice):
        crops = placed(dice)
        assert crops.pixels.isfinite().all() and crops.masks.isfinite().all()
        restored = torch.rand(1, 3, crops.size, crops.size)
        pictures, masks = paste.paste_faces(photos, crops, restored)
        for picture, mask, photo in zip(pictures, masks, photos, strict=True):
            assert picture.isfinite().all() and torch.equal(picture[:, mask[0] == 0], photo[:, mask[0] == 0])
        assert all(region.mask.isfinite().all() for region in boxes.crop_regions(crops))
        assert crop.template_view(crops).isfinite().all()

    campaign("geometry", attempt)
