"""The second restorer, steps 2 to 4 and the adversary in one run on a lent GPU: no second of it is wasted.

    python -m resemblance.core.training.generator_device --pack .pack --output "$OUT" --seconds 480

reads what :mod:`.device_pack` wrote, all parts in one folder; needs PyTorch, NumPy, safetensors, einops and Pillow
alone. Everything is made on the device. First the linear part of the style head is fitted on faces drawn there; then
all learns together, the generator's own layers at a small part of the rate; in the last part of the time the adversary
joins in. The average is written in shards that may travel, every now and then and at the end; a later run goes on from
them, critics included, once they are packed.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..models.generative import GenerativeNet
from ..models.style_head import coarse
from ..restorers.table import faster_dtype
from .adversary import DeviceAdversary
from .device_pack import read_networks, read_photographs
from .device_truths import Counts, DeviceTruths
from .generator_basis import SIDE
from .generator_pictures import grown
from .generator_style import Rows, fit
from .shards import load_shards, save_shards
from .whole_loss import WholeLoss

log = logging.getLogger(__name__)

RATES = {
    "encoder": 0.5,
    "transformer": 0.5,
    "style": 0.5,
    "style.direct": 0.02,
    "decoder.stem": 0.1,
    "decoder.layers": 0.1,
    "decoder.to_img": 0.1,
    "decoder.img": 0.1,
}  # in parts of the others'
WARMUP = 60  # steps
CLIP = 1.0
DECAY = 0.995  # of the average, a step
SHARD_SECONDS = 90
CHECK = 25  # steps between looks at the numbers
LEAST = 150.0  # faces a second, below which the run ends after TRIAL seconds
TRIAL = 25.0
ADVERSARY = 0.55  # part of the time from which it joins in
STYLE_FACES = 4800  # that the style is fitted on
TIMED = 4  # steps, compiled and not
SHOWN = 8  # faces of a batch in the picture


def rate_of(name: str) -> float:
    """In which part of the rate a parameter learns: the longest of ``RATES`` that its name begins with."""
    fitting = [key for key in RATES if name.startswith(f"{key}.")]
    return RATES[max(fitting, key=len)] if fitting else 1.0


def learns(name: str) -> bool:
    """Whether a parameter learns: code words stay, and depthwise weights, few as they are: it saves their gradients."""
    return name != "embedding" and ".depthwise." not in name


class Trainee:
    """The network, its average and its optimiser.

    Args:
        net: on its device.
        rate: of those that learn fastest.
    """

    def __init__(self, net: GenerativeNet, rate: float) -> None:
        self.net, self.rate = net, rate
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(learns(name))
        groups: dict[float, list[nn.Parameter]] = defaultdict(list)
        for name, parameter in net.named_parameters():
            if parameter.requires_grad:
                groups[rate_of(name)].append(parameter)
        self.average = copy.deepcopy(net).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            [{"params": group, "part": part} for part, group in groups.items()],
            lr=rate,
            betas=(0.9, 0.98),
            weight_decay=1e-3,
            fused=True,
        )
        self.pairs = [
            (a, p)
            for (_, a), (_, p) in zip(self.average.named_parameters(), net.named_parameters(), strict=True)
            if p.requires_grad
        ]
        self.step = 0

    def learn(self, value: Tensor, part: float) -> Tensor:
        """One step down the gradient of `value`; returns the gradient's length. One that is not finite is left out."""
        rate = self.rate * min(1.0, (self.step + 1) / WARMUP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
        for group in self.optimizer.param_groups:
            group["lr"] = group["part"] * rate
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        # What a gradient scaler would say: the fused optimiser leaves such a step out without waiting for the device.
        self.optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        decay = min(DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            averages, parameters = (list(column) for column in zip(*self.pairs, strict=True))
            torch._foreach_lerp_(averages, parameters, 1 - decay)
        self.step += 1
        return norm


@torch.no_grad()
def fit_style(net: GenerativeNet, truths: DeviceTruths, counts: Counts, seed: int, faces: int, faster: bool) -> None:
    """Fit the linear part of the style head on `faces` damaged faces, as :mod:`.generator_style` does."""
    rows: list[tuple[Tensor, ...]] = []
    alone = Counts(counts.all, 0, 0, 0)
    for i in range(-(-faces // alone.all)):
        rng = np.random.default_rng((seed, 40, i))
        chance = torch.Generator(truths.device).manual_seed(int(rng.integers(1 << 62)))
        pictures, _, styles = truths.people(chance, alone.all)
        damaged = truths.damage(pictures, rng, chance)
        with torch.autocast(truths.device.type, torch.bfloat16, enabled=faster):
            _, _, soft, z, skips = net.told(damaged)
            w = 0.0 if rng.random() < 0.1 else 1.0
            latent = z if w else soft
            said = net.style(latent, skips[SIDE], w)
        who = torch.arange(i * alone.all, (i + 1) * alone.all, device=truths.device)
        seen = coarse(net.style.seen(latent, skips[SIDE], w))
        rows.append(tuple(x.float() if x.is_floating_point() else x for x in (seen, said, styles, who)))
    shares = fit(net, Rows(*(torch.cat(column) for column in zip(*rows, strict=True))))
    log.info("of the style is left: %s", {name: round(share, 3) for name, share in shares.items()})


def picture(rows: Iterable[Tensor]) -> Image.Image:
    """Pictures (N,3,S,S) in [0,1], one row for each, at half size."""
    grid = torch.cat([torch.cat(list(row.float().clamp(0, 1)), 2) for row in rows], 1)
    grid = nn.functional.avg_pool2d(grid[None], 2)[0]
    return Image.fromarray((grid.permute(1, 2, 0) * 255).round().byte().cpu().numpy())


class Run:
    """All of a run: what learns, what it learns from, and what is written."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.device = options, options.device
        self.began = time.monotonic()
        self.stopped = False
        device = torch.device(self.device)
        self.faster = faster_dtype(device) == torch.bfloat16
        torch.backends.cudnn.benchmark = True
        self.networks = read_networks(options.pack, self.device)
        generator = self.networks.generator
        saved = load_shards(options.pack, "net")
        if saved:
            net = GenerativeNet.from_state(saved)
            net.load_state_dict(saved)
        else:
            assert self.networks.tokens is not None, "a pack has tokens, or shards"
            net = grown(self.networks.tokens, generator, self.networks.basis)
        net.to(self.device).to(memory_format=torch.channels_last)
        generator.to(memory_format=torch.channels_last)
        generator.synthesis.to(torch.bfloat16 if self.faster else torch.float32)
        self.counts = Counts.of(options.batch)
        self.truths = DeviceTruths(generator, self.networks.basis, read_photographs(options.pack))
        log.info("read after %.0f s: %s", self.seconds, self.counts)
        if not saved:
            fit_style(net, self.truths, self.counts, options.seed, options.style_faces, self.faster)
            log.info("style fitted after %.0f s", self.seconds)
        net.train()
        net.style.dropout.p = 0.0  # people are endless here
        self.trainee = Trainee(net, options.lr)
        self.loss = WholeLoss(net, self.networks, options.seed)
        self.adversary = DeviceAdversary(self.networks.vgg, net.config.size, self.device, self.faster, options.seed)
        critics = load_shards(options.pack, "critics")
        if critics:
            self.adversary.critics.load_state_dict(critics)
        self.drawing = (*net.decoder.layers, *generator.synthesis.layers[-len(net.decoder.layers) :])
        signal.signal(signal.SIGTERM, self.stop)

    @property
    def seconds(self) -> float:
        """Since the program began."""
        return time.monotonic() - self.began

    def stop(self, number: int, frame: FrameType | None) -> None:
        """End after this step."""
        self.stopped = True

    def step(self, i: int, part: float) -> dict[str, Tensor]:
        """One step; its numbers, still on the device."""
        batch = self.truths.batch(np.random.default_rng((self.options.seed, 30, i)), self.counts)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.faster):
            value, numbers, y = self.loss(batch, part)
        if part >= self.options.adversary:
            full = self.counts.full
            numbers |= self.adversary.pull(y[:full], batch.clean[:full])
        numbers |= {"norm": self.trainee.learn(value, part), "value": value.detach()}
        self.last = (batch.damaged, y.detach(), batch.clean)
        return numbers

    def train(self) -> None:
        """Warm up, then learn until the time is spent."""
        for i in range(3):
            self.step(i, 1.0 if i == 2 else 0.0)
        self.synchronize()
        if self.options.compile:
            self.prove()
        memory = torch.cuda.max_memory_allocated() / 1e9 if self.device == "cuda" else 0.0
        log.info("warm after %.0f s, %.1f GB", self.seconds, memory)
        begin = logged = saved = time.monotonic()
        budget = max(1e-3, self.options.seconds - (begin - self.began))
        sums: dict[str, Tensor] = {}
        count = since = 0
        while not self.stopped:
            part = (time.monotonic() - begin) / budget
            if part >= 1:
                break
            for name, number in self.step(count + 3, part).items():
                sums[name] = sums[name] + number.float() if name in sums else number.float()
            count, since = count + 1, since + 1
            if since == CHECK:
                numbers = {name: float(total) / since for name, total in sums.items()}
                now = time.monotonic()
                rate = since * self.counts.all / (now - logged)
                self.report(count, part, rate, numbers)
                if now - begin > TRIAL and rate < self.options.least:
                    raise RuntimeError(f"Got {rate:.0f} faces a second; expected {self.options.least:.0f} at least.")
                sums, since, logged = {}, 0, now
            if time.monotonic() - saved > SHARD_SECONDS:
                self.write(part)
                saved = time.monotonic()
        self.synchronize()
        rate = count * self.counts.all / (time.monotonic() - begin)
        log.info("%d steps, %.1f faces a second in all, after %.0f s", count, rate, self.seconds)
        self.write(1.0)

    def prove(self) -> None:
        """Compile the generator's layers, and take that back where it gains nothing."""
        import torch._dynamo

        torch._dynamo.config.recompile_limit = 64  # one compiled layer for each shape, and with and without gradient
        before = self.timed()
        for layer in self.drawing:
            layer.compile(dynamic=False)
        try:
            self.step(1, 0.0)
            after = self.timed()
        except Exception:  # a compiler may fail in many ways; none is worth the run
            log.exception("What was compiled does not run")
            after = math.inf
        log.info("a step takes %.3f s, compiled %.3f s, after %.0f s", before, after, self.seconds)
        if after > before:
            for layer in self.drawing:
                layer._compiled_call_impl = None

    def timed(self) -> float:
        """Seconds a step takes."""
        self.synchronize()
        began = time.monotonic()
        for i in range(TIMED):
            self.step(i, 0.0)
        self.synchronize()
        return (time.monotonic() - began) / TIMED

    def report(self, count: int, part: float, rate: float, numbers: dict[str, float]) -> None:
        """Log the numbers, and keep them as JSON lines."""
        if not math.isfinite(numbers["value"]):
            raise FloatingPointError(f"The loss is not finite at step {count}: {numbers}.")
        text = " ".join(f"{name} {number:.4f}" for name, number in numbers.items())
        log.info("%d (%.0f%%, %.0f s, %.0f faces/s) %s", count, 100 * part, self.seconds, rate, text)
        with (self.options.output / "curve.jsonl").open("a") as file:
            file.write(json.dumps({"step": count, "part": part, "faces_per_second": rate} | numbers) + "\n")

    def write(self, part: float) -> None:
        """Write the average, the critics and a picture."""
        about = {"step": str(self.trainee.step), "part": f"{part:.3f}", "basis": self.networks.basis.fingerprint}
        output = self.options.output
        shards = save_shards(output, "net", self.trainee.average.state_dict(), about)
        save_shards(output, "critics", self.adversary.critics.state_dict(), about)
        rows = [torch.cat([x[: SHOWN // 2], x[self.counts.drawn : self.counts.drawn + SHOWN // 2]]) for x in self.last]
        picture(rows).save(output / "last.jpg", quality=88)
        log.info("wrote %d shards after %.0f s", shards, self.seconds)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=480, help="for all, reading and warming up included")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--adversary", type=float, default=ADVERSARY, help="part of the time from which it joins in")
    parser.add_argument("--style-faces", type=int, default=STYLE_FACES)
    parser.add_argument("--least", type=float, default=LEAST, help="faces a second, below which the run ends early")
    parser.add_argument("--compile", action="store_true", help="compile the generator's layers if that is faster")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(options.seed)
    Run(options).train()


if __name__ == "__main__":
    main()
