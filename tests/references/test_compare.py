import math
from dataclasses import replace

import pytest
import torch
from people import calibrated
from resemblance.core.faces.evidence import Calibration
from resemblance.core.geometry import TEMPLATE
from resemblance.core.records import Face, FaceQuality, Person, References
from resemblance.core.references.compare import compare_identity
from torch.nn import functional as F

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


class ByColour:
    """Who a face is, is its mean colour. Of a cosine of 0.9 it cannot tell."""

    name, fingerprint, calibration, network = "by colour", "f" * 16, calibrated(10, 0.9), None

    def embed(self, faces):
        return F.normalize(faces.mean((2, 3)))


def plain(*colour):
    return torch.tensor(colour)[None, :, None, None].expand(1, 3, 512, 512).float()


def person(name, *colours):
    faces = torch.cat([plain(*colour) for colour in colours])
    embeddings = ByColour().embed(faces)
    latent, many = torch.zeros(len(faces), 1, 1, 1), len(faces)
    return Person(name, faces, latent, latent, {}, embeddings, embeddings, (1.0,) * many, (name,) * many)


def known(*people):
    return References(people, "", "by colour", ("f" * 16, "c" * 16))


def detect(photos):
    side = float(photos.shape[-1])
    return [Face(0, 0, (0.0, 0.0, side, side), 1.0, TEMPLATE)]


def test_a_face_is_compared_with_whom_it_is_most_like():
    references = known(person("red", RED), person("green", GREEN))
    before, after = plain(0.6, 0.8, 0), plain(0.8, 0.6, 0)  # after it is more like red, before it was more like green
    (found,) = compare_identity(before, after, detect, ByColour(), references)
    assert found.person == "red" and found.sure == pytest.approx(1 / (1 + math.exp(1)))
    assert found.before == pytest.approx(0.6) and found.after == pytest.approx(0.8)
    assert torch.equal(found.pictures[:, :, 9, 9], torch.tensor([(0.6, 0.8, 0), (0.8, 0.6, 0), RED]))


def test_several_photographs_count_as_their_mean():
    references = known(person("both", RED, GREEN))
    (found,) = compare_identity(plain(*RED), plain(1, 1, 0), detect, ByColour(), references)
    assert found.before == pytest.approx(math.sqrt(0.5)) and found.after == pytest.approx(1)
    assert found.sure == pytest.approx(1 / (1 + math.exp(-1))) and len(found.pictures) == 4


def test_the_undamaged_photograph_takes_the_place_of_references():
    (found,) = compare_identity(plain(*RED), plain(3, 4, 0) / 5, detect, ByColour(), plain(*GREEN))
    assert found.person is None and len(found.pictures) == 3
    assert found.before == pytest.approx(0) and found.after == pytest.approx(0.8)


def test_what_a_cosine_means_depends_on_the_face_afterwards_and_the_number_of_photographs(monkeypatch):
    class Measured(ByColour):
        calibration = Calibration((0.0, 0.0, -2.0, *(0.0,) * 5, 3.0, 0.0))  # of damage, and of one photograph of many

    monkeypatch.setattr(
        "resemblance.core.references.compare.measure_quality",
        lambda crops: [FaceQuality(1.0, 126.0, 0.0, red) for red in crops.pixels[:, 0, 9, 9].tolist()],
    )
    before, after = plain(0.1, 0.5, 0), plain(0.7, 0.5, 0)
    for against, few in ((known(person("both", RED, GREEN)), 1 / 2), (plain(*RED), 1)):
        (found,) = compare_identity(before, after, detect, Measured(), against)
        assert found.sure == pytest.approx(1 / (1 + math.exp(2 * 0.7 - 3 * few)))


def test_no_face_is_nothing_to_compare():
    assert compare_identity(plain(*RED), plain(*RED), lambda _: [], ByColour(), plain(*RED)) == []


def test_what_cannot_be_compared_is_named():
    photo, small = plain(*RED), torch.zeros(1, 3, 64, 32)
    red = known(person("red", RED))
    for before, after, against, message in (
        (photo, small, photo, "Before was 1 of 512x512, but after 1 of 32x64"),
        (photo, photo, small, "but the truth 1 of 32x64"),
        (photo, photo, known(), "hold nobody"),
        (photo, photo, replace(red, embedder="insightface"), "embedded by 'insightface'"),
        (photo, photo, replace(red, embedded_by=("0" * 16, "c" * 16)), "weights 0{16} of .* but these are f{16}"),
    ):
        with pytest.raises(ValueError, match=message):
            compare_identity(before, after, detect, ByColour(), against)
