"""The embedding network: a face, good or damaged, to 512 numbers that say who it is.

Fed clean faces it is the embedder that references are matched by; fed damaged ones it is what CLR-Face (IJCAI 2024)
calls an identity recovery network, for it was trained to give the clean face's embedding either way.

Provenance: ours, trained with ``core/training/embedding.py`` to agree with w600k_mbf (ArcFace, Deng et al., CVPR 2019),
whose alignment it shares and whose weights it does not hold. The pooling by a convolution as large as the map is
MobileFaceNet's (Chen et al., 2018). Licence of code: Apache-2.0. Licence of weights: see MODEL_CARD.md. Batch
normalisation exists in training only: the shipped weights have it folded in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..geometry import TEMPLATE_SIZE, fit_similarity, invert, template
from .detector import Residual, Unit

# Where recognition networks expect eyes, nose tip and mouth corners in their 112 px input (deepinsight/insightface,
# MIT).
RECOGNITION_SIZE = 112
RECOGNITION_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
SAMPLED = 256  # px: faces are averaged down to this before they are sampled


class RecognitionCrop(nn.Module):
    """Faces aligned to the template to the smaller crops that recognition networks are trained on."""

    def __init__(self) -> None:
        super().__init__()
        affine = invert(fit_similarity(template(), torch.tensor(RECOGNITION_TEMPLATE)))
        # grid_sample's coordinates: -1 and 1 are the outer edges of a picture.
        line = torch.arange(RECOGNITION_SIZE, dtype=torch.float64)
        points = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1) @ affine[:, :2].T + affine[:, 2]
        # No buffer: as bfloat16, which networks may be turned to, it would be off by a fifth of a pixel.
        self.grid = ((2 * points + 1) / TEMPLATE_SIZE - 1).float().unsqueeze(0)

    def forward(self, faces: Tensor) -> Tensor:
        """(N,3,S,S), S a multiple of 256 px, to (N,3,112,112) float32, differentiable.

        Raises:
            ValueError: the faces are no squares of such a side.
        """
        height, width = faces.shape[-2:]
        if height != width or height % SAMPLED or not height:
            raise ValueError(
                f"Got faces of {width}x{height} px; expected squares with a side that is a multiple of {SAMPLED} px, "
                "aligned to the template: crop them with crop_faces."
            )
        faces = faces.float()
        if height > SAMPLED:
            faces = F.avg_pool2d(faces, height // SAMPLED)
        grid = self.grid.to(faces.device).expand(len(faces), -1, -1, -1)
        return F.grid_sample(faces, grid, align_corners=False, padding_mode="border")


@dataclass(frozen=True)
class EmbeddingConfig:
    """Sizes of an :class:`EmbeddingNet`.

    Attributes:
        widths: channels at 56, 28, 14 and 7 px.
        blocks: residual blocks there.
        features: channels of the last map, which is pooled.
        dim: length of an embedding.
        normalise: batch normalisation after each convolution (training), else a bias.
    """

    widths: tuple[int, int, int, int] = (32, 64, 128, 168)
    blocks: tuple[int, int, int, int] = (1, 2, 2, 1)
    features: int = 512
    dim: int = 512
    normalise: bool = False

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> EmbeddingConfig:
        """Read the sizes off a checkpoint's tensor shapes."""
        places = {(int(m[1]), int(m[2])) for key in state if (m := re.match(r"levels\.(\d)\.(\d+)\.", key))}
        widths = tuple(state[f"levels.{level}.0.conv.weight"].shape[0] for level in range(4))
        blocks = tuple(sum(place[0] == level for place in places) - 1 for level in range(4))
        dim, features = state["out.weight"].shape
        return cls(widths, blocks, features, dim, "levels.0.0.norm.weight" in state)  # type: ignore[arg-type]


class EmbeddingNet(nn.Module):
    """Aligned faces to unit embeddings (see the head of this file)."""

    def __init__(self, config: EmbeddingConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EmbeddingConfig()
        normalise = config.normalise
        self.crop = RecognitionCrop()
        self.levels = nn.ModuleList()
        before = 12  # four pixels of three colours
        for i, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            first = Unit(before, width, normalise, stride=1 if i == 0 else 2)
            self.levels.append(nn.Sequential(first, *(Residual(width, normalise) for _ in range(blocks))))
            before = width
        self.last = Unit(before, config.features, normalise, kernel=1)
        self.pool = nn.Conv2d(config.features, config.features, RECOGNITION_SIZE // 16, groups=config.features)
        self.out = nn.Linear(config.features, config.dim)

    def maps(self, faces: Tensor) -> list[Tensor]:
        """(N,3,S,S) RGB in [0,1] to the maps (N,C,r,r) at 56, 28, 14 and 7 px and the last one, (N,features,7,7)."""
        crops = (self.crop(faces) * 2 - 1).to(self.out.weight.dtype)
        maps = [F.pixel_unshuffle(crops, 2)]
        for level in self.levels:
            maps.append(level(maps[-1]))
        return [*maps[1:], self.last(maps[-1])]

    def embed(self, last: Tensor) -> Tensor:
        """The last map to unit embeddings (N,dim), float32."""
        return F.normalize(self.out(self.pool(last).flatten(1)).float())

    def forward(self, faces: Tensor) -> Tensor:
        """Embed.

        Args:
            faces: (N,3,S,S) RGB in [0,1] aligned to the template, S a multiple of 256 px.

        Returns:
            (N,dim) float32 of length 1; the product of two is the cosine that identity is told by. Gradients pass.
        """
        return self.embed(self.maps(faces)[-1])
