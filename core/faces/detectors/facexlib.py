"""RetinaFace through facexlib, from a file that the user has (code and weights: MIT).

Source: Deng et al., "RetinaFace: Single-stage Dense Face Localisation in the Wild", CVPR 2020. facexlib's own loader
downloads, and unpickles freely; so only its network class is used here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ...files.checkpoints import read
from .overlap import suppress

# facexlib's names, best first, then the names that the files were first published under.
FILES = (
    "detection_Resnet50_Final.pth",
    "Resnet50_Final.pth",
    "detection_mobilenet0.25_Final.pth",
    "mobilenet0.25_Final.pth",
)
MEAN = (104.0, 117.0, 123.0)  # BGR, subtracted from 0..255
ANCHORS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))  # stride and sides [px]
VARIANCE = (0.1, 0.2)  # of shifts and of logarithms of sizes


class FacexlibBackend:
    """RetinaFace with a ResNet-50 or a MobileNet of a quarter width, told apart by the file's tensors.

    Args:
        paths: weights, best first; the first is taken.
        device: where it runs.

    Raises:
        ImportError: facexlib is not installed, or torchvision does not fit torch.
        OSError: the file cannot be read.
        ValueError: the file holds something else.
    """

    name = "facexlib"

    def __init__(self, paths: Sequence[Path], device: torch.device | str = "cpu") -> None:
        from facexlib.detection.retinaface import RetinaFace

        self.path = paths[0]
        weights = {name.removeprefix("module."): tensor for name, tensor in read(self.path).items()}
        kind = "resnet50" if "body.layer1.0.conv1.weight" in weights else "mobile0.25"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torchvision's, on the argument that facexlib gives it
            network = RetinaFace(network_name=kind, device=torch.device(device))
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"'{self.path}' does not hold facexlib's RetinaFace: {str(error)[:300]} "
                f"Expected one of {', '.join(FILES)}."
            ) from error
        self.network = network.eval().to(device)

    @torch.inference_mode()
    def find(self, picture: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
        """Faces in a picture (3,H,W), RGB in [0,1]: boxes (n,4), points (n,5,2) [px] and scores (n,)."""
        height, width = picture.shape[-2:]
        device = next(self.network.parameters()).device
        mean = torch.tensor(MEAN, device=device)[:, None, None]
        pixels = F.pad(picture.to(device).flip(0) * 255 - mean, (0, -width % 32, 0, -height % 32))
        shifts, classes, points = (x[0].float().cpu() for x in self.network(pixels[None]))
        scores = classes[:, 1]
        likely = scores >= threshold
        anchors = _anchors(*pixels.shape[-2:])[likely]
        middle, side = anchors[:, :2], anchors[:, 2:]
        centre = middle + shifts[likely, :2] * VARIANCE[0] * side
        half = side * (shifts[likely, 2:] * VARIANCE[1]).exp() / 2
        boxes = torch.cat([centre - half, centre + half], 1)
        spots = middle[:, None] + points[likely].unflatten(1, (5, 2)) * VARIANCE[0] * side[:, None]
        kept = suppress(boxes, scores[likely])
        return boxes[kept], spots[kept], scores[likely][kept]


def _anchors(height: int, width: int) -> Tensor:
    """Centre and side (P,3) [px] of every anchor: strides, rows, columns, sides."""
    rows = []
    for stride, sides in ANCHORS:
        ys, xs, s = torch.meshgrid(
            (torch.arange(height // stride) + 0.5) * stride,
            (torch.arange(width // stride) + 0.5) * stride,
            torch.tensor(sides, dtype=torch.float32),
            indexing="ij",
        )
        rows.append(torch.stack([xs, ys, s], -1).reshape(-1, 3))
    return torch.cat(rows)
