"""What the second restorer should have made of whole faces: the loss of its training on a GPU.

The twin of :class:`.generator_pictures.PictureLoss`, for batches of :mod:`.device_truths`: all steps of training at
once, latents first. Nothing in it waits for the device, and its numbers stay there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.generative import GenerativeNet, blended
from .components import parts
from .device_pack import Networks
from .device_truths import Counts, DeviceBatch
from .generator_latents import Shares
from .generator_pictures import Told, seen_anew, told_by_chance
from .restoration import shifted

PIXEL, COLOURS, PERCEIVED, DETAIL, PARTS, IDENTITY = 1.0, 3.0, 1.0, 1.0, 0.5, 1.5
LATENTS, ENTROPY, STYLE = (1.0, 0.2), (0.1, 0.02), (0.5, 0.1)  # at the beginning, and from LEARNT on
LEARNT = 0.3  # part of the training
SQUARE = 256  # px of the square that is looked at in full size


class WholeLoss:
    """See the head of this file.

    Args:
        net: in training.
        networks: that judge.
        seed: where chance begins.
    """

    def __init__(self, net: GenerativeNet, networks: Networks, seed: int) -> None:
        self.net, self.networks = net, networks
        self.shares = Shares(networks.basis, str(net.embedding.device))
        self.choice = np.random.default_rng((seed, 3))

    def __call__(self, batch: DeviceBatch, part: float) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """The loss, numbers for the log, and the faces drawn (N,3,S,S), about [0,1]; `part` of the training is done."""
        told = told_by_chance(self.net, batch.damaged, self.choice)
        y, mask = self.net.decoder(told.z, told.style, told.features, told.content_weight)
        y = blended((y.float() + 1) / 2, mask, batch.damaged, told.content_weight, 1.0)
        known, numbers = self._told(batch, told, min(1.0, part / LEARNT))
        seen, more = self._seen(y, batch.clean, batch.counts)
        if mask is not None:
            more["mask"] = torch.sigmoid(mask.float()).mean()
        return known + seen, {name: number.detach() for name, number in (numbers | more).items()}, y

    def _told(self, batch: DeviceBatch, told: Told, learnt: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Of the faces that were drawn: latents, code words and style."""
        drawn, latents = batch.counts.drawn, (told.content, told.words, told.z)
        plain = batch.plain / batch.plain.sum().clamp(min=1)
        of_latents, of_codes, of_style = (first + learnt * (last - first) for first, last in (LATENTS, ENTROPY, STYLE))
        # A face whose tones were changed has another latent: it counts for nothing here.
        errors = [(self._latent_errors(x[:drawn].float(), batch.latents) * plain).sum() for x in latents]
        codes = self.networks.basis.codes(batch.latents)
        entropy = F.cross_entropy(told.logits[:drawn].flatten(0, 1), codes.flatten(), reduction="none")
        entropy = (entropy.view(drawn, -1).mean(1) * plain).sum()
        style = (self.shares.of_styles(told.style[:drawn], batch.styles) * plain).sum()
        value = of_latents * torch.stack(errors).sum() + of_codes * entropy + of_style * style
        return value, {"h": errors[0], "z": errors[2], "ce": entropy, "w": style}

    def _latent_errors(self, told: Tensor, latents: Tensor) -> Tensor:
        """(N,) as :meth:`.generator_latents.Shares.of_both` has it in the mean."""
        squares = (told - latents).square().mean((2, 3))
        return (squares @ self.shares.power + squares.sum(1) * self.shares.plain) / 2

    def _seen(self, y: Tensor, clean: Tensor, counts: Counts) -> tuple[Tensor, dict[str, Tensor]]:
        """Pixels, looks, eyes and mouth, and who it is."""
        choice, networks = self.choice, self.networks
        full, coarse = counts.full, counts.full + counts.half
        halves, halves_clean = F.avg_pool2d(y, 2), F.avg_pool2d(clean, 2)
        quarters, quarters_clean = F.avg_pool2d(halves, 2), F.avg_pool2d(halves_clean, 2)
        pixel = 2 * F.l1_loss(quarters, quarters_clean) + F.l1_loss(halves[:coarse], halves_clean[:coarse])
        pixel = pixel + F.l1_loss(y[:full], clean[:full])
        coarsest = F.l1_loss(F.avg_pool2d(quarters, 4), F.avg_pool2d(quarters_clean, 4))  # colours and light
        shown, truth = halves.clamp(0, 1), halves_clean
        of_halves = networks.alex(*shifted(choice, shown[:coarse], truth[:coarse])).sum()
        small = shifted(choice, quarters[coarse:].clamp(0, 1), quarters_clean[coarse:])
        perceived = (of_halves + networks.alex(*small).sum()) / counts.all
        row, column = (int(v) for v in choice.integers(0, y.shape[-1] - SQUARE + 1, 2))
        square, truly = (x[:full, :, row : row + SQUARE, column : column + SQUARE] for x in (y.clamp(0, 1), clean))
        detail = (networks.alex(square, truly).mean() + networks.vgg(square, truly).mean()) / 2
        finest = networks.alex(*shifted(choice, parts(y[:full].clamp(0, 1)), parts(clean[:full]))).mean()
        mine, theirs = seen_anew(choice, shown, truth)
        with torch.no_grad():
            wanted = networks.recognizer(theirs)
        identity = 1 - (networks.recognizer(mine) * wanted).sum(1).float().mean()
        value = (
            PIXEL * pixel
            + COLOURS * coarsest
            + PERCEIVED * perceived
            + DETAIL * detail
            + PARTS * finest
            + IDENTITY * identity
        )
        found = {
            "pixel": pixel,
            "colours": coarsest,
            "lpips": perceived,
            "detail": detail,
            "parts": finest,
            "identity": identity,
        }
        return value, found
