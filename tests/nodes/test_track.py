import json
from dataclasses import replace

import pytest
import torch
from by_hand import found


def test_faces_of_frames_get_tracks(run, comfy):
    frames = torch.cat([run("ExamplePhoto", name="two people")[0]] * 4)
    faces = run("DetectFaces", image=frames, detector="built-in")[0]
    missed = type(faces)(tuple(f for f in faces.faces if (f.image, f.index) != (2, 1)), faces.photos)
    output = run("TrackFaces", faces=missed, image=frames)
    tracked, count = output.args
    assert count == 2 and [(f.image, f.track) for f in tracked.faces] == [(t, n) for t in range(4) for n in (0, 1)]
    assert tracked.photos == faces.photos and len(output.ui.as_dict()["images"]) == 4
    assert tracked.faces[5].box == pytest.approx(faces.faces[5].box, abs=0.5)  # it was filled in
    apart, count = run("TrackFaces", faces=missed, image=frames, gap=0).args
    assert count == 3 and len(apart) == 7
    report = json.loads(run("RestoreFaces", image=frames[:1], detector="built-in")[2])
    assert "track" not in report["images"][0]["faces"][0]


def test_what_only_trembles_is_held(run, photos):
    frames = photos[:1].expand(16, -1, -1, -1)
    faces = found(frames, [(t, 0) for t in range(16)])
    rng = torch.Generator().manual_seed(0)
    shaken = [
        replace(f, landmarks=tuple(map(tuple, (torch.tensor(f.landmarks) + torch.randn(5, 2, generator=rng)).tolist())))
        for f in faces.faces
    ]
    faces = type(faces)(tuple(shaken), faces.photos)

    def trembling(result):
        points = torch.tensor([face.landmarks for face in result.faces])
        return float(points.diff(dim=0).abs().mean())

    held, loose = (run("TrackFaces", faces=faces, image=frames, steady=on)[0] for on in (True, False))
    assert trembling(held) < 0.45 * trembling(loose)
    assert [face.landmarks for face in loose.faces] == [face.landmarks for face in shaken]


def test_the_faces_must_be_of_these_frames(run, photos):
    faces = found(photos, [(0, 0)])
    with pytest.raises(ValueError, match="were found in other photographs"):
        run("TrackFaces", faces=faces, image=photos[:1])
