"""Stage 1: the tokenizer. Clean faces through encoder, codebook and decoder and back.

Trained on 256 px squares: at first unquantised, then with codes that start from k-means and follow the latents as a
moving average; codes that nobody uses are moved to where latents are. After this stage the encoder and the codebook
never change: later stages learn to predict what they say of the clean face.

    python -m resemblance.core.training.tokenizer --work WORK --minutes 35
"""

from __future__ import annotations

import logging

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.restorer import ResemblanceNet, RestorerConfig
from .clusters import kmeans
from .data import FacePool, clean_crops, prefetch
from .device_data import DeviceFaces, in_turn, load_drawing
from .judges import lpips
from .loop import Stage, arguments, start

log = logging.getLogger(__name__)

UNQUANTISED = 0.15  # part of the time
CROP = 256
KMEANS_ROUNDS = 10
DECAY = 0.99


class Tokenizer(nn.Module):
    """The shipped network's encoder, codebook and decoder, on clean faces, with what k-means and averaging need."""

    started: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, config: RestorerConfig | None = None) -> None:
        super().__init__()
        self.net = ResemblanceNet(config)
        self.net.embedding.requires_grad_(False)
        for unused in (self.net.transformer, self.net.gate, self.net.decoder.transforms):
            unused.requires_grad_(False)
        codes, latent = self.net.embedding.shape
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", torch.zeros(codes, latent))

    def nearest(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (N,C,h,w) to its nearest code words (N,C,h,w) and their numbers (N,h*w)."""
        flat = rearrange(h.float(), "n c y x -> (n y x) c")
        codes = torch.cdist(flat, self.net.embedding).argmin(1)
        words = rearrange(self.net.embedding[codes], "(n y x) c -> n c y x", n=len(h), y=h.shape[2])
        return words, codes.view(len(h), -1)

    @torch.no_grad()
    def follow(self, h: Tensor, codes: Tensor) -> None:
        """Move each code word towards the mean of the latents that took it, and idle ones to latents at random."""
        flat = rearrange(h.float(), "n c y x -> (n y x) c")
        codes = codes.flatten()
        counts = torch.bincount(codes, minlength=len(self.counts)).float()
        sums = torch.zeros_like(self.sums).index_add_(0, codes, flat)
        self.counts.lerp_(counts, 1 - DECAY)
        self.sums.lerp_(sums, 1 - DECAY)
        idle = self.counts < 0.05 * self.counts.mean()
        picks = flat[torch.randint(len(flat), (int(idle.sum()),), device=flat.device)]
        self.sums[idle], self.counts[idle] = picks * self.counts.mean(), self.counts.mean()
        self.net.embedding.copy_(self.sums / self.counts.unsqueeze(1))

    @torch.no_grad()
    def kmeans(self, flat: Tensor) -> None:
        """Start the code words from (M,C) latents."""
        words = flat[torch.randperm(len(flat))[: len(self.counts)]]
        words = kmeans(flat, words, KMEANS_ROUNDS)
        self.net.embedding.copy_(words)
        self.counts.fill_(1.0)
        self.sums.copy_(words)
        self.started.fill_(True)


def main() -> None:
    """Train the tokenizer."""
    options = arguments(__doc__.splitlines()[0], minutes=35, lr=6e-4, generate=True).parse_args()
    start(options)
    tokenizer = Tokenizer().to(options.device).to(memory_format=torch.channels_last)
    stage = Stage("tokenizer", tokenizer, options)
    perceptual = lpips("alex", options.assets).to(options.device)
    pool = FacePool(options.work)
    recent: list[Tensor] = []

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Tensor)
        clean = batch.to(options.device)
        h, _ = tokenizer.net.encode(clean)
        numbers: dict[str, float] = {}
        quantised, commitment = h, h.new_zeros(())
        if tokenizer.started:
            words, codes = tokenizer.nearest(h)
            commitment = F.mse_loss(h.float(), words)
            tokenizer.follow(h.detach(), codes)
            quantised = h + (words - h).detach()
            numbers |= {"commit": commitment.item(), "used": codes.unique().numel() / len(tokenizer.counts)}
        else:
            recent.append(rearrange(h.detach().float(), "n c y x -> (n y x) c"))
            del recent[:-64]
        y = tokenizer.net.decode(h, quantised, {clean.shape[-1]: clean}, content_weight=0.0)
        pixel, perceived = F.l1_loss(y, clean), perceptual(y.clamp(0, 1), clean).mean()
        numbers |= {"l1": pixel.item(), "lpips": perceived.item(), "spread": h.float().std().item()}
        return pixel + perceived + 0.25 * commitment, numbers

    @torch.no_grad()
    def after(part: float) -> None:
        if part > UNQUANTISED and not tokenizer.started:
            tokenizer.kmeans(torch.cat(recent))
            log.info("codes started from %d latents", sum(map(len, recent)))
        # The code words are an average already, and jump when idle: averaging them again would smear them.
        stage.average.net.embedding.copy_(tokenizer.net.embedding)

    batches = prefetch(lambda rng, i: clean_crops(pool, rng, options.batch, CROP), options.seed, stage.step)
    if options.generate:
        drawn = DeviceFaces(load_drawing(options))
        batches = in_turn(batches, lambda rng, i: drawn.crops(rng, options.batch, CROP), options.seed + 10, stage.step)
    stage.run(batches, loss, after)


if __name__ == "__main__":
    main()
