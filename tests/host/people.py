"""Photographs of people for tests: a person is a colour under fine texture, and what tells people apart is colour."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from resemblance.core.faces.evidence import TERMS, Calibration
from resemblance.core.faces.identity import Embedders
from resemblance.core.geometry import TEMPLATE
from resemblance.core.models.prior import Prior, PriorConfig
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.records import Face
from resemblance.core.restorers.token_restorer import TokenRestorer
from torch.nn import functional as F

COLOURS = {"anna": (0.9, 0.1, 0.1), "bob": (0.1, 0.9, 0.1), "cem": (0.1, 0.1, 0.9)}


def plain_damage(faces):
    """Stands in for :func:`.measure.severity_of`, which knows faces: here, as damaged as it lacks texture."""
    detail = (faces - F.avg_pool2d(faces, 9, 1, 4, count_include_pad=False)).abs().mean((1, 2, 3))
    return (1 - detail / 0.012).clamp(0, 1).tolist()


def calibrated(slope, half):
    """What cosines mean, where evidence is `slope` times how far one lies above `half`, whatever the face is like."""
    return Calibration((-slope * half, slope, *(0.0,) * (TERMS - 2)))


class ColourEmbedder:
    """Embeds a face as its mean colour, grey taken off: the colours above lie at 120 degrees, cosine -0.5.

    Of one colour the evidence is 7, the most there is; of two it is as much against.
    """

    name, fingerprint, calibration, network = "built-in", "c" * 16, calibrated(20, 0.5), None

    def embed(self, faces):
        colour = faces.mean((2, 3))
        return F.normalize(colour - colour.mean(1, keepdim=True) + 1e-6, dim=1)


class Giving(TokenRestorer):
    """A small restorer that takes the mean of the references' content, as much as it is told, and remembers what it was
    given.

    Args:
        prior: whether it can refine.
    """

    transfers = True

    def __init__(self, prior=False):
        torch.manual_seed(0)
        network = ResemblanceNet(RestorerConfig(widths=(8, 8, 8), latent=8, codes=16, dim=32, layers=1, heads=1))
        if prior:
            network.prior = Prior(PriorConfig(latent=8, dim=32, layers=1, heads=1))
        for parameter in network.parameters():  # some begin at zero, and would hide what they weigh
            torch.nn.init.normal_(parameter, std=0.1)
        super().__init__(network.eval().requires_grad_(False), "giving", "none", "0" * 16)
        self.given = []

    def transfer(self, tokens, people, strength=1.0, amounts=None, progress=None):
        self.amounts = amounts = amounts or [1.0] * len(people)
        self.given.append([person and person.sources for person in people])
        content, maps = tokens.content.clone(), []
        for n, person in enumerate(people):
            rows = len(person) if person else 0
            if person:
                content[n] += strength * amounts[n] * person.content.mean(0)
            maps.append(torch.full((rows, *content.shape[-2:]), 0.5 / max(rows, 1)))
        return replace(tokens, content=content), maps


def both(identity, matching=None) -> Embedders:
    """An embedder that is both, or the built-in one and another one by which references are matched."""
    return Embedders(identity, matching or identity)


def found(x: float, y: float, side: float = 160.0, index: int = 0, image: int = 0) -> Face:
    """A face whose template has its top-left corner at (x, y), and whose box is as large as the template."""
    points = tuple((x + px * side / 512, y + py * side / 512) for px, py in TEMPLATE)
    return Face(image, index, (x, y, x + side, y + side), 0.9, points)


class Scenes:
    """Makes photographs and finds the faces that it drew into them."""

    def __init__(self):
        self.faces = {}

    def photo(self, *people, side=300, seed=0, blur=0.0, scales=()):
        """A photograph (3,H,W) with people beside each other; `scales` are their sizes as parts of `side`."""
        torch.manual_seed(seed)
        width = side * max(len(people), 1)
        photo = torch.full((3, side, width), 0.5)
        drawn = []
        for index, name in enumerate(people):
            own = round(side * (scales[index] if scales else 1))
            cell = max(1, own // 32)
            texture = torch.rand(3, 33, 33).repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, :own, :own]
            face = 0.7 * torch.tensor(COLOURS[name])[:, None, None] + 0.3 * F.interpolate(texture[None], (own, own))[0]
            photo[:, :own, index * side : index * side + own] = face
            drawn.append(found(index * side, 0, own, index))
        if blur:
            small = F.interpolate(photo[None], scale_factor=1 / blur, mode="bilinear", antialias=True)
            photo = F.interpolate(small, photo.shape[1:], mode="bicubic")[0].clamp(0, 1)
        self.faces[self._key(photo)] = drawn
        return photo

    def detect(self, photos):
        """As a detector does."""
        return [replace(face, image=n) for n, photo in enumerate(photos) for face in self.faces[self._key(photo)]]

    @staticmethod
    def _key(photo):
        return tuple(photo.shape), round(float(photo.double().sum()), 3)


def reasons(references):
    return dict(references.refused)


def hue(degrees):
    """A colour whose embedding is so far from anna's."""
    turn = math.radians(degrees)
    red, across = torch.tensor([2.0, -1.0, -1.0]) / 6**0.5, torch.tensor([0.0, 1.0, -1.0]) / 2**0.5
    return tuple((0.4 + 0.3 * (math.cos(turn) * red + math.sin(turn) * across)).tolist())
