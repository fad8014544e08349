"""Small stand-ins for what training works with: a generator, a latent's basis, trials of embeddings."""

import torch
from resemblance.core.models.restorer import RestorerConfig
from resemblance.core.records import FaceQuality
from torch.nn import functional as F

SIZES = RestorerConfig((8, 8, 8), 1, (1, 1, 1), latent=8, codes=16, dim=32, layers=1, heads=1, size=512)
QUALITY = FaceQuality(0.5, 60.0, 0.0, 0.5)


def some_trials(people: int, photographs: int, noise: float, seed: int = 0):
    """Trials whose crops are embeddings in disguise: 16 numbers for each person, and noise."""
    from resemblance.core.training.trials import Trials

    chance = torch.Generator().manual_seed(seed)
    person = torch.arange(people).repeat_interleave(photographs)
    faces = torch.randn(people, 16, generator=chance)[person]
    clean = faces + noise * torch.randn(faces.shape, generator=chance)
    damaged = faces + 2 * noise * torch.randn(faces.shape, generator=chance)
    made = Trials(person, clean, {"severe": damaged}, {"severe": [QUALITY] * len(person)})
    return made, person


def embed(x: torch.Tensor) -> torch.Tensor:
    return F.normalize(x.float(), dim=1)


def small_generator():
    """Eight channels, and faces of the real size."""
    from resemblance.core.training.generator import Generator, GeneratorConfig

    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(512, 1, (8,) * 8)).requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        tensor.normal_(std=0.02 if "factor.weight" in name else 0.05 if "mapping" in name else 0.4)
        if "factor.bias" in name:
            tensor.fill_(1.0)
    generator.synthesis.input.normal_()
    return generator


def small_basis():
    """Eight of twenty channels, the weaker the later."""
    from resemblance.core.training.generator_basis import SIDE, Basis

    chance = torch.Generator().manual_seed(0)
    axes, _ = torch.linalg.qr(torch.randn(20, 20, generator=chance))
    return Basis(
        torch.randn(20, generator=chance),
        axes[:8],
        torch.linspace(2, 0.5, 8),
        torch.randn(8, SIDE, SIDE, generator=chance),
        torch.linspace(1.5, 0.5, 8),
        torch.randn(16, 8, generator=chance),
        torch.randn(12, generator=chance),
        torch.eye(12)[:6],
        torch.linspace(2, 1, 6),
    )


class Plain(torch.nn.Module):
    """In place of judges: how far two pictures are apart, or what a face's colours are."""

    def forward(self, x, y=None):
        if y is None:
            return F.normalize(x.mean((2, 3)) + 0.1)
        return (x - y).square().mean((1, 2, 3), keepdim=True)
