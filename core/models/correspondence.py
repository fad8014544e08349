"""Where in a reference each place of a degraded face is to be found: attention near the same place, made a smooth flow.

Provenance: ours. Attention by content alone matches colours; a Gaussian bias to the same place, its soft argmax and a
small network that corrects it give a flow that reference pictures can be warped by. Queries and keys come from the same
encoder and layers. Licence of code: Apache-2.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from .restorer import ResBlock
from .sampling import sample
from .texture import positions

NEAR = 0.14  # spread of the bias to the same place, in [-1,1] of the face
REACH = 0.15  # furthest that the correction moves a place at 32 px; a third of it at 64


@dataclass(frozen=True, eq=False)
class Matches:
    """What was found in R references of each of N faces.

    Attributes:
        flow: (N,R,2,64,64), x then y, how far from each place its match lies, in [-1,1] of the face.
        confidence: (N,R,1,32,32), how much better than nothing the match is, before a sigmoid.
        queries: (N,D,32,32) of the faces.
        keys: (N,R,D,32,32) of the references, warped to the faces.
    """

    flow: Tensor
    confidence: Tensor
    queries: Tensor
    keys: Tensor


def warp(pictures: Tensor, flow: Tensor) -> Tensor:
    """Pictures (N,C,r,r) seen along a flow (N,2,s,s), resized to r: out(p) = picture(p + flow(p))."""
    side = pictures.shape[-1]
    if flow.shape[-1] != side:
        flow = F.interpolate(flow, (side, side), mode="bilinear", align_corners=False)
    grid = rearrange(positions(side, flow).float() + flow, "n c y x -> n y x c")
    # In float32: bfloat16's places would be off by half a pixel of 128.
    return sample(pictures.float(), grid.float()).to(pictures)


class Correspondence(nn.Module):
    """Attention at 32 px, a correction at 32 px, another at 64 px."""

    def __init__(self, coarse: int, middle: int, latent: int, dim: int = 64) -> None:
        super().__init__()
        self.entry = nn.Conv2d(coarse + latent, 2 * dim, 1)
        self.hint = nn.Conv2d(latent, 2 * dim, 1)
        self.project = nn.Sequential(ResBlock(2 * dim), ResBlock(2 * dim), nn.Conv2d(2 * dim, dim, 1))
        self.sharpness = nn.Parameter(torch.tensor(2.5))  # logarithm of the attention's scale
        self.correct = nn.Sequential(
            nn.Conv2d(3 * dim + 3, 2 * dim, 3, padding=1), ResBlock(2 * dim), ResBlock(2 * dim), nn.ReLU()
        )
        self.correction = nn.Conv2d(2 * dim, 3, 3, padding=1)
        self.fine = nn.Conv2d(middle, dim // 2, 1)
        self.correct_fine = nn.Sequential(nn.Conv2d(dim + 2, dim, 3, padding=1), ResBlock(dim), nn.ReLU())
        self.correction_fine = nn.Conv2d(dim, 2, 3, padding=1)
        for layer in (self.hint, self.correction, self.correction_fine):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def describe(self, features: Tensor, content: Tensor, code_latent: Tensor | None = None) -> Tensor:
        """Descriptors (N,D,32,32) from the encoder's features and latent; of a degraded face, also its code words."""
        x = self.entry(torch.cat([features, content], 1))
        if code_latent is not None:
            x = x + self.hint(code_latent)
        return self.project(x)

    def forward(
        self,
        face: tuple[Tensor, Tensor, Tensor],
        references: tuple[Tensor, Tensor],
        fine: tuple[Tensor, Tensor],
    ) -> Matches:
        """Match.

        Args:
            face: features (N,C,32,32), latent and code words (N,L,32,32).
            references: features (N,R,C,32,32) and latent (N,R,L,32,32).
            fine: features at 64 px of the face (N,M,64,64) and of the references (N,R,M,64,64).
        """
        n, r = references[0].shape[:2]
        queries = self.describe(*face)
        keys = self.describe(*(x.flatten(0, 1) for x in references))
        side = queries.shape[-1]
        place = positions(side, queries).float().flatten(1)  # (2, side*side)
        far = torch.cdist(place.T, place.T).square() / (2 * NEAR**2)
        unit_q, unit_k = (F.normalize(x.flatten(2).float(), dim=1) for x in (queries, keys))
        logits = torch.einsum("ndl,nrdm->nrlm", unit_q, unit_k.unflatten(0, (n, r))) * self.sharpness.exp() - far
        attention = logits.softmax(-1)
        flow = torch.einsum("nrlm,cm->nrcl", attention, place) - place
        flow = flow.flatten(0, 1).unflatten(2, (side, side))
        peak = attention.amax(-1).flatten(0, 1).unflatten(1, (side, side))[:, None]

        repeated = queries.repeat_interleave(r, 0)
        seen = warp(keys, flow)
        x = torch.cat([repeated, seen, repeated * seen, flow.to(seen), peak.to(seen)], 1)
        change = self.correction(self.correct(x)).float()
        flow = flow + REACH * change[:, :2].tanh()
        confidence = change[:, 2:]

        flow = F.interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=False)
        own, other = self.fine(fine[0]), self.fine(fine[1].flatten(0, 1))
        x = torch.cat([own.repeat_interleave(r, 0), warp(other, flow), flow.to(own)], 1)
        flow = flow + REACH / 3 * self.correction_fine(self.correct_fine(x)).float().tanh()
        seen = warp(keys, F.avg_pool2d(flow, 2))
        flow, confidence, seen = (x.unflatten(0, (n, r)) for x in (flow, confidence, seen))
        return Matches(flow, confidence, queries, seen)
