"""A square of a face, decoded alone from what was told of the whole: it costs a quarter, and shows every pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from ..models.generative import GenerativeNet, blended
from ..models.styled_decoder import coarse_to_fine
from ..models.transfer import TransferGuide
from ..records import ReferenceFeatures

SIDE = 16  # places of the latent in a square's side
EDGE = 8  # px at a square's border that would look otherwise within the face

Place = tuple[int, int]  # row and column of the latent where a square begins


def cut(x: Tensor, square: Place, places: int) -> Tensor:
    """The square of a map (N,C,s,s) of a face whose latent has `places` a side."""
    row, column = square
    k = x.shape[-1] // places
    return x[..., k * row : k * (row + SIDE), k * column : k * (column + SIDE)]


def within(pictures: Tensor) -> Tensor:
    """Pictures (N,C,S,S) of squares without their border."""
    return pictures[..., EDGE:-EDGE, EDGE:-EDGE]


def decoded(
    net: GenerativeNet, content: Tensor, code_latent: Tensor, skips: dict[int, Tensor], guide: TransferGuide, at: Place
) -> Tensor:
    """A square (N,3,s,s) of what :meth:`.generative.GenerativeNet.decode` makes of tokens and references."""
    places = content.shape[-1]
    content, skips = guide.stand_in(content, skips)
    z, features = net.mixed(content, code_latent), coarse_to_fine(skips)
    w = net.style(z, features[0])
    z, face, *features = (cut(x, at, places) for x in (z, skips[max(skips)], *features))
    y, mask = net.decoder(z, w, features, 1.0, at)
    reference = finest(guide.reference, at, places)
    y = guide.network.blend((y.float() + 1) / 2, features[-1], reference)
    return blended(y, mask, face, 1.0, 1.0)


def finest(reference: ReferenceFeatures, at: Place, places: int) -> ReferenceFeatures:
    """What references give to the finest bands of a square: the rest was fused before."""
    side = max(reference.gates)

    def part(maps: Mapping[int, Tensor]) -> dict[int, Tensor]:
        x = cut(maps[side], at, places)
        return {x.shape[-1]: x}

    return replace(
        reference,
        warped=part(reference.warped),
        textures=part(reference.textures),
        words={},
        gates=part(reference.gates),
        pictures=cut(reference.pictures, at, places),
    )
