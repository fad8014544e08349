"""A network for :mod:`.generator_latents` to begin with: the shipped restorer, its ends fitted anew in closed form.

The shipped encoder and transformer know how to see through damage, but speak of another latent. Ridge regression on
damaged faces gives: the encoder's last convolution for the new latent; what the transformer has to do with it to see
what it saw before; and the codes' head, as the posterior of the code words around the latent that its hidden numbers
tell.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.generative import GenerativeTokens
from ..models.restorer import ResemblanceNet
from ..models.style_head import StyleConfig
from .generator_basis import Basis
from .restyle import ridge

log = logging.getLogger(__name__)

RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # in parts of the mean variance
EVERY = 5  # places of a face, of which one is a point to fit; it shares no factor with a row's length
HELD_OUT = 4  # every fourth face chooses among them
SHARPNESS = (0.001, 0.003, 0.01, 0.03)  # of the posterior: errors of a place's components are no independent ones


@torch.no_grad()
def begin(shipped: ResemblanceNet, basis: Basis, damaged: Tensor, latents: Tensor) -> GenerativeTokens:
    """Fit the ends.

    Args:
        shipped: the first restorer, float32.
        basis: of the new latent.
        damaged: (N,3,S,S) in [0,1].
        latents: (N,C,h,w) of the clean faces.

    Returns:
        A network whose encoder tells the new latent, and whose codes are likely ones; its gate and style know nothing.
    """
    sizes = shipped.config
    style = StyleConfig(sizes.latent, sizes.widths[-1], sizes.size // 16)
    net = GenerativeTokens(sizes, replace(style, axes=len(basis.style_scale), style=len(basis.style_mean)))
    net.encoder.load_state_dict(shipped.encoder.state_dict())
    net.transformer.load_state_dict(shipped.transformer.state_dict())
    net.embedding.copy_(basis.codebook)
    net.style.mean.copy_(basis.style_mean)
    net.style.axes.copy_(basis.style_components * basis.style_scale[:, None])
    out, enter, mix = net.encoder.out, net.transformer.proj_in, net.transformer.mix

    seen, before, hidden, total = [], [], [], torch.zeros(())
    for face in damaged.split(4):
        h, features = shipped.encoder(face * 2 - 1)
        patches = F.unfold(F.relu(features[-1]), 3, padding=1).mT
        total = total + patches.sum(0)
        seen.append(patches[:, ::EVERY])
        before.append(_points(h))
        hidden.append(_hidden(shipped, h)[:, ::EVERY].flatten(0, 1))
    old, wanted = torch.cat(before), _points(latents)
    mean = total / len(damaged)  # at each place
    x = (torch.cat(seen) - mean[::EVERY]).flatten(0, 1)
    weight, _ = best_ridge(x, _points(latents - basis.face), len(damaged))
    out.weight.copy_(weight.view_as(out.weight))
    nn.init.zeros_(out.bias)  # type: ignore[arg-type]
    net.place.copy_(basis.face - (mean @ weight.T).T.view_as(basis.face))
    told = x @ weight.T + _points(basis.face.expand_as(latents))
    back, offset = ridge(told, old, RIDGES[0])
    parts = shipped.transformer.proj_in.weight.unflatten(1, (4, -1))  # four places, each a latent
    enter.weight.copy_((parts @ back).flatten(1))
    enter.bias.add_((parts @ offset).sum(1))
    mix.bias.add_(mix.weight @ offset)
    mix.weight.copy_(mix.weight @ back)

    g = torch.cat(hidden)
    weight, bias = best_ridge(g, wanted, len(damaged))
    others = _held_out(len(g), len(damaged))
    error = (g @ weight.T + bias - wanted)[others].square().mean(0)
    best = (float("inf"), SHARPNESS[0])
    for sharpness in SHARPNESS:
        head, start = _posterior(basis.codebook, weight, bias, sharpness / error)
        soft = (g[others] @ head.T + start).softmax(1) @ basis.codebook
        best = min(best, (float((soft - wanted[others]).square().sum(1).mean()), sharpness))
    head, start = _posterior(basis.codebook, weight, bias, best[1] / error)
    net.transformer.head.weight.copy_(head)
    net.transformer.head.bias.copy_(start)
    log.info("begun: the mean code word is off by a square of %.1f at sharpness %s", *best)
    return net


def best_ridge(x: Tensor, y: Tensor, faces: int) -> tuple[Tensor, Tensor]:
    """Weight (O,I) and bias (O,) that bring x (M,I) nearest to y (M,O): ridge as strong as is best for faces left out.

    The points are of `faces` faces in their order.
    """
    others = _held_out(len(x), faces)
    mean, wanted = x[~others].mean(0), y[~others].mean(0)
    centred, off = x[~others] - mean, y[~others] - wanted
    spread, both = centred.T @ centred, centred.T @ off
    unit = spread.diagonal().mean() * torch.eye(len(spread))
    left = (y[others] - wanted).square().sum()
    found = {}
    for strength in RIDGES:
        weight = torch.linalg.solve(spread + strength * unit, both).T
        bias = wanted - weight @ mean
        found[strength] = (float((x[others] @ weight.T + bias - y[others]).square().sum() / left), weight, bias)
    log.info("ridge: %s", {strength: round(error, 3) for strength, (error, _, _) in found.items()})
    _, weight, bias = min(found.values(), key=lambda one: one[0])
    return weight, bias


def _held_out(points: int, faces: int) -> Tensor:
    """Which of the points (M,) are of faces left out."""
    return (torch.arange(points) // (points // faces)) % HELD_OUT == 0


def _posterior(words: Tensor, weight: Tensor, bias: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
    """The linear layer whose softmax is a Gaussian's posterior over words (K,C) around weight @ x + bias.

    `precision` (C,) is that of each of the C numbers.
    """
    weighed = precision * words
    return weighed @ weight, weighed @ bias - (weighed * words).sum(1) / 2


def _hidden(net: ResemblanceNet, h: Tensor) -> Tensor:
    """What the codes' head reads, (N,h*w,C)."""
    found: list[Tensor] = []
    handle = net.transformer.head.register_forward_pre_hook(lambda _, args: found.append(args[0]))
    try:
        net.predict(h)
    finally:
        handle.remove()
    return found[0]


def _points(latents: Tensor) -> Tensor:
    """Every few places of (N,C,h,w), as points (M,C)."""
    return latents.flatten(2)[..., ::EVERY].mT.flatten(0, 1)
