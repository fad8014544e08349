"""Which face of a frame is which of the next: tracks.

A face goes on where a face stood before, moved on as it moved. Where that leaves a choice, as where two people cross,
recognition decides. A few frames without the face are filled in; a cut ends all tracks. Whoever leaves and comes back
begins a new track.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..faces.crop import crop_faces
from ..faces.detectors.overlap import overlaps
from ..geometry import TEMPLATE_SIZE
from ..records import Box, Face, Points

Embed = Callable[[Tensor], Tensor]
Progress = Callable[[], None]

GAP = 6  # frames that a face may be missing for
CELLS = 16  # of a side, in which frames and faces are compared: noise is averaged out
# Mean difference of two frames' cells from which the picture was cut. From one frame to the next a man who talks in a
# moving car makes 0.016 at most, a street in which people pass by 0.068, and a cut between two such scenes 0.16.
CUT = 0.11
NEAR = 0.15  # overlap (IoU) with where a face is expected that it needs
ALIKE = 0.2  # correlation of the cells of two faces that it needs: a man who turns his head keeps 0.25 over 14 frames


@dataclass
class _Track:
    number: int
    faces: list[Face]
    view: Tensor
    """(3,512,512), the last face."""

    def expected(self, frame: int) -> Box:
        """Where its face is in a frame, if it goes on as it went."""
        last = self.faces[-1]
        if len(self.faces) < 2:
            return last.box
        before = self.faces[-2]
        share = (frame - last.image) / (last.image - before.image)
        x0, y0, x1, y1 = (b + (b - a) * share for a, b in zip(before.box, last.box, strict=True))
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else last.box


def track_faces(
    frames: Tensor | Sequence[Tensor],
    faces: Sequence[Face],
    gap: int = GAP,
    embed: Embed | None = None,
    progress: Progress | None = None,
) -> list[Face]:
    """Give each face the number of its track.

    Args:
        frames: (B,3,H,W), or one (3,H,W) each, float RGB in [0,1], in the order of time.
        faces: found in these frames.
        gap: so many frames without a face are filled: a straight line leads from where it was to where it is again.
        embed: aligned faces (N,3,512,512) → unit vectors (N,D), asked where a face may go on several tracks.
        progress: called before each frame; what it raises stops the work.

    Returns:
        The faces, those filled in among them, by frame and index. Tracks are numbered from 0 in the order in which they
        begin.
    """
    scenes = _scenes(frames)
    tracks: list[_Track] = []
    for frame in range(len(frames)):
        if progress:
            progress()
        own = [face for face in faces if face.image == frame]
        views = _views(frames[frame], own)
        going = [
            t for t in tracks if frame - t.faces[-1].image <= gap + 1 and scenes[t.faces[-1].image] == scenes[frame]
        ]
        taken = _assigned(going, own, views, frame, embed)
        for n, face in enumerate(own):
            track = taken.get(n)
            if track is None:
                tracks.append(_Track(len(tracks), [face], views[n]))
            else:
                track.faces.append(face)
                track.view = views[n]
    tracked = [replace(face, track=track.number) for track in tracks for face in track.faces]
    return _numbered([*tracked, *(face for track in tracks for face in _filled(track))])


def cuts(frames: Tensor | Sequence[Tensor]) -> list[int]:
    """Frames with which another scene begins; a flash begins none."""
    scenes = _scenes(frames)
    return [n for n in range(1, len(scenes)) if scenes[n] != scenes[n - 1]]


def _scenes(frames: Tensor | Sequence[Tensor]) -> list[int]:
    """The number of each frame's scene."""
    if not len(frames):
        return []
    cells = torch.stack([F.adaptive_avg_pool2d(frame.float(), CELLS) for frame in frames])
    scenes, last = [0], 0
    for n in range(1, len(cells)):
        # What is as before is the frame that began it, or the last one that was no flash.
        if _apart(cells[n], cells[last]) and (n + 1 == len(cells) or _apart(cells[n + 1], cells[last])):
            scenes.append(scenes[-1] + 1)
            last = n
        else:
            scenes.append(scenes[-1])
            last = last if _apart(cells[n], cells[last]) else n
    return scenes


def _apart(a: Tensor, b: Tensor) -> bool:
    return float((a - b).abs().mean()) > CUT


def _views(frame: Tensor, faces: Sequence[Face]) -> list[Tensor]:
    """The faces, each (3,512,512); grey where landmarks are no face's."""
    views = []
    for face in faces:
        try:
            views.append(crop_faces([frame], [replace(face, image=0)]).pixels[0])
        except ValueError:
            views.append(frame.new_full((3, TEMPLATE_SIZE, TEMPLATE_SIZE), 0.5))
    return views


def _assigned(
    tracks: Sequence[_Track], faces: Sequence[Face], views: Sequence[Tensor], frame: int, embed: Embed | None
) -> dict[int, _Track]:
    """Which track each face goes on, {face: track}: the likeliest of all assignments."""
    if not tracks or not faces:
        return {}
    from scipy.optimize import linear_sum_assignment  # takes a tenth of a second to import

    expected = torch.tensor([track.expected(frame) for track in tracks])
    near, _ = overlaps(expected, torch.tensor([face.box for face in faces]))
    before, now = torch.stack([track.view for track in tracks]), torch.stack(list(views))
    alike = _cells(before) @ _cells(now).T
    possible = (near >= NEAR) & (alike >= ALIKE)
    if embed and (possible.sum(0).max() > 1 or possible.sum(1).max() > 1):
        alike = embed(before) @ embed(now).T
    gain = torch.where(possible, near + 1 + alike, 0.0)
    rows, columns = linear_sum_assignment(gain.numpy(), maximize=True)
    return {int(face): tracks[track] for track, face in zip(rows, columns, strict=True) if possible[track, face]}


def _cells(views: Tensor) -> Tensor:
    """Faces (N,3,S,S) as unit vectors (N,D), with brightness and contrast taken out."""
    cells = F.adaptive_avg_pool2d(views.float(), CELLS).flatten(1)
    return F.normalize(cells - cells.mean(1, keepdim=True), dim=1)


def _filled(track: _Track) -> list[Face]:
    """Faces for the frames in which it was missing, on a straight line."""
    found = []
    for before, after in zip(track.faces, track.faces[1:], strict=False):
        for frame in range(before.image + 1, after.image):
            share = (frame - before.image) / (after.image - before.image)
            box = tuple(a + (b - a) * share for a, b in zip(before.box, after.box, strict=True))
            points = _between(before.landmarks, after.landmarks, share)
            score = min(before.score, after.score)
            found.append(Face(frame, -1, (box[0], box[1], box[2], box[3]), score, points, track=track.number))
    return found


def _between(a: Points, b: Points, share: float) -> Points:
    return tuple((x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for (x0, y0), (x1, y1) in zip(a, b, strict=True))


def _numbered(faces: Sequence[Face]) -> list[Face]:
    """By frame; those filled in come after the others, with the next free indices."""
    free = {frame: max(face.index for face in faces if face.image == frame) + 1 for frame in {f.image for f in faces}}
    numbered = []
    for face in faces:
        if face.index < 0:
            face = replace(face, index=free[face.image])
            free[face.image] += 1
        numbered.append(face)
    return sorted(numbered, key=lambda face: (face.image, face.index))
