"""Parts of a face, and the colours of its eyes."""

import pytest
import torch

pytest.importorskip("kornia")
from resemblance.core.geometry import template
from resemblance.core.training.regions import (
    IRIS,
    gradient_energy,
    iris_colours,
    iris_numbers,
    iris_places,
    region_masks,
)


def test_regions_lie_where_they_should():
    masks = region_masks()
    left, right, nose, *mouth = template(512).round().long().tolist()
    for x, y in (left, right):
        assert masks["eyes"][y, x] and not masks["skin"][y, x]
    for x, y in (nose, *mouth):
        assert not any(mask[y, x] for mask in masks.values())
    assert masks["skin"][330, 160] and masks["skin"][180, 256]  # cheek and forehead
    assert masks["hair"][60, 256] and masks["hair"][150, 80] and not masks["hair"][480, 256]
    total = sum(mask.int() for mask in masks.values())
    assert int(total.max()) == 1
    assert all(0.01 < float(mask.float().mean()) < 0.4 for mask in masks.values())


def test_energy_is_of_the_region_alone():
    mask = torch.zeros(512, 512, dtype=torch.bool)
    mask[100:200, 100:200] = True
    faces = torch.rand(1, 3, 512, 512)
    flat = torch.where(mask, torch.full_like(faces, 0.5), faces)
    assert float(gradient_energy(flat, mask)) < 0.01 * float(gradient_energy(faces, mask))


@pytest.fixture
def eyed():
    """A grey face with irises of two colours, a little beside the template's eyes."""
    face = torch.full((1, 3, 512, 512), 0.7)
    centres = []
    line = torch.arange(512)
    for (x, y), colour in zip(
        template(512)[:2].round().long().tolist(), ((0.1, 0.2, 0.5), (0.3, 0.2, 0.1)), strict=True
    ):
        x, y = x + 5, y - 4
        disc = (line - x).square()[None] + (line - y).square()[:, None] <= (IRIS + 5) ** 2
        face[0, :, disc] = torch.tensor(colour)[:, None]
        centres.append((x, y))
    return face, centres


def test_irises_are_found_and_their_colours_told(eyed):
    from skimage.color import rgb2lab

    face, centres = eyed
    places = iris_places(face)
    for found, (x, y) in zip(places[0].tolist(), centres, strict=True):
        assert abs(found[0] - x) <= 5 and abs(found[1] - y) <= 5
    expected = [rgb2lab([[colour]])[0, 0] for colour in ((0.1, 0.2, 0.5), (0.3, 0.2, 0.1))]
    for colour, wanted in zip(iris_colours(face, places)[0].tolist(), expected, strict=True):
        assert colour == pytest.approx(wanted, abs=0.5)


def test_eyes_of_another_colour_cost_what_they_differ_by(eyed):
    face, _ = eyed
    assert iris_numbers(face, face) == ([0.0], [0.0])
    same = face.clone()
    places = iris_places(face)[0].tolist()
    (x, y), (u, v) = places
    same[..., y - 12 : y + 13, x - 12 : x + 13] = face[..., v - 12 : v + 13, u - 12 : u + 13]  # two brown eyes
    off, unlike = iris_numbers(same, face)
    apart = (iris_colours(face, iris_places(face))[0].diff(dim=0)).norm()
    assert off[0] == pytest.approx(float(apart) / 2, rel=0.05)
    assert unlike[0] == pytest.approx(-float(apart), rel=0.05)  # more alike than the truth's
