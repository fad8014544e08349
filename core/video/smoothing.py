"""Faces held steady along their tracks, so that crops do not tremble, without lag.

What a detector says of a still face trembles by a pixel or so from frame to frame, and with it every crop. A line is
fitted to the positions about each frame, before it and after it, so that steady motion is not held back; where a face
really moves otherwise than that, by more than the trembling, it is left where it was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..records import Face

REACH = 6  # frames before and after that are looked at
SPREAD = 2.5  # frames, of the weights (Gaussian)
# The points of a face tremble by themselves, which tells how much, and together 1.2 to 1.4 times as much: measured on
# noisy frames of still people. Whatever is more than so many times the trembling is movement, and kept; less is not.
TOGETHER = 1.4
SMOOTHED, KEPT = 2.0, 4.0
LEAST = 0.002  # of the face's width: the trembling that is reckoned with at least


def steady(faces: Sequence[Face]) -> list[Face]:
    """Smooth the boxes and landmarks of each track; faces without one stay as they are.

    Args:
        faces: with tracks, such as :func:`.tracks.track_faces` gives.

    Returns:
        The same faces, in the same order.
    """
    smoothed: dict[int, Face] = {}
    for track in sorted({face.track for face in faces if face.track is not None}):
        members = [n for n, face in enumerate(faces) if face.track == track]
        members.sort(key=lambda n: faces[n].image)
        smoothed |= dict(zip(members, _steady([faces[n] for n in members]), strict=True))
    return [smoothed.get(n, face) for n, face in enumerate(faces)]


def _steady(track: Sequence[Face]) -> list[Face]:
    times = torch.tensor([face.image for face in track], dtype=torch.float64)
    points = [[face.box[:2], face.box[2:], *face.landmarks] for face in track]
    places = torch.tensor(points, dtype=torch.float64)
    width = float((places[:, 1, 0] - places[:, 0, 0]).median())
    found = []
    for face, (first, last, *others) in zip(track, _smoothed(times, places, LEAST * width).tolist(), strict=True):
        landmarks = tuple((x, y) for x, y in others)
        found.append(replace(face, box=(first[0], first[1], last[0], last[1]), landmarks=landmarks))
    return found


def _smoothed(times: Tensor, places: Tensor, least: float) -> Tensor:
    """Points (N,P,2) at some times (N,), on the lines through those about them, but for what really moved otherwise."""
    if len(times) < 3:
        return places
    on_line = _lines(times, places.flatten(1)).view_as(places)
    together = (places - on_line).mean(1, keepdim=True)
    alone = places - on_line - together
    # The median tells trembling from the few frames of a fast movement; 1.48 makes it a standard deviation.
    trembling = max(1.4826 * float(alone.abs().median()), least)
    return on_line + _moved(together, TOGETHER * trembling) + _moved(alone, trembling)


def _moved(apart: Tensor, trembling: float) -> Tensor:
    """What of the distances from a line is movement."""
    length = apart.norm(dim=-1, keepdim=True)
    return apart * ((length / trembling - SMOOTHED) / (KEPT - SMOOTHED)).clamp(0, 1)


def _lines(times: Tensor, values: Tensor) -> Tensor:
    """The weighted least-squares line about each time, at that time."""
    away = times[None] - times[:, None]
    weights = torch.exp(-0.5 * (away / SPREAD) ** 2) * (away.abs() <= REACH)
    total = weights.sum(1)
    mean_time = (weights * away).sum(1) / total
    mean_value = (weights @ values) / total[:, None]
    centred = away - mean_time[:, None]
    slope = ((weights * centred) @ values) / (weights * centred**2).sum(1).clamp_min(1e-9)[:, None]
    return mean_value - slope * mean_time[:, None]
