"""Cutting aligned faces out of photographs, and the template out of a crop that shows more than it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import geometry
from ..geometry import TEMPLATE_SIZE
from ..records import Crops, Face

# The mask in the 512 px template: a superellipse from the hairline to under the chin and out to the ears, as FFHQ's
# alignment places them, that fades inwards over a quarter of its radius.
MASK_CENTRE = (256.0, 280.0)
MASK_RADII = (216.0, 230.0)
MASK_EXPONENT = 2.5
MASK_FEATHER = 0.25
# Correlation of a face's landmarks with the template: 1 for a frontal face, about 0.7 for a full profile, 0.1 when left
# and right are swapped.
LEAST_LIKENESS = 0.4
# Filters reach this far over the photograph's edge [px of the photograph]: cut at the edge, a mask would fade.
EDGE = 2.0
SEAM = 0.04  # width of the blend between a restored template and the margin around it, of the template's side


def crop_faces(
    photos: Tensor | Sequence[Tensor],
    faces: Sequence[Face],
    size: int = 512,
    margin: float = 0.0,
    progress: Callable[[], None] | None = None,
) -> Crops:
    """Cut faces out, aligned to the template.

    Args:
        photos: (B,3,H,W), or one (3,H,W) for each photograph where sizes differ; float RGB in [0,1].
        faces: which faces, in any order; `Face.image` says in which photograph.
        size: side of the crops [px].
        margin: how much of the template's side to show beyond the template, on each side; 0 is what restorers take.
        progress: called before each face; what it raises ends the work.

    Returns:
        The crops, ordered by photograph and then by face index. Outside the photograph the pixels repeat its edge
        and the masks are 0. Empty when there are no faces.

    Raises:
        ValueError: photographs of another shape, a size or a margin that is none, a face of another photograph, or
            landmarks that are not those of a face.
    """
    target = geometry.template(size, margin)
    check_photos(photos)
    faces = tuple(sorted(faces, key=lambda face: (face.image, face.index)))
    device = photos[0].device if len(photos) else None
    affines = torch.zeros(len(faces), 2, 3, dtype=torch.float64)
    pixels = torch.zeros(len(faces), 3, size, size, device=device)
    masks = face_mask(size, margin).to(pixels.device).repeat(len(faces), 1, 1, 1)
    for n, face in enumerate(faces):
        if progress:
            progress()
        if not 0 <= face.image < len(photos):
            raise ValueError(f"{_name(face)} was cropped from {len(photos)} photographs; give those it was found in.")
        photo = photos[face.image]
        affines[n] = _align(face, target)
        pixels[n] = geometry.warp(photo, affines[n], (size, size)).clamp(0, 1)
        _cut(masks[n], affines[n], (photo.shape[-2], photo.shape[-1]))
    return Crops(pixels, masks, affines, margin, faces, tuple((p.shape[-2], p.shape[-1]) for p in photos))


def face_mask(size: int = TEMPLATE_SIZE, margin: float = 0.0) -> Tensor:
    """Where a restored face is pasted: (1,size,size) in [0,1], 1 on the face, smoothly 0 before the template's edge."""
    at = torch.arange(size, dtype=torch.float64)
    placed = geometry.transform(geometry.to_template(size, margin), torch.stack([at, at], -1))
    x, y = (((placed[:, i] - MASK_CENTRE[i]).abs() / MASK_RADII[i]) ** MASK_EXPONENT for i in (0, 1))
    radius = (y[:, None] + x) ** (1 / MASK_EXPONENT)
    return _smooth((1 - radius) / MASK_FEATHER).float().unsqueeze(0)


def template_view(crops: Crops) -> Tensor:
    """The 512 px template (N,3,512,512) cut out of crops; the very pixels where the crops show just that."""
    return _views(crops.pixels, crops)


def template_masks(crops: Crops) -> Tensor:
    """The masks as :func:`template_view` shows the pixels: (N,1,512,512)."""
    return _views(crops.masks, crops)


def with_pixels(crops: Crops, pixels: Tensor) -> Crops:
    """The crops with other pixels in their place, such as what a sampler made of them.

    Args:
        crops: where the faces lie; this stays.
        pixels: (N,3,s,s) in [0,1], of any side: it shows what the crop shows, and is resized to it.

    Raises:
        ValueError: not one picture for each crop, or not square.
    """
    if pixels.ndim != 4 or len(pixels) != len(crops) or pixels.shape[1] != 3 or pixels.shape[2] != pixels.shape[3]:
        raise ValueError(
            f"Got pictures {tuple(pixels.shape)} for {len(crops)} crops; expected one square RGB picture for each, "
            f"({len(crops)}, 3, side, side)."
        )
    size = (crops.size, crops.size)
    if len(crops) and pixels.shape[2:] != size:
        pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return replace(crops, pixels=pixels if len(crops) else crops.pixels)


def into_crops(crops: Crops, restored: Tensor) -> Tensor:
    """Put restored templates back into their crops: the inverse of :func:`template_view`.

    Args:
        crops: what the templates were cut from.
        restored: (N,3,512,512) in [0,1].

    Returns:
        (N,3,S,S): the restored template, blended over a narrow seam into the crop's own pixels around it. With no
        margin and a size of 512 px these are the very values given.

    Raises:
        ValueError: not as many templates as crops, or of another size.
    """
    expected = (len(crops), 3, TEMPLATE_SIZE, TEMPLATE_SIZE)
    if tuple(restored.shape) != expected:
        raise ValueError(f"Got restored faces {tuple(restored.shape)} for {len(crops)} crops; expected {expected}.")
    if _is_template(crops):
        return restored
    affine = geometry.invert(geometry.to_template(crops.size, crops.margin))
    size = (crops.size, crops.size)
    result = torch.stack([geometry.warp(face, affine, size) for face in restored]) if len(crops) else crops.pixels
    if crops.margin > 0:
        at = torch.arange(crops.size, dtype=torch.float64)
        placed = geometry.transform(geometry.invert(affine), torch.stack([at, at], -1))[:, 0]
        depth = torch.minimum(placed + 0.5, TEMPLATE_SIZE - 0.5 - placed) / (SEAM * TEMPLATE_SIZE)
        seam = _smooth(torch.minimum(depth[:, None], depth)).float().to(result.device)
        result = torch.lerp(crops.pixels.to(result.device), result, seam)
    return result.clamp(0, 1)


def pick_crops(crops: Crops, chosen: Sequence[int]) -> Crops:
    """Some of the crops, in the order in which they are named."""
    rows = list(chosen)
    return replace(
        crops,
        pixels=crops.pixels[rows],
        masks=crops.masks[rows],
        affines=crops.affines[rows],
        faces=tuple(crops.faces[row] for row in rows),
    )


def aligned_crops(faces: Tensor) -> Crops:
    """Faces that are aligned to the template, edge to edge, as crops: each the only face of a photograph of its own.

    Args:
        faces: (N,3,512,512) float32 in [0,1].

    Raises:
        ValueError: faces of another size.
    """
    if faces.ndim != 4 or faces.shape[1:] != (3, TEMPLATE_SIZE, TEMPLATE_SIZE):
        raise ValueError(f"Got aligned faces {tuple(faces.shape)}; expected (N, 3, {TEMPLATE_SIZE}, {TEMPLATE_SIZE}).")
    side = float(TEMPLATE_SIZE)
    affines = torch.eye(2, 3, dtype=torch.float64).repeat(len(faces), 1, 1)
    found = tuple(Face(n, 0, (0.0, 0.0, side, side), 1.0, geometry.TEMPLATE) for n in range(len(faces)))
    masks = face_mask().to(faces.device).expand(len(faces), -1, -1, -1)
    return Crops(faces, masks, affines, 0.0, found, ((TEMPLATE_SIZE, TEMPLATE_SIZE),) * len(faces))


def maps_into_crops(crops: Crops, maps: Tensor) -> Tensor:
    """Maps (N,K,h,w) over the template, in the crops' own geometry: (N,K,S,S), 0 in the margin."""
    if not len(crops):
        return maps.new_zeros(0, maps.shape[1], crops.size, crops.size)
    maps = F.interpolate(maps, (TEMPLATE_SIZE, TEMPLATE_SIZE), mode="bilinear", align_corners=False)
    affine = geometry.invert(geometry.to_template(crops.size, crops.margin))
    return torch.stack([geometry.warp(one, affine, (crops.size, crops.size), "zeros") for one in maps])


def check_photos(photos: Tensor | Sequence[Tensor]) -> None:
    """Raise ValueError unless `photos` is (B,3,H,W) or a sequence of (3,H,W), floating point, of a pixel or more."""
    for photo in photos:
        if photo.ndim != 3 or photo.shape[0] != 3 or not photo.numel() or not photo.is_floating_point():
            raise ValueError(
                f"Got a photograph of shape {tuple(photo.shape)} and type {photo.dtype}; "
                "expected (3, height, width) of a floating-point type with values from 0 to 1."
            )


def _align(face: Face, target: Tensor) -> Tensor:
    try:
        points = torch.tensor(face.landmarks, dtype=torch.float64)
    except (TypeError, ValueError):  # no numbers, or not as many in each
        points = torch.zeros(0)
    if points.shape != (5, 2) or not bool((points.abs() < geometry.FARTHEST).all()):
        raise ValueError(
            f"{_name(face)} has landmarks {face.landmarks}; expected five finite points (x, y), of less than "
            f"{geometry.FARTHEST:g} px."
        )
    spread = (points - points.mean(0)).square().sum()
    likeness = 0.0
    if spread > 0:
        affine = geometry.fit_similarity(points, target)
        likeness = float(geometry.scale_of(affine) * (spread / (target - target.mean(0)).square().sum()).sqrt())
    if likeness < LEAST_LIKENESS or spread < 1:
        raise ValueError(
            f"{_name(face)} has landmarks {face.landmarks}, which do not lie like a face's; expected left eye, "
            "right eye, nose tip, left and right corner of the mouth, as seen in the picture."
        )
    return affine


def _cut(mask: Tensor, affine: Tensor, photo: tuple[int, int]) -> None:
    """Set the mask (1,S,S) to 0 where there is no photograph (in place)."""
    height, width = photo
    size = mask.shape[-1]
    back = geometry.invert(affine)
    at = torch.arange(size, dtype=torch.float64)
    x = back[0, 0] * at + (back[0, 1] * at[:, None] + back[0, 2])
    y = back[1, 0] * at + (back[1, 1] * at[:, None] + back[1, 2])
    outside = (x < -0.5 - EDGE) | (x > width - 0.5 + EDGE) | (y < -0.5 - EDGE) | (y > height - 0.5 + EDGE)
    mask[0, outside.to(mask.device)] = 0


def _views(pictures: Tensor, crops: Crops) -> Tensor:
    if _is_template(crops):
        return pictures
    if not len(crops):
        return pictures.new_zeros(0, pictures.shape[1], TEMPLATE_SIZE, TEMPLATE_SIZE)
    affine = geometry.to_template(crops.size, crops.margin)
    return torch.stack([geometry.warp(p, affine, (TEMPLATE_SIZE, TEMPLATE_SIZE)) for p in pictures]).clamp(0, 1)


def _is_template(crops: Crops) -> bool:
    return crops.margin == 0 and crops.size == TEMPLATE_SIZE


def _smooth(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, a cubic without kinks between."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _name(face: Face) -> str:
    return f"Face {face.number} of photograph {face.image}"
