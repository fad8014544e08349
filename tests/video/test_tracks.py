from dataclasses import replace

import pytest
import torch
from resemblance.core.geometry import TEMPLATE
from resemblance.core.records import Face
from resemblance.core.video.tracks import cuts, track_faces
from torch.nn import functional as F

HEIGHT, WIDTH, SIDE = 120, 400, 80


def texture(seed, size=(SIDE, SIDE)):
    rng = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(1, 3, 6, 6, generator=rng), size, mode="bicubic")[0].clamp(0, 1)


def face_at(frame, index, x, y=20.0):
    """A face of the template's shape in a box at some place."""
    points = tuple((x + px * SIDE / 512, y + py * SIDE / 512) for px, py in TEMPLATE)
    return Face(frame, index, (x, y, x + SIDE, y + SIDE), 0.9, points)


def film(*paths, background=0):
    """Frames in which textures stand at some places, and the faces in them; None is a frame without."""
    frames, faces = [], []
    for frame in range(len(paths[0][1])):
        picture = texture(1000 + background, (HEIGHT, WIDTH)) * 0.5
        for seed, places in paths:
            if places[frame] is not None:
                x = int(places[frame])
                picture[:, 20 : 20 + SIDE, x : x + SIDE] = texture(seed)
                faces.append(face_at(frame, sum(face.image == frame for face in faces), float(x)))
        frames.append(picture)
    return torch.stack(frames), faces


def numbers(faces):
    return [(face.image, face.track) for face in faces]


def test_faces_that_move_keep_their_tracks():
    frames, faces = film((1, [10 + 4 * t for t in range(8)]), (2, [300 - 5 * t for t in range(8)]))
    tracked = track_faces(frames, faces)
    assert [replace(face, track=None) for face in tracked] == faces
    assert numbers(tracked) == [(t, track) for t in range(8) for track in (0, 1)]


def test_recognition_decides_where_a_face_may_go_on_several_tracks():
    """They pass each other at once; by places alone each would turn back."""
    places = [[100, 120, 140, 215], [240, 220, 200, 125]]
    frames, faces = film((1, places[0]), (2, places[1]))
    alike = 0.5 * texture(1) + 0.5 * texture(2)  # as faces are like each other
    for t in range(4):
        for seed, at in zip((1, 2), places, strict=True):
            frames[t, :, 20 : 20 + SIDE, at[t] : at[t] + SIDE] = 0.8 * alike + 0.2 * texture(seed)
    asked = []

    def embed(views):
        """Tells the two textures apart, as recognition tells people."""
        asked.append(len(views))
        patterns = F.interpolate(torch.stack([texture(1), texture(2)]), views.shape[-2:])
        patterns = (patterns - patterns.mean(0)).flatten(1)
        return F.normalize((views - views.mean((2, 3), keepdim=True)).flatten(1) @ patterns.T, dim=1)

    by_place = track_faces(frames, faces)
    assert [face.box[0] for face in by_place if face.track == 0] == [100.0, 120.0, 140.0, 125.0]
    known = track_faces(frames, faces, embed=embed)
    assert [face.box[0] for face in known if face.track == 0] == [100.0, 120.0, 140.0, 215.0] and asked


def test_gaps_are_filled_up_to_a_length_on_a_straight_line():
    places = [50, 54, 58, None, None, 70, 74]
    frames, faces = film((1, places))
    tracked = track_faces(frames, faces, gap=2)
    assert numbers(tracked) == [(t, 0) for t in range(7)]
    assert [face.box[0] for face in tracked] == pytest.approx([50, 54, 58, 62, 66, 70, 74])
    x, y = tracked[4].landmarks[0]
    assert (x, y) == pytest.approx((66 + TEMPLATE[0][0] * SIDE / 512, 20 + TEMPLATE[0][1] * SIDE / 512), abs=1e-3)
    assert numbers(track_faces(frames, faces, gap=1)) == [(0, 0), (1, 0), (2, 0), (5, 1), (6, 1)]


def test_a_face_that_is_filled_in_has_an_index_of_its_own():
    frames, faces = film((1, [20, 20, 20]), (2, [250, None, 250]))
    tracked = track_faces(frames, faces)
    assert [(face.image, face.index, face.track) for face in tracked if face.image == 1] == [(1, 0, 0), (1, 1, 1)]


def test_a_cut_ends_all_tracks_and_a_flash_none():
    before, _ = film((1, [50] * 3))
    after, _ = film((2, [50] * 3), background=7)
    faces = [face_at(t, 0, 50.0) for t in range(6)]
    assert cuts(torch.cat([before, after])) == [3] and cuts([]) == cuts(before) == []
    assert [face.track for face in track_faces(torch.cat([before, after]), faces)] == [0, 0, 0, 1, 1, 1]
    flash = torch.cat([before, torch.ones_like(before[:1]), before])
    assert cuts(flash) == []
    seen = [face_at(t, 0, 50.0) for t in range(7) if t != 3]
    assert {face.track for face in track_faces(flash, seen)} == {0}


def test_who_comes_after_another_at_the_same_place_is_another():
    frames, faces = film((1, [50, 50, 50, None, None, None]), (2, [None, None, None, 50, 50, 50]))
    assert [face.track for face in track_faces(frames, faces)] == [0, 0, 0, 1, 1, 1]


def test_the_work_can_be_stopped():
    frames, faces = film((1, [50] * 3))

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track_faces(frames, faces, progress=stop)
    assert track_faces(frames, []) == [] and track_faces(frames[:0], []) == []
