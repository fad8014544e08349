"""An adversary for GPUs: critics that compare squares of a drawn face with the same squares of the truth.

The loss is relativistic (Jolicoeur-Martineau, ICLR 2019): the truth has to look more real than what was drawn in its
place. One critic looks at pixels and knows the place (:class:`Critic`), held smooth by penalties on its gradient
at true and drawn squares (Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024); the others at VGG's
features through fixed random projections (Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021). All see the
squares in colours changed alike (Zhao et al., "Differentiable Augmentation", NeurIPS 2020).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..geometry import TEMPLATE_SIZE, template
from .perceptual import Perceptual

PATCH = 128  # px of a square's side
SHARE = 0.15  # of the adversary in the gradient at the squares
PENALTY, EVERY = 0.5, 8  # weight of the squared gradients, and steps between
PROJECTED = 64  # channels
RATE = 2e-4


class Critic(nn.Module):
    """How real each place of a patch looks: a patch discriminator (Isola et al., CVPR 2017) that knows the place."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()

        def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
            return nn.Conv2d(inputs, outputs, 2 + stride, stride, padding=1)

        self.layers = nn.Sequential(
            convolution(5, width, stride=2),
            nn.LeakyReLU(0.2),
            convolution(width, 2 * width, stride=2),
            nn.LeakyReLU(0.2),
            convolution(2 * width, 4 * width, stride=2),
            nn.LeakyReLU(0.2),
            convolution(4 * width, 4 * width),
            nn.LeakyReLU(0.2),
            convolution(4 * width, 1),
        )

    def forward(self, patches: Tensor, places: Tensor) -> Tensor:
        """Patches (N,3,P,P) in [0,1] and their coordinates (N,2,P,P) in [-1,1] to scores (N,1,P/8,P/8)."""
        return self.layers(torch.cat([patches * 2 - 1, places], 1))


def corners(choice: np.random.Generator, side: int) -> list[tuple[int, int]]:
    """Top left corners of the patches to look at: in whole faces both eyes and the mouth, and one place anywhere."""
    last = side - PATCH
    spots = [(int(choice.integers(last + 1)), int(choice.integers(last + 1)))]
    if side == TEMPLATE_SIZE:
        left, right, _, *mouth = template(side).numpy()
        for x, y in (left, right, sum(mouth) / 2):
            row, column = (int(np.clip(v - PATCH / 2 + choice.integers(-24, 25), 0, last)) for v in (y, x))
            spots.append((row, column))
    return spots


class ProjectedCritic(nn.Module):
    """How real the features of one level look, behind a fixed projection."""

    projection: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(PROJECTED, channels, 1, 1) * channels**-0.5)
        self.layers = nn.Sequential(
            nn.Conv2d(PROJECTED, PROJECTED, 4, 2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(PROJECTED, PROJECTED, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(PROJECTED, 1, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N,C,h,w) to scores (N,1,h/2,w/2)."""
        return self.layers(F.conv2d(features, self.projection.to(features)))


class Critics(nn.Module):
    """All critics.

    Args:
        channels: of the levels of VGG that are looked at.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.pixels = Critic()
        self.levels = nn.ModuleList(ProjectedCritic(c) for c in channels)

    def forward(self, squares: Tensor, places: Tensor, features: list[Tensor]) -> list[Tensor]:
        """Scores of squares (N,3,P,P) in [0,1] at places (N,2,P,P): (N,1,h,w) of each critic."""
        return [self.pixels(squares, places), *(level(x) for level, x in zip(self.levels, features, strict=True))]


def more_real(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """The relativistic loss of those who want the `first` to look more real than the `second`."""
    losses = [F.softplus(b.float() - a.float()).mean() for a, b in zip(first, second, strict=True)]
    return torch.stack(losses).mean()


class DeviceAdversary:
    """Pulls drawn faces towards the truth's looks, and trains its critics.

    Args:
        vgg: whose features are looked at.
        side: of the faces [px].
        device: where they are.
        faster: whether to compute in bfloat16.
        seed: of the choice of squares.
    """

    def __init__(self, vgg: Perceptual, side: int, device: str, faster: bool, seed: int) -> None:
        channels = tuple(getattr(vgg, f"lin{j}_weight").numel() for j in range(sum(c.compared for c in vgg.trunk)))
        self.vgg, self.faster, self.device = vgg, faster, torch.device(device)
        self.critics = Critics(channels).to(device)
        self.optimizer = torch.optim.Adam(self.critics.parameters(), lr=RATE, betas=(0.0, 0.99), fused=True)
        self.choice = np.random.default_rng((seed, 9))
        axis = torch.linspace(-1, 1, side, device=device)
        self.places = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]
        self.step = 0

    def pull(self, drawn: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """Have the adversary's say in the gradient at faces (N,3,S,S), once it arrives, and let the critics learn.

        Args:
            drawn: in the graph of what draws; about [0,1].
            clean: the truth, in [0,1].

        Returns:
            Numbers for the log.
        """
        leaf = drawn.detach().float().clamp(0, 1).requires_grad_(True)
        spots = corners(self.choice, drawn.shape[-1])
        places = _squares(self.places.expand(len(drawn), -1, -1, -1), spots)
        real = self._augmented(_squares(clean, spots))
        fake = self._augmented(_squares(leaf, spots))
        with torch.no_grad():
            seen_real = self._features(real)
        seen_fake = self._features(fake)
        self.critics.requires_grad_(False)
        with torch.no_grad():
            of_real = self._scores(real, places, seen_real)
        (gradient,) = torch.autograd.grad(more_real(self._scores(fake, places, seen_fake), of_real), leaf)
        drawn.register_hook(lambda slope: slope + (SHARE * scaled(gradient, slope.float())).to(slope))
        self.critics.requires_grad_(True)
        fake, seen_fake = fake.detach(), [x.detach() for x in seen_fake]
        of_real, of_fake = self._scores(real, places, seen_real), self._scores(fake, places, seen_fake)
        value = more_real(of_real, of_fake)
        numbers = {"critic": value.detach(), "gap": (of_real[0] - of_fake[0]).detach().float().mean()}
        if self.step % EVERY == 0:
            penalty = self._penalty(real, places) + self._penalty(fake, places)
            value, numbers["penalty"] = value + EVERY * PENALTY / 2 * penalty, penalty.detach()
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.optimizer.step()
        self.step += 1
        return numbers

    def _features(self, squares: Tensor) -> list[Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.faster):
            return self.vgg.features(squares)

    def _scores(self, squares: Tensor, places: Tensor, features: list[Tensor]) -> list[Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.faster):
            return self.critics(squares, places, features)

    def _penalty(self, squares: Tensor, places: Tensor) -> Tensor:
        """The squared gradient of the pixels' critic, in float32: it is differentiated twice."""
        leaf = squares.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(self.critics.pixels(leaf, places).mean((1, 2, 3)).sum(), leaf, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean()

    def _augmented(self, squares: Tensor) -> Tensor:
        """Squares (N,3,P,P) in other brightness and saturation, each its own; the same for the truth as for the drawn.

        The numbers depend on the step alone.
        """
        chance = np.random.default_rng((7, self.step))
        bright, colourful = (
            torch.from_numpy(chance.uniform(low, high, (len(squares), 1, 1, 1)).astype(np.float32)).to(
                squares.device, non_blocking=True
            )
            for low, high in ((-0.1, 0.1), (0.6, 1.4))
        )
        grey = squares.mean(1, keepdim=True)
        return grey + (squares - grey) * colourful + bright


def _squares(faces: Tensor, spots: list[tuple[int, int]]) -> Tensor:
    return torch.cat([faces[..., r : r + PATCH, c : c + PATCH] for r, c in spots])


def scaled(pull: Tensor, slope: Tensor) -> Tensor:
    """The adversary's gradient, as long as the others' is where it has one."""
    where = (pull != 0).any(1, keepdim=True)
    return pull * (slope * where).norm() / pull.norm().clamp_min(1e-12)
