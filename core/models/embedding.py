"""The embedding network: a face, good or damaged, to 128 numbers that say who it is.

Fed clean faces it is the embedder that references are matched by; fed damaged ones it is what CLR-Face (IJCAI 2024)
calls an identity recovery network, for it was trained to give the clean face's embedding either way.

Provenance: the architecture is MobileNet's (Howard et al., 2017) with PReLU, as SFace has it (Zhong et al., TIP 2021).
Training started from SFace's published weights (Apache-2.0), went on with ``core/training/embedding.py``, and moved all
of them. Licence of code and of SFace's weights: Apache-2.0; for these weights see MODEL_CARD.md. Batch normalisation is
folded into the convolutions before training, and the last layer's weights are squeezed after it
(``core/training/squeeze.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..geometry import TEMPLATE_SIZE, fit_similarity, invert, template
from .sampling import sample

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
        """(N,3,S,S), S up to 256 px or a multiple of that, to (N,3,112,112) float32, differentiable.

        Raises:
            ValueError: the faces are no squares of such a side.
        """
        height, width = faces.shape[-2:]
        if height != width or not height or (height > SAMPLED and height % SAMPLED):
            raise ValueError(
                f"Got faces of {width}x{height} px; expected squares with a side that is a multiple of {SAMPLED} px, "
                "aligned to the template: crop them with crop_faces."
            )
        faces = faces.float()
        if height > SAMPLED:
            faces = F.avg_pool2d(faces, height // SAMPLED)
        grid = self.grid.to(faces.device).expand(len(faces), -1, -1, -1)
        return sample(faces, grid)


@dataclass(frozen=True)
class EmbeddingConfig:
    """Sizes of an :class:`EmbeddingNet`.

    Attributes:
        stem: channels of the first convolution, at 112 px.
        widths: channels after each depthwise block.
        strides: of each depthwise block.
        dim: length of an embedding.
        squeezed: channels that the last map is brought to before the linear layer reads all of it; 0 is as it is.
    """

    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    strides: tuple[int, ...] = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    dim: int = 128
    squeezed: int = 0

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> EmbeddingConfig:
        """Read the sizes off a checkpoint's tensor shapes; strides leave no trace there and are the published ones."""
        count = len({m[1] for key in state if (m := re.match(r"blocks\.(\d+)\.", key))})
        widths = tuple(state[f"blocks.{n}.point.weight"].shape[0] for n in range(count))
        squeezed = state["squeeze.weight"].shape[0] if "squeeze.weight" in state else 0
        return cls(state["stem.weight"].shape[0], widths, cls.strides, state["out.weight"].shape[0], squeezed)


class Separable(nn.Module):
    """Depthwise 3x3 convolution, PReLU, pointwise convolution, PReLU."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(cin, cin, 3, stride, 1, groups=cin)
        self.depth_relu = nn.PReLU(cin)
        self.point = nn.Conv2d(cin, cout, 1)
        self.point_relu = nn.PReLU(cout)

    def forward(self, x: Tensor) -> Tensor:
        """(N,cin,H,W) to (N,cout,H/stride,W/stride)."""
        return self.point_relu(self.point(self.depth_relu(self.depth(x))))


class EmbeddingNet(nn.Module):
    """Aligned faces to unit embeddings (see the head of this file)."""

    def __init__(self, config: EmbeddingConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EmbeddingConfig()
        self.crop = RecognitionCrop()
        self.stem = nn.Conv2d(3, config.stem, 3, padding=1)
        self.stem_relu = nn.PReLU(config.stem)
        before = (config.stem, *config.widths)
        self.blocks = nn.Sequential(
            *(Separable(*sizes) for sizes in zip(before, config.widths, config.strides, strict=False))
        )
        side = RECOGNITION_SIZE
        for stride in config.strides:
            side = -(-side // stride)
        last = config.squeezed or config.widths[-1]
        self.squeeze = nn.Conv2d(config.widths[-1], last, 1, bias=False) if config.squeezed else nn.Identity()
        self.out = nn.Linear(last * side**2, config.dim)

    def forward(self, faces: Tensor) -> Tensor:
        """Embed.

        Args:
            faces: (N,3,S,S) RGB in [0,1] aligned to the template, S up to 256 px or a multiple of that.

        Returns:
            (N,dim) float32 of length 1; the product of two is the cosine that identity is told by. Gradients pass.
        """
        return self.embed(self.crop(faces))

    def embed(self, crops: Tensor) -> Tensor:
        """Embed the crops (N,3,112,112) in [0,1] that :class:`RecognitionCrop` makes."""
        x = self.squeeze(self.maps(crops))
        return F.normalize(self.out(x.flatten(1)).float())

    def maps(self, crops: Tensor) -> Tensor:
        """The last maps (N,C,7,7) of crops, before they are squeezed."""
        return self.blocks(self.stem_relu(self.stem((crops * 2 - 1).to(self.out.weight.dtype))))
