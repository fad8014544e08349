import math

import pytest
import torch
from resemblance.core.compare import compare_identity
from resemblance.core.geometry import TEMPLATE
from resemblance.core.preview import draw_rows
from resemblance.core.records import Face, Person, References
from torch.nn import functional as F

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


class ByColour:
    """Who a face is, is its mean colour."""

    name, same, network = "by colour", 0.9, None

    def embed(self, faces):
        return F.normalize(faces.mean((2, 3)))


def plain(*colour):
    return torch.tensor(colour)[None, :, None, None].expand(1, 3, 512, 512).float()


def person(name, *colours):
    faces = torch.cat([plain(*colour) for colour in colours])
    embeddings = ByColour().embed(faces)
    latent, many = torch.zeros(len(faces), 1, 1, 1), len(faces)
    return Person(name, faces, latent, latent, {}, embeddings, embeddings, (1.0,) * many, (name,) * many)


def detect(photos):
    side = float(photos.shape[-1])
    return [Face(0, 0, (0.0, 0.0, side, side), 1.0, TEMPLATE)]


def test_a_face_is_compared_with_whom_it_is_most_like():
    references = References((person("red", RED), person("green", GREEN)), "", "by colour")
    before, after = plain(0.6, 0.8, 0), plain(0.8, 0.6, 0)  # after it is more like red, before it was more like green
    (found,) = compare_identity(before, after, detect, ByColour(), references)
    assert (found.person, found.same) == ("red", False)
    assert found.before == pytest.approx(0.6) and found.after == pytest.approx(0.8)
    assert torch.equal(found.pictures[:, :, 9, 9], torch.tensor([(0.6, 0.8, 0), (0.8, 0.6, 0), RED]))


def test_several_photographs_count_as_their_mean():
    references = References((person("both", RED, GREEN),), "", "by colour")
    (found,) = compare_identity(plain(*RED), plain(1, 1, 0), detect, ByColour(), references)
    assert found.before == pytest.approx(math.sqrt(0.5)) and found.after == pytest.approx(1) and found.same
    assert len(found.pictures) == 4


def test_the_undamaged_photograph_takes_the_place_of_references():
    (found,) = compare_identity(plain(*RED), plain(3, 4, 0) / 5, detect, ByColour(), plain(*GREEN))
    assert found.person is None and len(found.pictures) == 3
    assert found.before == pytest.approx(0) and found.after == pytest.approx(0.8)


def test_no_face_is_nothing_to_compare():
    assert compare_identity(plain(*RED), plain(*RED), lambda _: [], ByColour(), plain(*RED)) == []


def test_what_cannot_be_compared_is_named():
    photo, small = plain(*RED), torch.zeros(1, 3, 64, 32)
    nobody = References((), "", "by colour")
    for before, after, against, message in (
        (photo, small, photo, "Before was 1 of 512x512, but after 1 of 32x64"),
        (photo, photo, small, "but the truth 1 of 32x64"),
        (photo, photo, nobody, "hold nobody"),
        (photo, photo, References((person("red", RED),), "", "insightface"), "embedded by 'insightface'"),
    ):
        with pytest.raises(ValueError, match=message):
            compare_identity(before, after, detect, ByColour(), against)


def test_rows_are_drawn_side_by_side():
    red, green = plain(*RED)[0], plain(*GREEN)[0]
    drawn = draw_rows([[(red, "a"), (green, "b")], [(green, "c")]], 64)
    assert drawn.shape == (3, 128, 128)
    corners = drawn[:, [60, 60, 124, 124], [60, 124, 60, 124]].T
    assert corners[:3].tolist() == [list(RED), list(GREEN), list(GREEN)] and len(corners[3].unique()) == 1
    assert draw_rows([], 64).shape == (3, 64, 64)
