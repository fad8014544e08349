"""What other packs send through sockets, read by what they really send: arrays, tensors, lists, None, whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.records import Box

EDGE = -0.5  # others name whole pixels by their edges; ours lie half a pixel lower
PIXELS, SHARES = "px", "shares of the image"


def number(value: Any) -> float:
    """One number, also as an array, a tensor or a list of one.

    Raises:
        TypeError, ValueError: anything else.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    while isinstance(value, list | tuple):
        (value,) = value
    return float(value)


def score_of(value: Any) -> float:
    """How sure a detector is, 1 where it does not say.

    Raises:
        TypeError, ValueError: as :func:`number`.
    """
    return 1.0 if value is None else number(value)


def box_of(corners: Any, shift: float = 0.0) -> Box:
    """Four numbers x0, y0, x1, y1, each moved by `shift`.

    Raises:
        TypeError, ValueError: others, or not four.
    """
    if hasattr(corners, "tolist"):
        corners = corners.tolist()
    while len(corners) == 1:  # of a batch of one
        (corners,) = corners
    x0, y0, x1, y1 = (number(corner) + shift for corner in corners)
    return x0, y0, x1, y1


def regions_of_impact(segs: Any) -> tuple[tuple[int, int], list[Box], list[float]]:
    """The Impact Pack's SEGS: the image's height and width, and its boxes [px] and scores.

    Raises:
        ValueError: they cannot be read.
    """
    try:
        height, width = (int(number(side)) for side in segs[0][:2])
        regions = list(segs[1])
        boxes = [box_of(seg.crop_region if seg.bbox is None else seg.bbox, EDGE) for seg in regions]
        return (height, width), boxes, [score_of(seg.confidence) for seg in regions]
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"The SEGS could not be read ({error}); connect an output of the Impact Pack.") from error


def boxes_of_core(
    boxes: Any, sizes: Sequence[tuple[int, int]], units: str = PIXELS
) -> tuple[list[list[Box]], list[list[float]]]:
    """Core's BOUNDING_BOX in any of its forms: one box, those of one image (both for all images), or of each image.

    Args:
        boxes: what came.
        sizes: height and width of each image.
        units: ``PIXELS`` or ``SHARES``.

    Raises:
        ValueError: they cannot be read, belong to another number of images, or are not in the units said.
    """
    if isinstance(boxes, dict):
        boxes = [boxes]
    if not isinstance(boxes, list | tuple):
        raise ValueError(f"The boxes were {type(boxes).__name__}; expected a list of boxes for each image.")
    per_image = [list(b) for b in boxes] if all(isinstance(b, list | tuple) for b in boxes) and len(boxes) else [boxes]
    if len(per_image) == 1:
        per_image *= len(sizes)
    if len(per_image) != len(sizes):
        raise ValueError(
            f"Got boxes for {len(per_image)} images, but {len(sizes)} images; connect the image they were found in."
        )
    try:
        plain = [[tuple(number(b[name]) for name in ("x", "y", "width", "height")) for b in own] for own in per_image]
        scores = [[score_of(b.get("score")) for b in own] for own in per_image]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"A box could not be read ({error!r}); expected x, y, width and height. Connect a BOUNDING_BOX output."
        ) from error
    known = [numbers for own in plain for numbers in own]
    small = bool(known) and all(abs(value) <= 1 for numbers in known for value in numbers)
    if units == PIXELS and small and max(map(max, sizes)) > 2:
        raise ValueError(
            f"The boxes lie between 0 and 1, such as {known[0]}; expected px. Where they are shares of the image's "
            f"width and height, set units to '{SHARES}'."
        )
    if units == SHARES and known and not small:
        raise ValueError(f"The boxes are no shares of the image, such as {known[0]}; set units to '{PIXELS}'.")
    given = []
    for own, (height, width) in zip(plain, sizes, strict=True):
        across, down = (width, height) if units == SHARES else (1, 1)
        given.append(
            [(x * across + EDGE, y * down + EDGE, (x + w) * across + EDGE, (y + h) * down + EDGE) for x, y, w, h in own]
        )
    return given, scores


def meshes_of_core(landmarks: Any, sizes: Sequence[tuple[int, int]]) -> list[list[tuple[Box, Tensor, float]]]:
    """Core's FACE_LANDMARKS: for each image its faces as box [px], points (478,2) [px] and score.

    Raises:
        ValueError: they cannot be read, or belong to other images.
    """
    try:
        size = tuple(int(number(n)) for n in landmarks["image_size"])
        meshes = [
            [
                (
                    box_of(face["bbox_xyxy"]),
                    torch.as_tensor(face["landmarks_xy"]).cpu(),
                    score_of(face.get("score")),
                )
                for face in frame
            ]
            for frame in landmarks["frames"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"The landmarks could not be read ({error!r}); connect a FACE_LANDMARKS output of ComfyUI's own nodes."
        ) from error
    if len(meshes) != len(sizes) or any(size != own for own in sizes):
        height, width = sizes[0]
        raise ValueError(
            f"Got landmarks for {len(meshes)} images of {size[1]}x{size[0]}, but {len(sizes)} images of "
            f"{width}x{height}; connect the image they were found in."
        )
    return meshes
