"""Stage 2: codes. The encoder learns to see through damage, the transformer to say which code words the clean face has.

No decoder is needed: the targets are the frozen tokenizer's latents and codes of the clean face. The encoder starts
as the tokenizer's. What to see before going on: the soft lookup lies nearer to the clean latent than the nearest code
of h does.

    python -m resemblance.core.training.codes --work WORK --minutes 30
"""

from __future__ import annotations

from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..models.restorer import ResemblanceNet, RestorerConfig
from .data import Batch, FacePool, damaged_batch, prefetch
from .device_data import DeviceFaces, in_turn, load_drawing
from .loop import Stage, arguments, read_average, start
from .tokenizer import Tokenizer


def load_tokenizer(work: Path, device: str) -> Tokenizer:
    """The finished tokenizer of a working folder, averaged and frozen."""
    path = work / "tokenizer.pt"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: run 'python -m resemblance.core.training.tokenizer --work {work}' first."
        )
    state = read_average(path)
    net = {key.removeprefix("net."): tensor for key, tensor in state.items() if key.startswith("net.")}
    tokenizer = Tokenizer(RestorerConfig.from_state(net))
    tokenizer.load_state_dict(state)
    return tokenizer.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def code_losses(
    net: ResemblanceNet, h: Tensor, logits: Tensor, clean: Tensor, codes: Tensor
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """How well latent and logits say what the tokenizer says of the clean face.

    Args:
        h: (N,C,h,w) latent of the damaged face.
        logits: (N,h*w,K).
        clean: (N,C,h,w) latent of the clean face, not quantised.
        codes: (N,h*w) its codes.

    Returns:
        The loss, the softly looked-up latent (N,C,h,w), and numbers for the log.
    """
    soft = rearrange(logits.float().softmax(-1) @ net.embedding, "n (y x) c -> n c y x", y=h.shape[2])
    scale = clean.float().var()
    latent = F.mse_loss(h.float(), clean.float()) / scale
    looked_up = F.mse_loss(soft, clean.float()) / scale
    entropy = F.cross_entropy(logits.float().flatten(0, 1), codes.flatten())
    numbers = {"latent": latent.item(), "soft": looked_up.item(), "ce": entropy.item()}
    return latent + looked_up + 0.1 * entropy, soft, numbers


def nearest_error(tokenizer: Tokenizer, h: Tensor, clean: Tensor) -> float:
    """How far the nearest code words of h lie from the clean latent, as ``soft`` of :func:`code_losses` says it."""
    nearest, _ = tokenizer.nearest(h)
    return (F.mse_loss(nearest, clean.float()) / clean.float().var()).item()


def main() -> None:
    """Train encoder and transformer."""
    options = arguments(__doc__.splitlines()[0], minutes=30, lr=5e-4, generate=True).parse_args()
    start(options)
    tokenizer = load_tokenizer(options.work, options.device)
    net = ResemblanceNet(tokenizer.net.config)
    net.load_state_dict(tokenizer.net.state_dict())
    net.transformer = ResemblanceNet(tokenizer.net.config).transformer
    net.embedding.requires_grad_(False)
    net = net.to(options.device).to(memory_format=torch.channels_last)
    for unused in (net.gate, net.decoder):
        unused.requires_grad_(False)
    stage = Stage("codes", net, options)
    pool = FacePool(options.work)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Batch)
        with torch.no_grad():
            clean, _ = tokenizer.net.encode(batch.clean.to(options.device))
            _, codes = tokenizer.nearest(clean)
        h, _ = net.encode(batch.damaged.to(options.device))
        value, _, numbers = code_losses(net, h, net.predict(h), clean, codes)
        with torch.no_grad():
            numbers["nearest"] = nearest_error(tokenizer, h, clean)
        return value, numbers

    batches = prefetch(lambda rng, i: damaged_batch(pool, rng, options.batch, None), options.seed + 1, stage.step)
    if options.generate:
        drawn = DeviceFaces(load_drawing(options))
        batches = in_turn(batches, lambda rng, i: drawn.damaged(rng, options.batch), options.seed + 10, stage.step)
    stage.run(batches, loss)


if __name__ == "__main__":
    main()
