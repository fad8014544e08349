import math

import pytest
import torch
from resemblance.core.geometry import TEMPLATE
from resemblance.core.records import Face
from resemblance.core.video.smoothing import steady

FRAMES = 40


def film(path, trembling=1.0, frames=FRAMES):
    """Where a face really is, and where it was found: each point trembles, and all of them together."""
    rng = torch.Generator().manual_seed(0)
    truth = torch.tensor([[path(t)] for t in range(frames)], dtype=torch.float64)
    truth = truth + torch.tensor([(0.0, 0.0), (160.0, 160.0), *((x * 0.3, y * 0.3) for x, y in TEMPLATE)])[None]
    alone = torch.randn(truth.shape, generator=rng, dtype=torch.float64)
    together = 1.2 * torch.randn(frames, 1, 2, generator=rng, dtype=torch.float64)
    found = truth + trembling * (alone + together)
    return truth, [face_of(t, places) for t, places in enumerate(found.tolist())]


def face_of(frame, places, track=0):
    first, last, *points = places
    return Face(frame, 0, (*first, *last), 0.9, tuple(map(tuple, points)), track=track)


def places(faces):
    return torch.tensor([[face.box[:2], face.box[2:], *face.landmarks] for face in faces], dtype=torch.float64)


def trembles(faces, truth):
    return float((places(faces) - truth).diff(dim=0).abs().mean())


PATHS = {
    "still": lambda t: (100.0, 100.0),
    "pan": lambda t: (100 + 3.0 * t, 100 - 1.0 * t),
    "zoom": lambda t: (100 - 0.5 * t, 100 - 0.5 * t),
}


@pytest.mark.parametrize("name", PATHS)
def test_what_trembles_is_held_still_without_lag(name):
    truth, faces = film(PATHS[name])
    held = steady(faces)
    assert trembles(held, truth) < 0.25 * trembles(faces, truth)
    bias = (places(held) - truth)[5:-5].mean()
    assert abs(float(bias)) < 0.25  # px: no frame is behind


@pytest.mark.parametrize("name", ["shake", "jump"])
def test_what_really_moves_is_kept(name):
    path = {
        "shake": lambda t: (100 + 12 * math.sin(1.1 * t), 100 + 8 * math.cos(0.9 * t)),
        "jump": lambda t: (100.0 + 60 * (t >= 20), 100.0),
    }[name]
    truth, faces = film(path)
    before, after = ((places(f) - truth).abs().mean() for f in (faces, steady(faces)))
    assert float(after) < 1.05 * float(before)


def test_a_mouth_that_opens_moves_alone():
    truth, _ = film(PATHS["still"], 0.0)
    truth[20:, 5:, 1] += 15  # both corners of the mouth
    _, trembling = film(PATHS["still"], 1.0)
    faces = [
        face_of(t, (at + there - where).tolist())
        for t, (at, there, where) in enumerate(zip(truth, places(trembling), film(PATHS["still"])[0], strict=True))
    ]
    held = places(steady(faces))
    assert float((held - truth)[:, 5:].abs().mean()) < 1.2  # it is where it is, as it was found
    assert float((held - truth)[:, 2:5].diff(dim=0).abs().mean()) < 1.0


def test_tracks_are_held_each_by_itself_and_others_left():
    _, first = film(PATHS["still"])
    _, second = film(PATHS["pan"])
    loose = [Face(0, 9, (0.0, 0.0, 9.0, 9.0), 0.5, ())]
    mixed = [
        face for pair in zip(first, [Face(**{**vars(f), "track": 1}) for f in second], strict=True) for face in pair
    ]
    held = steady([*mixed, *loose])
    assert held[-1] is loose[0] and [f.image for f in held] == [f.image for f in [*mixed, *loose]]
    assert [face.box for face in held[0:-1:2]] == [face.box for face in steady(first)]


def test_two_frames_are_left_as_they_are():
    _, faces = film(PATHS["still"], frames=2)
    assert steady(faces) == faces and steady([]) == []


def test_faces_without_landmarks_have_their_boxes_held():
    _, faces = film(PATHS["still"])
    plain = [Face(f.image, 0, f.box, 0.9, (), track=0) for f in faces]
    assert all(face.landmarks == () for face in steady(plain))
