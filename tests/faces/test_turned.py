"""Faces that lie on their side or stand on their head."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from resemblance.core.faces import turned
from resemblance.core.faces.detect import detect_faces
from resemblance.core.files.images import read_photo
from resemblance.core.loading import load_models
from resemblance.core.pipeline import restore_photos
from resemblance.core.records import Face
from torch import Tensor

EXAMPLES = Path(__file__).parents[2] / "nodes" / "examples"
EYES_ABOVE = ((40.0, 40.0), (60.0, 40.0), (50.0, 50.0), (42.0, 60.0), (58.0, 60.0))


def found(*faces: tuple[float, float]) -> turned.Found:
    """Faces of 20 px at places along a line, with their scores."""
    boxes = torch.tensor([[x, 0.0, x + 20, 20.0] for x, _ in faces]).reshape(-1, 4)
    return boxes, boxes[:, None, :2].expand(-1, 5, 2), torch.tensor([score for _, score in faces])


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """An upright face."""
    return read_photo(EXAMPLES / "man_damaged.jpg").pixels


@pytest.mark.parametrize("quarters", range(4))
def test_places_in_a_turned_picture_are_those_of_the_picture(quarters: int) -> None:
    picture = torch.rand(3, 7, 11, generator=torch.Generator().manual_seed(0))
    seen = turned.turn(picture, quarters)
    points = torch.tensor([[[2.0, 1.0], [4.0, 6.0], [0.0, 3.0], [1.0, 2.0], [5.0, 5.0]]])
    boxes = torch.tensor([[1.0, 2.0, 4.0, 6.0]])
    (box,), (there,), _ = turned.back((boxes, points, torch.ones(1)), quarters, 7, 11)
    for (x, y), (u, v) in zip(points[0].long().tolist(), there.long().tolist(), strict=True):
        assert torch.equal(seen[:, y, x], picture[:, v, u])
    assert box[0] < box[2] and box[1] < box[3]
    sides = (box[2:] - box[:2]).tolist()
    assert sides == ([4.0, 3.0] if quarters % 2 else [3.0, 4.0])


def test_each_face_is_the_turns_that_is_surest_of_it() -> None:
    none = found()
    upright, upside_down = found((0, 0.8), (100, 0.9)), found((2, 0.6), (99, 0.7), (300, 0.8))
    boxes, _, scores = turned.settled([upright, none, upside_down, none])
    assert boxes[:, 0].tolist() == [100, 0] and scores.tolist() == pytest.approx([0.9, 0.8])
    boxes, _, _ = turned.settled([upside_down, none, upright, none])
    assert boxes[:, 0].tolist() == [100, 0]
    # Somebody who lies beside people who stand counts where it is sure.
    boxes, _, _ = turned.settled([upright, found((500, 0.88)), none, none])
    assert boxes[:, 0].tolist() == [100, 500, 0]


def test_what_is_unsure_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    none = found()
    with caplog.at_level(logging.WARNING):
        boxes, _, _ = turned.settled([found((0, 0.8), (100, 0.82)), none, found((0, 0.81)), none])
    assert boxes[:, 0].tolist() == [100]
    assert "left alone" in caplog.text
    # No turn is sure: the picture counts as upright, less what looks otherwise.
    weak = [found((0, 0.52), (100, 0.51)), found((0, 0.58), (200, 0.57)), none, none]
    assert turned.settled(weak)[0][:, 0].tolist() == [100]
    assert len(turned.settled([none, none, none, none])[2]) == 0


def test_a_clear_face_is_not_looked_at_again() -> None:
    looked = []

    def look(picture: Tensor, threshold: float) -> turned.Found:
        looked.append(picture.shape)
        return found((0, 0.6))

    photo = torch.zeros(3, 400, 900)
    assert not turned.doubtful(photo, found((0, 0.95), (100, 0.5)), look) and not looked
    assert not turned.doubtful(photo, found((0, 0.85)), look) and len(looked) == 1
    assert not turned.doubtful(photo, found((0, 0.76)), look) and len(looked) == 4
    assert all(max(shape) <= turned.CUT for shape in looked)
    assert turned.doubtful(photo, found((0, 0.7)), look) and turned.doubtful(photo, found(), look)
    assert turned.doubtful(photo, found((0, 0.85)), lambda picture, threshold: found((0, 0.84)))


@pytest.mark.parametrize(
    ("quarters", "said"), [(0, None), (1, "turned to the left"), (2, "upside down"), (3, "turned to the right")]
)
def test_a_turned_photograph_is_restored_in_place(photo: Tensor, quarters: int, said: str | None) -> None:
    models = load_models(detector="built-in")
    assert models.detector
    upright = detect_faces([photo], models.detector)
    lying = turned.turn(photo, quarters).contiguous()
    faces = detect_faces([lying], models.detector)
    assert len(faces) == len(upright) == 1
    points = torch.tensor(faces[0].landmarks)[None]
    _, points, _ = turned.back((torch.zeros(1, 4), points, torch.ones(1)), quarters, *photo.shape[1:])
    torch.testing.assert_close(points[0], torch.tensor(upright[0].landmarks), rtol=0, atol=4.0)
    assert turned.turn_said(faces) == said
    assert turned.quarters_of(faces[0]) == -quarters % 4
    straight = restore_photos(photo[None], models, upright)
    done = restore_photos(lying[None], models, faces)
    back = turned.turn(done.pixels[0], -quarters)
    change = (straight.pixels[0] - photo).abs().mean()
    assert (back - straight.pixels[0]).abs().mean() < 0.35 * change


def test_more_than_half_of_the_faces_say_how_a_picture_is_turned() -> None:
    head = tuple((100 - x, 100 - y) for x, y in EYES_ABOVE)
    upright, upside_down = (Face(0, 0, (30.0, 30.0, 70.0, 70.0), 0.9, points) for points in (EYES_ABOVE, head))
    assert turned.turn_said([upright, upside_down]) is None
    assert turned.turn_said([upside_down, upright, upside_down]) == "upside down"
    assert turned.turn_said([]) is None
