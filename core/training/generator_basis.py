"""What the second restorer's latent is: the principal components of the generator's features at 32 px.

From features of drawn people (512 channels at 32 px, "F32") come the components that hold most of their variance, each
divided by the square root of its spread, so that they are of one order and the strong ones still count for more; the
code words, by k-means on these latents; the mean face; and the components of the generator's styles. All depend on
the seeds alone.

    python -m resemblance.core.training.generator_basis --work WORK --picture basis.jpg

writes ``WORK/generator_basis.safetensors``. The picture shows people who had no part in it: as drawn, with the
components of the features alone, those of the style too, with code words in place of features, and the mean face in
each one's style.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..files.checkpoints import fingerprint
from .clusters import kmeans, nearest
from .faces import STYLES
from .generator import Generator, load_generator

log = logging.getLogger(__name__)

FILE = "generator_basis.safetensors"
SIDE = 32  # px of the features
COMPONENTS = 128
STYLE_COMPONENTS = 256
CODES = 1024
PEOPLE = 1 << 19  # the number of the first of them; those who are stored and those who are drawn in training are others
STYLED_PEOPLE = 8192  # whose styles' components are taken
SHOWN = 1 << 18  # the number of the first person in the picture
KMEANS_POINTS = 1 << 17
KMEANS_ROUNDS = 20
CHUNK = 8  # people at a time


@dataclass(frozen=True, eq=False)
class Basis:
    """The latent's axes, its code words and the style's axes; float32.

    Attributes:
        mean: (512,) of the features, the same at each place.
        components: (C,512), orthonormal rows, the strongest first.
        scale: (C,): latent = components @ (features - mean) / scale.
        face: (C,32,32) latent of the mean face.
        variance: (C,) of latents about the mean face, in the mean over places.
        codebook: (K,C) code words.
        style_mean: (512,).
        style_components: (S,512), orthonormal rows.
        style_scale: (S,) standard deviation along each.
    """

    mean: Tensor
    components: Tensor
    scale: Tensor
    face: Tensor
    variance: Tensor
    codebook: Tensor
    style_mean: Tensor
    style_components: Tensor
    style_scale: Tensor

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that stand for what latents and code words mean."""
        return fingerprint({name: getattr(self, name) for name in ("mean", "components", "scale", "codebook")})

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return {field.name: getattr(self, field.name).contiguous() for field in fields(self)}

    def to(self, device: torch.device | str) -> Basis:
        """The same on a device."""
        return Basis(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def to_latent(self, features: Tensor) -> Tensor:
        """Features (N,512,h,w) to latents (N,C,h,w)."""
        weight = self.components / self.scale[:, None]
        return torch.einsum("cf,nfyx->ncyx", weight, features.float() - self.mean[:, None, None])

    def to_features(self, latents: Tensor) -> Tensor:
        """Latents (N,C,h,w) to the nearest features (N,512,h,w)."""
        weight = self.components * self.scale[:, None]
        return torch.einsum("cf,ncyx->nfyx", weight, latents.float()) + self.mean[:, None, None]

    def codes(self, latents: Tensor) -> Tensor:
        """The nearest code words' numbers (N,h*w) for latents (N,C,h,w), row by row."""
        points = latents.flatten(2).mT
        return nearest(points.flatten(0, 1), self.codebook).view(points.shape[:2])

    def words(self, codes: Tensor, side: int = SIDE) -> Tensor:
        """Code words (N,C,h,w) by their numbers (N,h*w)."""
        return self.codebook[codes].mT.unflatten(2, (side, -1))


def read_basis(work: Path) -> Basis:
    """The basis in a working folder."""
    path = work / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: run 'python -m resemblance.core.training.generator_basis --work {work}' first."
        )
    return Basis(**load_file(path))


def one_style(w: Tensor) -> Tensor:
    """Styles (N,L) for all modulations: (N,23,L)."""
    return w[:, None].expand(-1, STYLES, -1)


@torch.no_grad()
def features_of(generator: Generator, people: range) -> Tensor:
    """The features (N,512,32,32) in half precision."""
    parts = []
    for i in range(0, len(people), CHUNK):
        w = generator.people(people[i : i + CHUNK])
        parts.append(generator.synthesis.features(one_style(w), SIDE).half())
    return torch.cat(parts)


def principal(second: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` strongest axes (count,C) of a covariance (C,C), and their variances; signs are made unique."""
    values, vectors = torch.linalg.eigh(second.double())
    values, axes = values.flip(0)[:count], vectors.mT.flip(0)[:count]
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    return (axes * signs).float(), values.clamp(min=0).float()


@torch.no_grad()
def make_basis(
    generator: Generator, people: range, components: int = COMPONENTS, codes: int = CODES, styled: int = STYLED_PEOPLE
) -> Basis:
    """Find the axes and the code words from people by their numbers."""
    drawn = features_of(generator, people)
    channels = drawn.shape[1]
    total, second = torch.zeros(channels, dtype=torch.float64), torch.zeros(channels, channels, dtype=torch.float64)
    for part in drawn.split(CHUNK):
        points = part.float().transpose(0, 1).flatten(1)
        total += points.sum(1).double()
        second += (points @ points.T).double()
    count = len(drawn) * SIDE * SIDE
    mean = total / count
    axes, variances = principal(second / count - mean[:, None] * mean, components)
    share = float(variances.sum() / (second.trace() / count - mean.square().sum()))
    log.info("%d of %d components hold %.1f%% of the features' variance", components, channels, 100 * share)
    mean = mean.float()
    scale = variances.clamp(min=1e-12).pow(0.25)  # the square root of the standard deviation
    scale = scale * (variances.sum() / (variances / scale.square()).sum()).sqrt()
    scale = scale * (variances / scale.square()).mean().sqrt()  # so that latents have a mean variance of one
    weight = axes / scale[:, None]
    centre = mean[:, None, None]
    latents = torch.cat([torch.einsum("cf,nfyx->ncyx", weight, part.float() - centre) for part in drawn.split(CHUNK)])
    del drawn
    face = latents.mean(0)
    variance = (latents - face).square().mean((0, 2, 3))
    points = latents.transpose(1, 2).transpose(2, 3).flatten(0, 2)
    chance = torch.Generator().manual_seed(0)
    points = points[torch.randperm(len(points), generator=chance)[:KMEANS_POINTS]]
    codebook = kmeans(points, points[:codes].clone(), KMEANS_ROUNDS)
    left = (points - codebook[nearest(points, codebook)]).square().sum() / (points - points.mean(0)).square().sum()
    log.info("%d code words leave %.1f%% of the latents' variance", codes, 100 * float(left))
    w = generator.people(range(people.start, people.start + styled))
    style_mean = w.mean(0)
    off = w - style_mean
    style_axes, style_variances = principal(off.T @ off / len(off), min(STYLE_COMPONENTS, w.shape[1]))
    log.info("the style's components hold %.1f%%", 100 * float(style_variances.sum() / off.square().sum(1).mean()))
    return Basis(
        mean, axes, scale, face, variance, codebook, style_mean, style_axes, style_variances.clamp(min=1e-12).sqrt()
    )


@torch.no_grad()
def picture(generator: Generator, basis: Basis, people: range) -> np.ndarray:
    """The people of the head of this file, one a row, (rows*S, 5*S, 3) uint8."""
    rows = []
    for number in people:
        w = generator.people([number])
        styles = one_style(w)
        features = generator.synthesis.features(styles, SIDE)
        latents = basis.to_latent(features)
        off = (w - basis.style_mean) @ basis.style_components.T
        near = one_style(basis.style_mean + off @ basis.style_components)
        kinds = (
            (features, styles),
            (basis.to_features(latents), styles),
            (basis.to_features(latents), near),
            (basis.to_features(basis.words(basis.codes(latents))), styles),
            (basis.to_features(basis.face[None]), styles),
        )
        faces = [generator.synthesis.finish(x, s)[0] / 2 + 0.5 for x, s in kinds]
        rows.append(torch.cat(faces, 2))
    grid = torch.cat(rows, 1).clamp(0, 1).permute(1, 2, 0)
    return (grid * 255).round().byte().numpy()


def main() -> None:
    """Make the basis and show it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--count", type=int, default=1000, help="people")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    began = time.monotonic()
    generator = load_generator(args.assets)
    basis = make_basis(generator, range(PEOPLE, PEOPLE + args.count))
    fresh = (args.work / FILE).with_suffix(".tmp")
    save_file(basis.tensors(), fresh, {"fingerprint": basis.fingerprint, "people": str(args.count)})
    fresh.replace(args.work / FILE)
    log.info("wrote %s after %.0f s", args.work / FILE, time.monotonic() - began)
    if args.picture:
        Image.fromarray(picture(generator, basis, range(SHOWN, SHOWN + 6))).save(args.picture, quality=92)


if __name__ == "__main__":
    main()
