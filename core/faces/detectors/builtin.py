"""The detector that ships with the project: plain PyTorch, no other package, no other file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ...devices import falls_back
from ...files.checkpoints import read
from ...models.detector import FaceDetector
from .overlap import overlaps, suppress

WEIGHTS = Path(__file__).parents[2] / "weights" / "detector.safetensors"
AGREE = 0.6  # IoU from which neighbouring answers are averaged with the best one


class BuiltinBackend:
    """Our own network.

    Args:
        path: weights; the shipped ones unless another file was trained.
        device: where it runs.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file holds something else.
    """

    name = "built-in"

    def __init__(self, path: Path = WEIGHTS, device: torch.device | str = "cpu") -> None:
        network = FaceDetector()
        try:
            network.load_state_dict({name: tensor.float() for name, tensor in read(path).items()})
        except RuntimeError as error:
            raise ValueError(
                f"'{path}' does not hold the built-in detector: {error} Install the package again, or name another "
                "file."
            ) from error
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)

    @falls_back
    @torch.inference_mode()
    def find(self, picture: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
        """Faces in a picture (3,H,W), RGB in [0,1]: boxes (n,4), points (n,5,2) [px] and scores (n,)."""
        # Large damaged faces are seen better at half the size, where damage is finer; small ones only at full size.
        half = F.avg_pool2d(picture[None], 2, ceil_mode=True, count_include_pad=False)[0]
        found = [self._look(picture, threshold), self._look(half, threshold)]
        sizes = torch.cat([torch.full((len(boxes),), n) for n, (boxes, _, _) in enumerate(found)])
        boxes, points = (
            torch.cat([full, 2 * halved + 0.5]) for full, halved in zip(*(f[:2] for f in found), strict=True)
        )
        scores = torch.cat([found[0][2], found[1][2]])
        kept = suppress(boxes, scores)
        # Several places answer for each face: the mean of those at the best one's size, weighted by score, is steadier
        # than the best alone.
        weight = scores * (overlaps(boxes[kept], boxes)[0] > AGREE) * (sizes[kept, None] == sizes)
        weight = weight / weight.sum(1, keepdim=True)
        return weight @ boxes, (weight @ points.flatten(1)).unflatten(1, (5, 2)), scores[kept]

    def _look(self, picture: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
        """All answers at the size given: boxes (n,4), points (n,5,2) and scores (n,)."""
        height, width = picture.shape[-2:]
        device = next(self.network.parameters()).device
        # Grey is what the network's own zero padding stands for.
        padded = F.pad(picture.to(device), (0, -width % 32, 0, -height % 32), value=0.5)
        logits, boxes, points = (x[0] for x in self.network(padded[None].contiguous(memory_format=torch.channels_last)))
        likely = logits.sigmoid() >= threshold
        return boxes[likely].cpu(), points[likely].cpu(), logits[likely].sigmoid().cpu()
