"""Times the networks and everything around them, in one run, and prints ratios and peak memory.

    python -m resemblance.core.apps.benchmark
    python -m resemblance.core.apps.benchmark --device cuda
    python -m resemblance.core.apps.benchmark --only surroundings

CodeFormer has random weights: they take as long as the published ones. Times are the shortest of a few runs, which
depends least on what else the machine does. Compare numbers of one run only.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import geometry
from ..faces.crop import crop_faces, face_mask
from ..faces.detect import detect_faces, load_detector
from ..faces.measure import measure_quality
from ..faces.paste import paste_faces
from ..models.codeformer import CodeFormer, CodeFormerConfig
from ..models.lookup import adain, look_up
from ..records import Face, Lookup
from ..restorers.table import BUILTIN, builtin_restorer

MEGAPIXELS = (1, 8, 24)
FACES = (1, 10)
BATCHES = (1, 8)
FACE_SIDE = 220  # of the template in the photographs [px]; ten fit into one megapixel
REPEATS, PATIENCE = 7, 6.0  # runs of each step, and seconds after which no further one is started
QUICK = CodeFormerConfig(
    image_size=64, channels=32, multipliers=(1, 1, 2), latent=64, codes=16, width=64, heads=4, layers=1, fuse=(32,)
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that were asked for."""
    parser = argparse.ArgumentParser(prog="benchmark", description=str(__doc__).splitlines()[0])
    parser.add_argument("--device", default="cpu", help="where the networks run; the rest runs on the CPU")
    parser.add_argument("--threads", type=int, help="threads of the CPU (default: all cores)")
    parser.add_argument("--only", choices=("networks", "surroundings"), help="one half of it")
    parser.add_argument("--quick", action="store_true", help="tiny network, tiny photographs: to see that it runs")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    _say(f"{_machine(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    network = None
    if options.only != "surroundings":
        network = time_networks(device, options.quick)
    if options.only != "networks":
        time_surroundings(options.quick, network)


@torch.inference_mode()
def time_networks(device: torch.device, quick: bool) -> float | None:
    """Time CodeFormer and the shipped restorer on `device`.

    Returns:
        Seconds that the shipped restorer takes for a face, or None where its weights are not there.
    """
    torch.manual_seed(0)
    config = QUICK if quick else CodeFormerConfig()
    plain = CodeFormer(config).eval().to(device)
    batches = (1, 2) if quick else BATCHES
    faces = torch.rand(max(batches), 3, config.image_size, config.image_size, device=device)
    _say("\nNetworks                                     ms a face    of plain        peak MiB")
    reference, memory = _timed(partial(_restore, plain, faces[:1]), device, quick)
    _row("CodeFormer plain: float32, one at a time", reference, 1.0, memory)
    for dtype in (torch.float32, torch.bfloat16):
        network = CodeFormer(config).eval().to(device, dtype)
        if dtype == torch.bfloat16:  # as core.restorers lays it out
            network = network.to(memory_format=torch.channels_last)
        for batch in batches:
            seconds, memory = _timed(partial(_restore, network, faces[:batch]), device, quick)
            name = str(dtype).removeprefix("torch.")
            _row(f"CodeFormer ours: {name}, batch {batch}", seconds / batch, seconds / batch / reference, memory)
    del plain, network
    if not BUILTIN.is_file():
        _say("The shipped restorer's weights are not there.")
        return None
    restorer = builtin_restorer(device)
    shipped = None
    for batch in batches:
        faces = torch.rand(batch, 3, geometry.TEMPLATE_SIZE, geometry.TEMPLATE_SIZE)
        seconds, memory = _timed(partial(restorer.restore, faces), device, quick)
        _row(f"shipped restorer: {batch} faces a call", seconds / batch, seconds / batch / reference, memory)
        shipped = seconds / batch
    return shipped


@torch.inference_mode()
def time_surroundings(quick: bool, network: float | None) -> None:
    """Time each step around the network on the CPU, for every size of photograph and number of faces.

    Args:
        quick: only a fiftieth of the pixels.
        network: seconds the shipped restorer takes for a face, to compare with; None where not known.
    """
    device = torch.device("cpu")
    detector = load_detector("built-in")
    pastes: dict[tuple[int, int], tuple[float, float]] = {}
    _say("\nSurroundings [ms]   detect    crop    mask  measure   paste    copy     sum   a face   peak MiB")
    for megapixels in MEGAPIXELS:
        for count in FACES:
            photo = _photo(megapixels * (0.02 if quick else 1))
            faces = _faces(count, photo.shape[-1], photo.shape[-2])
            crops = crop_faces([photo], faces)
            restored = (crops.pixels * 0.9 + 0.05).contiguous()
            steps: list[Callable[[], object]] = [
                partial(detect_faces, [photo], detector),
                partial(crop_faces, [photo], faces),
                face_mask,
                partial(measure_quality, crops),
                partial(paste_faces, [photo], crops, restored, in_place=True),
                photo.clone,
            ]
            timed = [_timed(step, device, quick) for step in steps]
            seconds = [taken for taken, _ in timed]
            pastes[megapixels, count] = seconds[4], seconds[5]
            # The mask is part of the crop, and the copy is spared by who owns the photograph.
            total = seconds[0] + seconds[1] + seconds[3] + seconds[4]
            numbers = " ".join(f"{1e3 * taken:7.1f}" for taken in (*seconds, total, total / count))
            _say(f"{megapixels:2d} MP, {count:2d} faces     {numbers}   {max(memory for _, memory in timed):8.0f}")
            if network is not None:
                _say(f"                     {total / count / network:.2f} of the shipped restorer's time for them")
    for count in FACES:
        (small, small_copy), (large, large_copy) = (pastes[megapixels, count] for megapixels in (1, 24))
        _say(
            f"Paste of {count} at 24 MP over 1 MP: {large / small:.2f} in place, "
            f"{(large + large_copy) / (small + small_copy):.2f} with a copy of the photograph"
        )


def _restore(network: CodeFormer, faces: Tensor) -> Tensor:
    """All steps of CodeFormer at its default fidelity, for all faces in one pass."""
    content, skips = network.encode(faces)
    code_latent, _ = look_up(
        network.predict(content), network.codebook(), Lookup(network.lookup), side=content.shape[-2]
    )
    return network.decode(content, adain(code_latent, content), skips, network.default_content)


def _photo(megapixels: float) -> Tensor:
    """Something with large shapes and grain, 3:2, (3,H,W)."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    generator = torch.Generator().manual_seed(0)
    shapes = F.interpolate(torch.rand(1, 3, 20, 30, generator=generator), (height, height * 3 // 2), mode="bilinear")[0]
    return (shapes * 0.6 + 0.2).add_(torch.randn(shapes.shape, generator=generator), alpha=0.01).clamp_(0, 1)


def _faces(count: int, width: int, height: int) -> list[Face]:
    """Faces of one size on a grid, slightly tilted."""
    columns = min(count, 5)
    rows = -(-count // columns)
    side = min(FACE_SIDE, width // columns, height // rows)
    angle = torch.tensor(0.1, dtype=torch.float64)
    scale = side / geometry.TEMPLATE_SIZE
    turn = scale * torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    found = []
    for number in range(count):
        x, y = number % columns * width / columns, number // columns * height / rows
        affine = torch.cat([turn, torch.tensor([[x], [y]], dtype=torch.float64)], 1)
        points = geometry.transform(affine, torch.tensor(geometry.TEMPLATE, dtype=torch.float64)).tolist()
        face = Face(0, number, (x, y, x + side, y + side), 1.0, tuple((px, py) for px, py in points))
        found.append(face)
    return found


def _timed(run: Callable[[], object], device: torch.device, quick: bool) -> tuple[float, float]:
    """Seconds of the shortest run after a first one, and the peak of memory [MiB] while at it."""
    run()
    _reset_peak(device)
    best, started = float("inf"), time.perf_counter()
    for _ in range(REPEATS):
        begun = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begun)
        if quick or time.perf_counter() - started > PATIENCE:
            break
    return best, _peak(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to what is in use now


def _peak(device: torch.device) -> float:
    """Peak of the device's memory, or of the whole process [MiB]; NaN where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform != "linux":
        return float("nan")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _row(name: str, seconds: float, ratio: float, memory: float) -> None:
    _say(f"{name:44s} {1e3 * seconds:9.1f} {ratio:8.3f} {1 / ratio:6.1f}x {memory:8.0f}")


def _say(line: str) -> None:
    """One line of the report; all output goes through here."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
