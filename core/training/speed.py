"""How fast the restorers are beside CodeFormer: faces a second, and the share of what a device can compute.

Speed does not depend on weights: networks have random ones, so that a bare machine with PyTorch and einops is enough.
The rows that matter most come first; when the time is spent the others are left out. One row may end late: compiling
cannot be cut short, but the file is written anew after each row.

    python -m resemblance.core.training.speed --output speed.json --seconds 60
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from ..models.codeformer import CodeFormer, CodeFormerConfig
from ..models.generative import GenerativeNet
from ..models.lookup import adain, look_up
from ..models.restorer import ResemblanceNet, RestorerConfig
from ..models.style_head import StyleConfig
from ..models.styled_decoder import DecoderConfig
from ..models.transfer import Photographs, TransferConfig, TransferGuide, TransferNet
from ..records import Lookup

log = logging.getLogger(__name__)

REFERENCES = (1, 3)
COMPILED = (1, 16)  # batches, where they are asked for
COMPILE_SECONDS = 20.0  # with less time left nothing is compiled
WARMUP, LEAST_RUNS, ROW_SECONDS = 3, 5, 1.0
LINE = "%-19s %-8s batch %-2d compiled %-5s %9.2f faces/s %8.2f GFLOP, %.3f of the peak, compiled in %.0f s"

TINY = RestorerConfig((8, 8, 8), 1, (1, 1, 1), latent=8, codes=16, dim=32, layers=1, heads=1, size=128)
TINY_STYLE = StyleConfig(8, 8, 8, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16, axes=6, style=12)
TINY_DECODER = DecoderConfig(8, 8, 12, channels=(16, 16, 8, 8, 8), encoded=(8, 8, 8), narrow=(4, 4, 4))
TINY_TRANSFER = TransferConfig((8, 8, 8), 8, 8, 8, 8, ((16, 4, 1), (32, 4, 3), (64, 4, 3), (128, 4, 3)), (8, 8, 8))
TINY_CODEFORMER = CodeFormerConfig(
    128, 32, (1,) * 6, blocks=1, latent=32, codes=16, width=64, heads=1, layers=1, fuse=(32, 64)
)


@dataclass(frozen=True)
class Plan:
    """What is to be measured: a network in a dtype, faces at once, references to each, and whether it is compiled."""

    network: str
    dtype: torch.dtype
    batch: int
    references: int = 0
    compiled: bool = False

    @property
    def name(self) -> str:
        """Of the row."""
        many = f", {self.references} reference{'s' * (self.references > 1)}"
        return self.network + many * (self.references > 0)


def plans(batches: Sequence[int]) -> Iterator[Plan]:
    """All rows, the most important first. The first restorer without references is its row at batch 1."""
    yield Plan("codeformer", torch.float32, 1)
    for name in ("second", "first"):
        yield from (Plan(name, torch.bfloat16, batch) for batch in batches)
    yield from (Plan("first", torch.bfloat16, 1, references) for references in REFERENCES)
    for name in ("second", "first"):
        yield from (Plan(name, torch.bfloat16, batch, compiled=True) for batch in COMPILED if batch in batches)


def build(plan: Plan, device: torch.device, tiny: bool) -> Any:
    """The network of a plan, with random weights, as it is loaded to restore."""
    if plan.network == "codeformer":
        return ready(CodeFormer(TINY_CODEFORMER if tiny else CodeFormerConfig()), device, plan.dtype)
    if plan.network == "second":
        return ready(GenerativeNet(*(TINY, TINY_STYLE, TINY_DECODER) if tiny else ()), device, plan.dtype)
    # References are looked for at 32, 64 and 128 px, so their restorer can be thin but not small.
    thin = replace(TINY, size=512) if plan.references else TINY
    net = ready(ResemblanceNet(thin if tiny else None), device, plan.dtype)
    if plan.references:
        net.transfer = ready(TransferNet(TINY_TRANSFER if tiny else None), device, plan.dtype)
    return net


def ready(net: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A network to restore with; without the zeros that training starts from, which cost a GPU less power."""
    for parameter in net.requires_grad_(False).parameters():
        if not parameter.any():
            parameter.normal_(0, 0.02)
    net.eval().to(device, dtype)
    return net.to(memory_format=torch.channels_last) if dtype == torch.bfloat16 else net


def restore(net: Any, faces: Tensor, photographs: Photographs | None = None) -> Tensor:
    """Faces (N,3,S,S) in [0,1] to the same, each network at its own content weight."""
    content, skips = net.encode(faces)
    logits = net.predict(content)
    words, _ = look_up(logits, net.codebook(), Lookup(net.lookup), content.shape[-2])
    words = (adain(words, content) if net.adain else words).to(content)
    more = {}
    if photographs:
        found = net.transfer.extract_references(content, words, skips, photographs, net.codebook(), net.encode)
        more["guide"] = TransferGuide(net.transfer, found.reference)
    return net.decode(content, words, skips, net.default_content, 1.0, **more).clamp(0, 1)


def photographs_of(net: ResemblanceNet, number: int) -> Photographs:
    """So many random references to one face, encoded: the product keeps them so, and their encoding is not timed."""
    size, device = net.config.size, net.embedding.device
    pictures = torch.rand(number, 3, size, size, device=device)
    content, skips = net.encode(pictures)
    assert isinstance(net.transfer, TransferNet)
    identity = F.normalize(torch.randn(1, number, net.transfer.config.embedding, device=device), dim=-1)
    stored = {side: x[None] for side, x in skips.items() if side < size}
    return Photographs(pictures[None], content[None], stored, identity, torch.ones(1, number, device=device))


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """How long a call takes, all that it starts on the device included [s]."""
    begin = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def usual_seconds(call: Callable[[], object], device: torch.device) -> float:
    """The median of repeated calls, after some that do not count [s]."""
    for _ in range(WARMUP):
        seconds_of(call, device)
    runs: list[float] = []
    while len(runs) < LEAST_RUNS or sum(runs) < ROW_SECONDS:
        runs.append(seconds_of(call, device))
    return median(runs)


def peak_rate(side: int, device: torch.device) -> float:
    """What a product of two square bfloat16 matrices reaches [GFLOP/s]."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2e-9 * side**3 / usual_seconds(lambda: a @ b, device)


def measure(plan: Plan, device: torch.device, peak: float, tiny: bool) -> dict[str, Any]:
    """Measure a row, given what a large bfloat16 product reaches on the device [GFLOP/s].

    Returns:
        The plan; faces a second by the median of the runs; GFLOP of a face as PyTorch counts them (convolutions,
        products and attention alone); their share of the peak, 0 to 1; seconds to compile, which are not in the speed.

    Raises:
        RuntimeError: not enough memory, or the network cannot be compiled here.
    """
    net = build(plan, device, tiny)
    side = net.config.image_size if plan.network == "codeformer" else net.config.size
    faces = torch.rand(plan.batch, 3, side, side, device=device)
    photographs = photographs_of(net, plan.references) if plan.references else None
    with FlopCounterMode(display=False) as counter:
        restore(net, faces[:1], photographs)
    compile_seconds = 0.0
    if plan.compiled:
        torch.compiler.reset()  # else the batch would become a variable
        for part in net.children():
            part.compile(backend="eager" if tiny else "inductor", dynamic=False)
        compile_seconds = seconds_of(lambda: restore(net, faces), device)
    speed = plan.batch / usual_seconds(lambda: restore(net, faces, photographs), device)
    gflop = counter.get_total_flops() / 1e9
    dtype = str(plan.dtype).removeprefix("torch.")
    how = {"name": plan.name, "dtype": dtype, "batch": plan.batch, "compiled": plan.compiled}
    numbers = {"faces_per_second": speed, "gflop": gflop, "share_of_peak": gflop * speed / peak}
    return how | numbers | {"compile_seconds": compile_seconds}


@torch.inference_mode()
def main() -> None:
    """Measure until the time is spent."""
    begin = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16, 64])
    parser.add_argument("--tiny", action="store_true", help="small networks, compiled for show: a rehearsal")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    peak = peak_rate(8192 if device.type == "cuda" else 256, device)
    log.info("%s, PyTorch %s, %.1f TFLOP/s in bfloat16", name, torch.__version__, peak / 1000)
    about = {"device": name, "torch": torch.__version__, "tiny": options.tiny, "peak_gflop_per_second": peak}
    rows: list[dict[str, Any]] = []
    options.output.write_text(json.dumps(about | {"rows": rows}))
    for plan in plans(options.batches):
        left = options.seconds - (time.monotonic() - begin)
        if left <= (COMPILE_SECONDS if plan.compiled else 0):
            log.info("%.0f s left: %s at batch %d and what follows are not measured", left, plan.name, plan.batch)
            break
        try:
            row = measure(plan, device, peak, options.tiny)
        except RuntimeError as error:  # out of memory, or no compiler: the other rows are still worth their time
            log.warning("%s at batch %d is left out: %s", plan.name, plan.batch, str(error).split("\n")[0])
        else:
            rows.append(row)
            options.output.write_text(json.dumps(about | {"rows": rows}, indent=1))
            log.info(LINE, *row.values())
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
