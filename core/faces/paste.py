"""Putting restored faces back into their photographs.

Each face is worked on inside its own rectangle: the restored crop takes over the colours of the original
(:mod:`.colour`), is warped into the photograph (filtered where that shrinks it), is made as soft and as grainy as the
photograph around it, and is blended in under its mask. All other pixels stay bit for bit what they were.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .. import geometry
from ..records import Crops
from .colour import keep_chroma, match_shading
from .crop import check_photos
from .measure import LUMA, blur_level, luma, noise_levels, smooth

# Softness and grain up to here belong to the photograph and are given to the face; what is beyond is damage, and giving
# that back would undo the restoration.
SOFT_LIMIT = 1.0  # [px of the result]
GRAIN_LIMIT = 0.03
CRISP = 0.5  # blur of a crisp picture's own pixels [px]
GRAIN_TILE = 512
LARGEST_SCALE = 8
MEASURED = 512  # [px of the result] of a face that are looked at for its blur
LUMA_KEEPS = math.sqrt(sum(weight * weight for weight in LUMA))


@dataclass(frozen=True)
class PasteOptions:
    """How pasted faces are fitted into their photographs.

    Attributes:
        color_match: 0 to 1, how much of the difference in colour to take away (:mod:`.colour`).
        sharpness_match: 0 to 1, how far to soften the face towards the photograph around it (at most to 1 px of blur).
        grain_match: 0 to 1, how much of the photograph's grain to give the face (a strong noise only in part).
        scale: how much larger than the photographs the results are, at most 8; they are resized bicubically.

    Raises:
        ValueError: one of them out of range.
    """

    color_match: float = 1.0
    sharpness_match: float = 1.0
    grain_match: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("color_match", "sharpness_match", "grain_match"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} was {value}; expected 0 to 1.")
        if not 0 < self.scale <= LARGEST_SCALE:
            raise ValueError(f"scale was {self.scale}; expected above 0 and at most {LARGEST_SCALE}.")


@dataclass(frozen=True)
class _Patch:
    """One face, ready to be blended in: `pixels` (3,h,w) and its mask `alpha` (1,h,w), top-left pixel at (x, y)."""

    x: int
    y: int
    pixels: Tensor
    alpha: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width [px]."""
        return self.alpha.shape[1], self.alpha.shape[2]

    def window(self, picture: Tensor) -> Tensor:
        """The part of (C,H,W) that lies under the patch; a view."""
        return picture[:, self.y : self.y + self.alpha.shape[1], self.x : self.x + self.alpha.shape[2]]


def paste_faces(
    photos: Tensor | Sequence[Tensor],
    crops: Crops,
    restored: Tensor,
    blend: float | Sequence[float] = 1.0,
    options: PasteOptions | None = None,
    masks: Tensor | None = None,
    photo_masks: Tensor | Sequence[Tensor] | None = None,
    background: Tensor | Sequence[Tensor] | None = None,
    in_place: bool = False,
    progress: Callable[[], None] | None = None,
) -> tuple[Tensor | list[Tensor], Tensor | list[Tensor]]:
    """Paste restored crops into the photographs they came from.

    Args:
        photos: (B,3,H,W), or a sequence of (3,H,W) where sizes differ; float RGB in [0,1].
        crops: where the faces lie.
        restored: (N,3,s,s) in [0,1], one for each crop, of any side: it shows what the crop shows.
        blend: 0 (the photograph as it is) to 1, for all faces or for each.
        options: how they are fitted in; None is :class:`PasteOptions` as it is.
        masks: (N,1,m,m) in [0,1], in place of the masks of `crops`; of any side.
        photo_masks: (B,1,H,W), or a sequence of (1,H,W): where in the photographs anything may be pasted.
        background: the photographs, already resized by other means, in place of `options.scale`; their
            size says by how much.
        in_place: write into `photos` (or `background`) and return them. Saves a copy, the larger part of the cost for
            a large photograph with few faces; for callers that need the original no more.
        progress: called before each photograph; what it raises ends the work.

    Returns:
        The photographs and the masks that were applied (1 channel, `blend` included), each in the form that `photos`
        has. Every pixel where the mask is 0 is bit for bit that of the photograph (or the background); overlapping
        faces are averaged by their masks. Results do not depend on the order of the crops.

    Raises:
        ValueError: another number of restored faces or masks than of crops, other photographs than those the crops came
            from, masks of the photographs of another size, a background of other proportions, restored pixels that are
            not finite, or with `in_place` pictures that share their memory.
    """
    _check(photos, crops, restored, masks, photo_masks, background)
    options = options or PasteOptions()
    blends = [float(blend)] * len(crops) if isinstance(blend, int | float) else [float(each) for each in blend]
    if len(blends) != len(crops) or not all(0 <= each <= 1 for each in blends):
        raise ValueError(f"Got blends {blends} for {len(crops)} crops; expected 0 to 1, one for all or each.")
    canvases = _canvases(photos, options.scale, background, in_place)
    applied: Tensor | list[Tensor] = (
        _zeros(canvases[:, :1]) if isinstance(canvases, Tensor) else [_zeros(canvas[:1]) for canvas in canvases]
    )
    masks = crops.masks if masks is None else masks
    for b, (height, width) in enumerate(crops.photos):
        if progress:
            progress()
        canvas = canvases[b]
        enlarge = geometry.scaling(canvas.shape[-1] / width, canvas.shape[-2] / height)
        patches = []
        for n, face in enumerate(crops.faces):
            if face.image != b or blends[n] == 0:
                continue
            device = canvas.device
            original, mask = crops.pixels[n].to(device), crops.masks[n].to(device)
            pixels = restored[n].to(device, torch.float32)
            pixels = match_shading(pixels, original, mask, crops.margin, options.color_match)
            if face.quality:
                pixels = keep_chroma(pixels, original, crops.margin, options.color_match, face.quality.severity)
            to_canvas = geometry.compose(enlarge, geometry.invert(crops.affines[n]))
            to_canvas = geometry.compose(to_canvas, geometry.scaling(crops.size / restored.shape[-1]))
            patch = _place(pixels, masks[n].to(device, torch.float32), to_canvas, canvas.shape[-2:])
            if patch is None:
                continue
            if photo_masks is not None:
                to_patch = geometry.compose(_shift(-patch.x, -patch.y), enlarge)
                patch.alpha.mul_(geometry.warp(photo_masks[b].to(device), to_patch, patch.size).clamp(0, 1))
            _soften(patch, canvas, float(geometry.scale_of(to_canvas)), options.sharpness_match)
            seed = zlib.crc32(crops.affines[n].numpy().tobytes())
            if background is None:
                _add_grain(patch, photos[b], float(geometry.scale_of(enlarge)), options.grain_match, seed)
            else:
                _add_grain(patch, canvas, 1.0, options.grain_match, seed)
            patch.alpha.mul_(blends[n])
            patches.append(patch)
        _blend(canvas, applied[b], patches)
    return canvases, applied


def _check(
    photos: Tensor | Sequence[Tensor],
    crops: Crops,
    restored: Tensor,
    masks: Tensor | None,
    photo_masks: Tensor | Sequence[Tensor] | None,
    background: Tensor | Sequence[Tensor] | None,
) -> None:
    check_photos(photos)
    sizes = tuple((photo.shape[-2], photo.shape[-1]) for photo in photos)
    if sizes != crops.photos:
        raise ValueError(
            f"The crops came from {len(crops.photos)} photographs of (height, width) {_short(crops.photos)}, "
            f"but got {len(sizes)} of {_short(sizes)}; paste into the photographs that were cropped."
        )
    for name, given, channels in (("restored faces", restored, 3), ("masks", masks, 1)):
        if given is None:
            continue
        if len(given) != len(crops):
            raise ValueError(f"Got {len(given)} {name} for {len(crops)} crops; give exactly one for each crop.")
        if given.ndim != 4 or given.shape[1] != channels or given.shape[2] != given.shape[3]:
            got = f"{given.shape[3]}x{given.shape[2]}" if given.ndim == 4 else f"of shape {tuple(given.shape)}"
            raise ValueError(
                f"The {name} are {got} with {given.shape[1]} channels; expected squares with {channels}, each of which "
                "shows the whole of its crop. Do not cut or pad between cropping and pasting."
            )
        for n, face in enumerate(crops.faces):
            if not bool(given[n].isfinite().all()):
                raise ValueError(
                    f"The {name} of face {face.index} of photograph {face.image} hold values that are not numbers "
                    "(NaN or infinite); nothing was pasted. Restoring in float32 may help."
                )
    if photo_masks is not None:
        shapes = [tuple(mask.shape) for mask in photo_masks]
        if shapes != [(1, *size) for size in sizes]:
            raise ValueError(
                f"Got photo masks of {_short(shapes)} for photographs of {_short(sizes)} (height, width); give one of "
                "the same size for each, (1, height, width)."
            )
    if background is not None:
        check_photos(background)
        if len(background) != len(sizes):
            raise ValueError(f"Got {len(background)} backgrounds for {len(sizes)} photographs; give one for each.")
        for picture, (height, width) in zip(background, sizes, strict=True):
            factor = picture.shape[-1] / width
            if abs(picture.shape[-2] - factor * height) > 1 + factor / 2:
                raise ValueError(
                    f"Got a background of {tuple(picture.shape[-2:])} for a photograph of {(height, width)} "
                    "(height, width); expected the same proportions."
                )


def _canvases(
    photos: Tensor | Sequence[Tensor], scale: float, background: Tensor | Sequence[Tensor] | None, in_place: bool
) -> Tensor | list[Tensor]:
    """What is painted on: copies of the photographs, their enlargements, or the very pictures given."""
    source = photos if background is None else background
    if background is None and scale != 1:
        if isinstance(photos, Tensor):
            return _resized(photos, scale)
        return [_resized(photo[None], scale)[0] for photo in photos]
    if in_place:
        _check_own_memory(source)
    if isinstance(source, Tensor):
        return source if in_place else source.clone()
    return list(source) if in_place else [picture.clone() for picture in source]


def _check_own_memory(pictures: Tensor | Sequence[Tensor]) -> None:
    """Raise ValueError where writing into one pixel would change another."""
    places = [picture.data_ptr() for picture in pictures]
    expanded = any(
        step == 0 and n > 1 for picture in pictures for step, n in zip(picture.stride(), picture.shape, strict=True)
    )
    if expanded or len(set(places)) < len(places):
        raise ValueError(
            "Pictures that are to be written into (in_place) share their memory, such as what expand() gives; expected "
            "pictures of their own. Give clones, or leave in_place out."
        )


def _resized(photos: Tensor, scale: float) -> Tensor:
    """Resized pictures (B,3,H,W), in their own precision; computed in float32, as CPUs cannot reduce in less."""
    height, width = (max(1, round(side * scale)) for side in photos.shape[-2:])
    if not len(photos):
        return photos.new_zeros(0, 3, height, width)
    resized = F.interpolate(photos.float(), (height, width), mode="bicubic", antialias=scale < 1, align_corners=False)
    return resized.clamp(0, 1).to(photos.dtype)


def _place(pixels: Tensor, mask: Tensor, to_canvas: Tensor, canvas: torch.Size) -> _Patch | None:
    """Warp a face (3,s,s) and its mask (1,m,m) into the smallest rectangle of the canvas that holds the mask."""
    side = pixels.shape[-1]
    if mask.shape[-1] != side:
        mask = F.interpolate(mask[None], (side, side), mode="bilinear", antialias=True, align_corners=False)[0]
    # Outside the crop nothing is known: the mask ends with it.
    mask = F.pad(mask[:, 1:-1, 1:-1], (1, 1, 1, 1))
    rows, columns = mask[0].amax(1).nonzero(), mask[0].amax(0).nonzero()
    if not len(rows):
        return None
    (y0, y1), (x0, x1) = ((float(line.min()) - 1.5, float(line.max()) + 1.5) for line in (rows, columns))
    corners = geometry.transform(to_canvas, torch.tensor([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]))
    left, top = (max(0, math.floor(v) - 1) for v in corners.amin(0).tolist())
    right, bottom = (
        min(n, math.ceil(v) + 2) for v, n in zip(corners.amax(0).tolist(), (canvas[1], canvas[0]), strict=True)
    )
    if right <= left or bottom <= top:
        return None
    to_patch = geometry.compose(_shift(-left, -top), to_canvas)
    warped = geometry.warp(torch.cat([pixels, mask]), to_patch, (bottom - top, right - left)).clamp(0, 1)
    # Sampling leaves a millionth where the mask is 0 or 1; those pixels are to be left alone, or replaced, exactly.
    alpha = (warped[3:] * (1 + 2e-5) - 1e-5).clamp(0, 1)
    return _Patch(left, top, warped[:3], alpha)


def _soften(patch: _Patch, canvas: Tensor, enlarged: float, amount: float) -> None:
    """Blur the patch (in place) towards the photograph around it, never beyond what the face itself was."""
    own = CRISP * max(1.0, enlarged)
    if amount == 0 or own >= SOFT_LIMIT:
        return
    h, w = patch.size
    # The middle of a large face is enough to measure its blur.
    rows, columns = (slice(max(0, (n - MEASURED) // 2), (n + MEASURED) // 2) for n in (h, w))
    target = min(SOFT_LIMIT, _blur(luma(patch.window(canvas)[:, rows, columns].float()), patch.alpha[0, rows, columns]))
    if target > own:
        reach = min(h // 4, w // 4, MEASURED // 4)
        top, left = max(0, patch.y - reach), max(0, patch.x - reach)
        around = canvas[:, top : patch.y + h + reach, left : patch.x + w + reach].float()
        weight = torch.ones_like(around[0])
        weight[patch.y - top :, patch.x - left :][:h, :w] -= patch.alpha[0]
        target = min(target, _blur(luma(around), weight))
    if target > own:
        sigma = amount * math.sqrt(target * target - own * own)
        patch.pixels.copy_(smooth(patch.pixels, sigma))


def _blur(picture: Tensor, weight: Tensor) -> float:
    """Blur [px] of (H,W) under the weight; 0 where nothing shows it."""
    blur = blur_level(picture, weight, float(noise_levels(picture[None], weight)), 1.0, (1.0, 2.0))
    return blur if math.isfinite(blur) else 0.0


def _add_grain(patch: _Patch, photo: Tensor, enlarged: float, amount: float, seed: int) -> None:
    """Add noise to the patch (in place) that has the strength, the colour and the fineness of the photograph's.

    The noise that is made is white noise smoothed by the three taps [a, 1, a] along each axis. Seen through Haar's
    diagonal differences, at full and at half size, its spread is in the ratio
    r = (1 - 2a + 2a²) / (1 + a + a²), which gives `a` from the two spreads measured.

    Args:
        patch: where.
        photo: (3,H,W) before anything was pasted. Where it is smaller than the canvas, it was enlarged to it, and so is
            the grain.
        enlarged: how much.
        amount: 0 to 1.
        seed: equal seeds make equal grain.
    """
    if amount == 0:
        return
    y, x, h, w = (round(n / enlarged) for n in (patch.y, patch.x, *patch.size))
    before = photo[:, y : y + h, x : x + w].float()
    seen = torch.cat([luma(patch.pixels)[None], patch.alpha])
    h, w = before.shape[1:]
    if (h, w) != patch.size:
        if not h or not w:
            return
        seen = F.interpolate(seen[None], (h, w), mode="bicubic", antialias=True)[0]
    after, weight = seen[:1], seen[1]
    bright = luma(before)[None]
    *colours, fine, own = noise_levels(torch.cat([before, bright, after]), weight).tolist()
    if fine <= own or fine < 1e-4:
        return
    halved = F.avg_pool2d(torch.cat([bright, weight[None]]), 2)
    coarse = 2 * float(noise_levels(halved[:1], halved[1]))  # averaging four pixels halves the spread of white noise
    r = min(1.0, fine / max(coarse, 1e-6))
    root = math.sqrt(max(0.0, (2 + r) ** 2 - 4 * (2 - r) * (1 - r)))
    a = min(0.5, (2 + r - root) / (2 * (2 - r)))
    colour = math.sqrt(sum(c * c for c in colours) / 3)
    # The luma shows noise common to the channels whole, noise of each channel by the root of its squared weights.
    apart = min(1.0, max(0.0, (colour**2 - fine**2) / ((1 - LUMA_KEEPS**2) * colour**2)))
    whole = colour / (1 - 2 * a / (1 + 2 * a * a))
    level = amount * min(GRAIN_LIMIT, whole) * math.sqrt(1 - (own / fine) ** 2)

    generator = torch.Generator().manual_seed(seed)
    grain = torch.randn(4, min(h, GRAIN_TILE), min(w, GRAIN_TILE), generator=generator).to(photo.device)
    grain = math.sqrt(1 - apart) * grain[:1] + math.sqrt(apart) * grain[1:]
    for axis in (1, 2):
        grain = (grain + a * (grain.roll(1, axis) + grain.roll(-1, axis))) / math.sqrt(1 + 2 * a * a)
    grain = grain.repeat(1, math.ceil(h / GRAIN_TILE), math.ceil(w / GRAIN_TILE))[:, :h, :w]
    if (h, w) != patch.size:
        grain = F.interpolate(grain[None], patch.size, mode="bicubic", align_corners=False)[0]
    patch.pixels.add_(grain, alpha=level).clamp_(0, 1)


def _blend(canvas: Tensor, applied: Tensor, patches: list[_Patch]) -> None:
    """Blend the patches into the canvas (3,H,W) and write the mask that results (1,H,W), both in place.

    Where faces overlap, each counts by its mask's share in their sum, and together they count as the strongest mask.
    """
    for patch in patches:
        torch.maximum(patch.window(applied), patch.alpha, out=patch.window(applied))
    changes = []
    for patch in patches:
        total = torch.zeros_like(patch.alpha)
        for other in patches:
            top, left = max(patch.y, other.y), max(patch.x, other.x)
            bottom = min(patch.y + patch.size[0], other.y + other.size[0])
            right = min(patch.x + patch.size[1], other.x + other.size[1])
            if bottom > top and right > left:
                total[:, top - patch.y : bottom - patch.y, left - patch.x : right - patch.x] += other.alpha[
                    :, top - other.y : bottom - other.y, left - other.x : right - other.x
                ]
        share = patch.alpha / total.clamp_min(1e-12)
        weight = share * patch.window(applied)
        changes.append(patch.pixels.sub_(patch.window(canvas)).mul_(weight))
    for patch, change in zip(patches, changes, strict=True):
        window = patch.window(canvas)
        # Where the mask is 0 the change is 0, and adding it leaves every bit.
        window.add_(change.to(window.dtype))


def _zeros(like: Tensor) -> Tensor:
    """A float32 zero for each value; NumPy's take memory and time only where they are touched."""
    shape = tuple(like.shape)
    return torch.from_numpy(np.zeros(shape, np.float32)) if like.device.type == "cpu" else like.new_zeros(shape).float()


def _shift(x: float, y: float) -> Tensor:
    return torch.tensor([[1, 0, x], [0, 1, y]], dtype=torch.float64)


def _short(sizes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, sizes[:4])) + (", ..." if len(sizes) > 4 else "")
