"""Coordinates, the face template, similarity fits and warps.

One pixel convention everywhere in the project (it is OpenCV's): a point is (x, y) in px, x to the right, y down, and
whole numbers are *centres* of pixels, so the top-left pixel's centre is (0, 0) and a picture of width W spans -0.5 to
W - 0.5. Boxes are x0, y0, x1, y1 in the same coordinates. An affine is a (2,3) matrix that takes (x, y, 1) to (x', y').
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPLATE_SIZE = 512
FARTHEST = 1e15  # [px] coordinates up to here keep their tenth of a pixel in float64, and are finite in float32
# Eyes, nose tip and corners of the mouth (left and right as seen in the picture) of a face aligned as FFHQ aligns it,
# in a 512 px square: the mean of the aligned set, as published with facexlib (xinntao/facexlib, MIT).
TEMPLATE = (
    (192.98138, 239.94708),
    (318.90277, 240.1936),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
)


def template(size: int = TEMPLATE_SIZE, margin: float = 0.0) -> Tensor:
    """The five template points (5,2) in a crop of `size` px that shows `margin` of the template's side around it.

    Example:
        >>> template(256)[2].round().tolist()  # the tip of the nose
        [128.0, 157.0]
    """
    return transform(invert(to_template(size, margin)), torch.tensor(TEMPLATE, dtype=torch.float64))


def fit_similarity(source: Tensor, target: Tensor) -> Tensor:
    """The rotation, uniform scale and shift that bring `source` nearest to `target` in the least-squares sense.

    Args:
        source, target: (..., P, 2) points in px, P of two or more, not all the same.

    Returns:
        (..., 2, 3) affines, float64. No reflection.

    Raises:
        ValueError: the source points coincide, or there are not as many points, or points of more than two numbers.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991;
    in the plane it has the closed form used here (points as complex numbers).

    Example:
        >>> landmarks = template() / 2 + torch.tensor([10.0, 20.0])  # a face half as large, elsewhere
        >>> affine = fit_similarity(landmarks, template())
        >>> round(float(scale_of(affine)), 3), affine[:, 2].round().tolist()
        (2.0, [-20.0, -40.0])
    """
    if source.shape[-2:] != target.shape[-2:] or source.shape[-1:] != (2,) or source.ndim < 2 or target.ndim < 2:
        raise ValueError(
            f"Got points {tuple(source.shape)} to bring to {tuple(target.shape)}; expected as many (x, y) of each."
        )
    source, target = source.double(), target.double()
    mean_s, mean_t = source.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
    s, t = source - mean_s, target - mean_t
    spread = s.square().sum((-2, -1))
    if not bool((spread > 1e-12).all()):
        raise ValueError("Cannot fit a similarity: all source points coincide; five different landmarks were expected.")
    a = (s * t).sum((-2, -1)) / spread
    b = (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0]).sum(-1) / spread
    linear = torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], -2)
    shift = mean_t.squeeze(-2) - (linear @ mean_s.squeeze(-2).unsqueeze(-1)).squeeze(-1)
    return torch.cat([linear, shift.unsqueeze(-1)], -1)


def invert(affine: Tensor) -> Tensor:
    """The inverse of (..., 2, 3) affines, float64.

    Raises:
        ValueError: there is none: everything falls on a line, a number is not finite, or the shape is another.
    """
    if affine.ndim < 2 or affine.shape[-2:] != (2, 3):
        raise ValueError(f"Got an affine of shape {tuple(affine.shape)}; expected (..., 2, 3).")
    linear, failed = torch.linalg.inv_ex(affine[..., :2].double())
    if bool(failed.any()) or not bool(linear.isfinite().all() and affine.isfinite().all()):
        raise ValueError(
            f"The affine {affine.tolist()} cannot be inverted; expected finite numbers and a scale above 0."
        )
    return torch.cat([linear, -linear @ affine[..., 2:].double()], -1)


def compose(second: Tensor, first: Tensor) -> Tensor:
    """The affine that does `first`, then `second`; both (..., 2, 3)."""
    second, first = second.double(), first.double()
    linear = second[..., :2] @ first[..., :2]
    return torch.cat([linear, second[..., :2] @ first[..., 2:] + second[..., 2:]], -1)


def transform(affine: Tensor, points: Tensor) -> Tensor:
    """Points (..., P, 2) sent through (..., 2, 3) affines, float64.

    Example:
        >>> transform(scaling(2), torch.tensor([[0.0, 0.0], [9.0, 4.0]])).tolist()  # centres keep their half pixel
        [[0.5, 0.5], [18.5, 8.5]]
    """
    affine = affine.double()
    return points.double() @ affine[..., :2].mT + affine[..., 2].unsqueeze(-2)


def scaling(factor: float, vertical: float | None = None) -> Tensor:
    """The affine (2,3) that goes with resizing a picture by `factor` (and by `vertical` in y, where that differs).

    Pixel *edges* scale, so centres keep their half pixel.
    """
    vertical = factor if vertical is None else vertical
    return torch.tensor([[factor, 0, (factor - 1) / 2], [0, vertical, (vertical - 1) / 2]], dtype=torch.float64)


def to_template(size: int, margin: float) -> Tensor:
    """The affine (2,3) from a crop of `size` px with `margin` to the 512 px template.

    Raises:
        ValueError: less than a pixel, or a margin that is negative or not finite.
    """
    if not (size >= 1 and 0 <= margin < math.inf):
        raise ValueError(f"Crops got size={size}, margin={margin}; expected at least 1 px and 0.")
    side = TEMPLATE_SIZE * (1 + 2 * margin)
    shift = torch.tensor([[1, 0, -margin * TEMPLATE_SIZE], [0, 1, -margin * TEMPLATE_SIZE]], dtype=torch.float64)
    return compose(shift, scaling(side / size))


def scale_of(affine: Tensor) -> Tensor:
    """How many target px one source px becomes: the square root of the determinant of (..., 2, 3) affines."""
    return torch.linalg.det(affine[..., :2].double()).abs().sqrt()


def warp(image: Tensor, affine: Tensor, size: tuple[int, int], padding: str = "border") -> Tensor:
    """Resample a picture through an affine, without aliasing.

    Where the affine shrinks, the part of the picture that is seen is first resized to the result's scale with a filter
    as wide as the shrinking asks for, then sampled bicubically; where it does not, it is sampled bicubically as it is.
    A shift by whole pixels copies: the result's values are the picture's, bit for bit.

    Args:
        image: (C,H,W), any range.
        affine: (2,3), picture → result; the same scale in x and y within a few percent.
        size: (height, width) of the result in px.
        padding: what lies outside the picture: ``"border"`` repeats its edge, ``"zeros"`` is 0.

    Returns:
        (C, height, width), float32, on the picture's device. Bicubic sampling may leave the input's range a little.

    Raises:
        ValueError: an affine without an inverse, or one that looks further away than any picture lies; a picture or a
            result without a pixel; another padding.

    Example:
        >>> picture = torch.arange(12.0).reshape(1, 3, 4)
        >>> moved = torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # one pixel to the left
        >>> warp(picture, moved, (3, 2)).tolist()
        [[[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]]]
    """
    height, width = size
    if image.ndim != 3 or 0 in image.shape or height < 1 or width < 1 or padding not in ("border", "zeros"):
        raise ValueError(
            f"Got a picture of shape {tuple(image.shape)}, a result of {size} and the padding '{padding}'; expected "
            "(C, height, width), both of at least a pixel, and 'border' or 'zeros'."
        )
    affine = affine.double().cpu()
    scale = float(scale_of(affine))
    scale = scale if scale < 1 - 1e-6 else 1.0  # a hair below 1 is rounding, and reducing there would only blur
    corners = torch.tensor(
        [[-0.5, -0.5], [width - 0.5, -0.5], [-0.5, height - 0.5], [width - 0.5, height - 0.5]], dtype=torch.float64
    )
    seen = transform(invert(affine), corners)
    if float(seen.abs().max()) > FARTHEST:
        raise ValueError(f"The affine {affine.tolist()} looks at {seen[0].tolist()}; expected at most {FARTHEST:g} px.")
    # Only the part of the picture that is seen is touched, so the cost does not depend on the picture's size. Of a
    # picture that lies wholly beside it, its edge is seen.
    pad = math.ceil(4 / scale)
    sides = image.shape[:0:-1]
    x0, y0 = (max(0, min(math.floor(v) - pad, n - pad)) for v, n in zip(seen.amin(0).tolist(), sides, strict=True))
    x1, y1 = (min(n, max(math.ceil(v) + pad + 1, pad)) for v, n in zip(seen.amax(0).tolist(), sides, strict=True))
    part = image[:, y0:y1, x0:x1].float()
    offset = torch.tensor([[1, 0, x0], [0, 1, y0]], dtype=torch.float64)
    if scale < 1:
        part, shrunk = _reduced(part, scale, padding)
        offset = compose(offset, shrunk)
    return _sample(part, compose(invert(offset), invert(affine)), height, width, padding)


def _reduced(part: Tensor, scale: float, padding: str) -> tuple[Tensor, Tensor]:
    """A picture (C,h,w) reduced by a scale below 1, and the affine (2,3) back from it to the picture."""
    back = [1 / scale, 1 / scale]
    factors = [scale, scale]
    fill = []
    for axis, n in enumerate(part.shape[1:]):
        if n * scale < 1:  # less than a pixel is one, of its mean; to fill it up would take as much as one sees
            part = part.mean(axis + 1, keepdim=True)
            back[axis], factors[axis] = float(n), 1.0
        # Resizing drops what does not fill a result pixel: it is filled up to a whole one.
        n = part.shape[axis + 1]
        fill.append(math.ceil(math.ceil(n * factors[axis]) / factors[axis] + 1e-3) - n if factors[axis] < 1 else 0)
    if any(fill):
        part = F.pad(part, (0, fill[1], 0, fill[0]), mode="replicate" if padding == "border" else "constant")
    part = F.interpolate(part[None], scale_factor=factors, mode="bicubic", antialias=True, align_corners=False)[0]
    return part, scaling(back[1], back[0])


def _sample(part: Tensor, to_part: Tensor, height: int, width: int, padding: str) -> Tensor:
    """Values of (C,h,w) at the points that the result's pixels are sent to, bicubic."""
    h, w = part.shape[-2:]
    shift = to_part[:, 2].round()
    if float((to_part - torch.cat([torch.eye(2, dtype=torch.float64), shift[:, None]], 1)).abs().max()) < 1e-7:
        return _shifted(part, int(shift[0]), int(shift[1]), height, width, padding)
    # Normalised coordinates run from -1 to 1 between the outer *edges* of the first and the last pixel.
    edges = torch.tensor([[2 / w, 0, 1 / w - 1], [0, 2 / h, 1 / h - 1]], dtype=torch.float64)
    result = torch.tensor([[width / 2, 0, (width - 1) / 2], [0, height / 2, (height - 1) / 2]], dtype=torch.float64)
    theta = compose(edges, compose(to_part, result)).to(part.device, torch.float32)
    grid = F.affine_grid(theta[None], [1, 1, height, width], align_corners=False)
    return F.grid_sample(part[None], grid, mode="bicubic", padding_mode=padding, align_corners=False)[0]


def _shifted(part: Tensor, x: int, y: int, height: int, width: int, padding: str) -> Tensor:
    """The `height` x `width` window of (C,h,w) whose top-left pixel is (x, y)."""
    h, w = part.shape[-2:]
    rows, columns = torch.arange(y, y + height, device=part.device), torch.arange(x, x + width, device=part.device)
    window = part[:, rows.clamp(0, h - 1)][:, :, columns.clamp(0, w - 1)]
    if padding == "zeros":
        window = window * ((rows >= 0) & (rows < h))[:, None] * ((columns >= 0) & (columns < w))
    return window
