"""The numbers by which a face is compared with the truth, and those by which many are.

- psnr [dB]; ssim (Wang et al., 2004, with their Gaussian window, on RGB);
- lpips_alex, lpips_vgg (Zhang et al., CVPR 2018), VGG at 256 px for the time it takes;
- edgeface, sface, arcface: cosine to the truth by three recognition networks. EdgeFace decides: nothing here was
  trained against it; the embedding network began as SFace, and w600k_mbf (arcface) trains and guides;
- sharpness: the energy of the gradient of the brightness, on the face, beside the truth's; sharp_hair, sharp_skin and
  sharp_eyes: in these regions (:mod:`.regions`);
- lab: how far the mean colour of the face is from the truth's (CIE 1976, the distance in Lab);
- iris: how far the irises' colours are from the truth's (Lab); iris_pair: how much less alike than the truth's;
- landmarks [px of 512]: mean distance of the 106 landmarks (2d106det);
- kid, of many faces: kernel inception distance times 1000 (Binkowski et al., ICLR 2018).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..faces.crop import face_mask
from .assets import asset
from .judges import EdgeFace, Recognizer, lpips
from .landmarks import Landmarks
from .regions import gradient_energy, iris_numbers, region_masks

METRICS = ("psnr", "lpips_alex", "lpips_vgg", "edgeface", "sface", "arcface")
REGIONS = ("hair", "skin", "eyes")
ALL_METRICS = (
    "edgeface",
    "sface",
    "arcface",
    "psnr",
    "ssim",
    "lpips_alex",
    "lpips_vgg",
    "sharpness",
    *(f"sharp_{name}" for name in REGIONS),
    "lab",
    "iris",
    "iris_pair",
    "landmarks",
)
BATCH = 4
INCEPTION_SIDE = 299  # px


class Judges:
    """The numbers for pairs of faces.

    Args:
        assets: folder of the asset packages, see :mod:`.assets`.
        metrics: which of ``ALL_METRICS``.

    Raises:
        ValueError: a metric that is not among them.
    """

    def __init__(self, assets: str | Path | None, metrics: Sequence[str] = METRICS) -> None:
        unknown = [name for name in metrics if name not in ALL_METRICS]
        if unknown:
            raise ValueError(f"Got the metrics {', '.join(unknown)}; expected some of {', '.join(ALL_METRICS)}.")
        self.metrics = tuple(metrics)
        self.lpips = {net: lpips(net, assets) for net in ("alex", "vgg") if f"lpips_{net}" in metrics}
        self.recognizers: dict[str, nn.Module] = {
            name: EdgeFace(assets) if name == "edgeface" else Recognizer(name, assets)
            for name in ("edgeface", "sface", "arcface")
            if name in metrics
        }
        self._find = Landmarks(assets) if "landmarks" in metrics else None

    @torch.inference_mode()
    def perceived(self, faces: Tensor, truth: Tensor) -> float:
        """Mean LPIPS-Alex."""
        pairs = zip(faces.split(BATCH), truth.split(BATCH), strict=True)
        return float(torch.cat([self.lpips["alex"](x, y).flatten() for x, y in pairs]).mean())

    @torch.inference_mode()
    def __call__(self, faces: Tensor, truth: Tensor) -> dict[str, list[float]]:
        """(N,3,512,512) twice, in [0,1], to {metric: N numbers}."""
        faces = as_saved(faces)
        result: dict[str, list[float]] = {name: [] for name in self.metrics}
        regions = {name: mask for name, mask in region_masks().items() if f"sharp_{name}" in result}
        for x, y in zip(faces.split(BATCH), truth.split(BATCH), strict=True):
            if "psnr" in result:
                result["psnr"] += (-10 * (x - y).square().mean((1, 2, 3)).log10()).tolist()
            if "ssim" in result:
                result["ssim"] += _ssim(x, y)
            if "lpips_alex" in result:
                result["lpips_alex"] += self.lpips["alex"](x, y).flatten().tolist()
            if "lpips_vgg" in result:
                result["lpips_vgg"] += self.lpips["vgg"](F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)).flatten().tolist()
            for name, recognizer in self.recognizers.items():
                result[name] += (recognizer(x) * recognizer(y)).sum(1).tolist()
            if "sharpness" in result:
                result["sharpness"] += (gradient_energy(x) / gradient_energy(y)).tolist()
            for name, mask in regions.items():
                result[f"sharp_{name}"] += (gradient_energy(x, mask) / gradient_energy(y, mask)).tolist()
            if "iris" in result or "iris_pair" in result:
                for name, numbers in zip(("iris", "iris_pair"), iris_numbers(x, y), strict=True):
                    if name in result:
                        result[name] += numbers
            if "lab" in result:
                result["lab"] += (mean_lab(x) - mean_lab(y)).norm(dim=1).tolist()
            if "landmarks" in result:
                result["landmarks"] += (self.landmarks(x) - self.landmarks(y)).norm(dim=-1).mean(1).tolist()
        return result

    def landmarks(self, faces: Tensor) -> Tensor:
        """The landmarks (N,106,2) of faces (N,3,512,512) [px]."""
        assert self._find, "the landmarks are among the metrics"
        pictures = (faces.permute(0, 2, 3, 1) * 255).round().clamp(0, 255).byte().numpy()
        return torch.from_numpy(np.stack([self._find(np.ascontiguousarray(picture)) for picture in pictures]))


def as_saved(faces: Tensor) -> Tensor:
    """Faces as an 8-bit file would give them back."""
    return ((faces.clamp(0, 1) * 255).round() / 255).float()


def _ssim(faces: Tensor, truth: Tensor) -> list[float]:
    from skimage.metrics import structural_similarity

    pairs = zip(faces.numpy(), truth.numpy(), strict=True)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return [float(structural_similarity(x, y, channel_axis=0, data_range=1.0, **options)) for x, y in pairs]


def mean_lab(faces: Tensor) -> Tensor:
    """The mean colour (N,3) of the face itself, CIE Lab, of pictures (N,3,512,512) in [0,1]."""
    mask = face_mask().to(faces)
    from kornia.color import rgb_to_lab  # training on a lent machine does without it

    return (rgb_to_lab(faces) * mask).sum((2, 3)) / mask.sum()


class Inception:
    """The network whose features (N,2048) KID compares: TensorFlow's Inception of 2015, as TorchScript."""

    def __init__(self, assets: str | Path | None) -> None:
        path = asset("inception", assets)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch wants other formats than TorchScript in the long run
            self._network = torch.jit.load(path, map_location="cpu").eval()

    @torch.inference_mode()
    def __call__(self, faces: Tensor) -> Tensor:
        """(N,3,512,512) in [0,1] to features."""
        side = (INCEPTION_SIDE, INCEPTION_SIDE)
        small = F.interpolate(as_saved(faces), side, mode="bilinear", antialias=True, align_corners=False)
        return torch.cat([self._network((part * 255 - 128) / 128) for part in small.split(BATCH)])


def kid(features: Tensor, truth: Tensor) -> float:
    """Kernel inception distance times 1000, from features (N,D) twice.

    No face is compared with its own truth: equal sets give 0, and unequal ones do not look alike by being pairs.
    """
    x, y = features.double(), truth.double()

    def others(a: Tensor, b: Tensor) -> float:
        kernel = (a @ b.T / a.shape[1] + 1) ** 3
        return float((kernel.sum() - kernel.trace()) / (len(a) * (len(a) - 1)))

    return 1000 * (others(x, x) + others(y, y) - 2 * others(x, y))
