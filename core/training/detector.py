"""Train the built-in detector.

    python -m resemblance.core.training.detector --data DATA --work WORK --minutes 40

WORK is the folder in which :mod:`.faces` drew its faces. Photographs are labelled first (cached), then the network
trains for so many minutes of its own time. A second call resumes from ``detector.pt``, written every two minutes with a
half precision copy for use, ``detector.safetensors``. The learning rate follows the share of the time that is spent.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import logging
import math
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.detector import DetectorConfig, FaceDetector, fold, places
from .detector_data import Bank, Scenes, build, load

log = logging.getLogger(__name__)

# The least score with a precision of 0.99 under every damage on train photographs (detector_eval --split train); recall
# is 0.98 there. The shipped network's scores are shifted so that it is 0.5.
WORKING_POINT = 0.70


@dataclass(frozen=True)
class Schedule:
    """How the network is trained.

    Attributes:
        sizes: side of the scenes [px], scenes in a batch, share of the batches, scenes kept for reuse.
        fresh: share of each batch that is drawn anew (the others are seen again, maybe mirrored).
        rate, decay: AdamW's learning rate at its peak and weight decay.
        warmup: steps until the peak; then a cosine down to a fiftieth.
        average: decay of the moving average of the weights, which is what ships.
    """

    sizes: tuple[tuple[int, int, float, int], ...] = ((320, 16, 0.8, 1200), (512, 6, 0.2, 240))
    fresh: float = 0.4
    rate: float = 2e-3
    decay: float = 1e-3
    warmup: int = 150
    average: float = 0.998


class Pool:
    """Scenes drawn by one thread beside the training, as many as were asked for and no more."""

    def __init__(self, bank: Bank, size: int, keep: int, seed: int) -> None:
        self.scenes = Scenes(bank, seed)
        self.size, self.keep = size, keep
        self.items: list[tuple[np.ndarray, np.ndarray]] = []
        self.rng = np.random.default_rng(seed + 1)
        self.next = 0

    def refresh(self) -> None:
        """Draw one scene; the oldest one goes once there are enough."""
        item = self.scenes.draw(self.size)
        if len(self.items) < self.keep:
            self.items.append(item)
        else:
            self.items[self.next] = item
            self.next = (self.next + 1) % self.keep

    def batch(self, count: int) -> tuple[Tensor, list[Tensor]]:
        """Pictures (count,3,size,size) in [0,1] and their faces."""
        chosen = [self.items[i] for i in self.rng.integers(0, len(self.items), count)]
        pictures = torch.from_numpy(np.stack([c[0] for c in chosen])).permute(0, 3, 1, 2).float() / 255
        labels = [torch.from_numpy(c[1]) for c in chosen]
        if self.rng.random() < 0.5:
            pictures, labels = pictures.flip(-1), [mirrored(faces, self.size) for faces in labels]
        return pictures.contiguous(memory_format=torch.channels_last), labels


def mirrored(faces: Tensor, width: int) -> Tensor:
    """Faces (n,15) of the mirrored picture; left and right points change places."""
    points = faces[:, 4:14].unflatten(1, (5, 2))[:, [1, 0, 2, 4, 3]].clone()
    points[..., 0] = width - 1 - points[..., 0]
    x0, x1 = width - 1 - faces[:, 2:3], width - 1 - faces[:, 0:1]
    return torch.cat([x0, faces[:, 1:2], x1, faces[:, 3:4], points.flatten(1), faces[:, 14:]], 1)


class Feeder:
    """Gives batches, and lets a thread draw the fresh scenes meanwhile."""

    def __init__(self, bank: Bank, schedule: Schedule, seed: int) -> None:
        self.schedule = schedule
        self.pools = [Pool(bank, size, keep, seed + 7 * i) for i, (size, _, _, keep) in enumerate(schedule.sizes)]
        self.rng = np.random.default_rng(seed)
        # Never more than a hundred behind: on a busy machine scenes are seen more often instead.
        self.orders: queue.Queue[Pool] = queue.Queue(100)
        for pool, (_, count, _, _) in zip(self.pools, schedule.sizes, strict=True):
            for _ in range(8 * count):
                pool.refresh()
        threading.Thread(target=self._draw, daemon=True).start()

    def _draw(self) -> None:
        while True:
            self.orders.get().refresh()

    def __iter__(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        shares = [share for _, _, share, _ in self.schedule.sizes]
        while True:
            i = int(self.rng.choice(len(shares), p=shares))
            count = self.schedule.sizes[i][1]
            with contextlib.suppress(queue.Full):
                for _ in range(int(self.rng.binomial(count, self.schedule.fresh))):
                    self.orders.put_nowait(self.pools[i])
            yield self.pools[i].batch(count)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (...,) of boxes (...,4) and (...,4), in [-1,1] (Rezatofighi et al., CVPR 2019)."""
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return inter / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


@torch.no_grad()
def assign(
    logits: Tensor, boxes: Tensor, faces: Tensor, centres: Tensor, strides: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Which places of one picture answer for which face (SimOTA: Ge et al., "YOLOX", 2021).

    Args:
        logits, boxes: predictions (P,), (P,4).
        faces: (n,15) labels.
        centres, strides: of the places, (P,2) and (P,1).

    Returns:
        Places and faces that belong together, (M,) each, and (P,) which places lie in ignored faces.
    """
    demanded = faces[:, 14] > 0
    low, high = faces[:, None, :2], faces[:, None, 2:4]
    inside = ((centres > low) & (centres < high)).all(-1)  # (n,P)
    ignored = inside[~demanded].any(0)
    index = demanded.nonzero().squeeze(1)
    if not len(index):
        empty = torch.zeros(0, dtype=torch.long)
        return empty, empty, ignored
    faces = faces[index]
    middle = (faces[:, :2] + faces[:, 2:4]) / 2
    side = (faces[:, 2:4] - faces[:, :2]).prod(-1).sqrt()
    # A place may answer when it is near the middle, and its stride fits the face: 1.2 to 12 strides wide.
    reach = torch.maximum(0.25 * side[:, None], 1.5 * strides.T).minimum(2.5 * strides.T)
    near = ((centres - middle[:, None]).abs().amax(-1) < reach) & inside[index]
    near &= (side[:, None] < 12 * strides.T) | (strides.max() == strides.T)
    near &= (side[:, None] > 1.2 * strides.T) | (strides.min() == strides.T)
    iou = overlap(boxes[None], faces[:, None, :4]).clamp(min=0)
    cost = 3 * (1 - iou) + F.softplus(-logits)[None] + 1e4 * ~near
    wanted = iou.masked_fill(~near, 0).topk(10, 1).values.sum(1).int().clamp(min=1)
    match = torch.zeros_like(near)
    for i, k in enumerate(wanted.tolist()):
        match[i, cost[i].topk(k, largest=False).indices] = True
    match &= near
    best = cost.argmin(0)  # a place wanted by two faces goes to the cheaper
    match &= torch.arange(len(faces))[:, None] == best
    which, place = match.nonzero(as_tuple=True)
    return place, index[which], ignored


def loss(logits: Tensor, boxes: Tensor, points: Tensor, labels: list[Tensor], size: int) -> dict[str, Tensor]:
    """Quality focal loss on scores (Li et al., 2020), GIoU on boxes, smooth L1 on points in units of the face."""
    centres, strides = places([(size // s, size // s) for s in (8, 16, 32)], logits.device)
    target, weight = torch.zeros_like(logits), torch.ones_like(logits)
    box_loss = point_loss = logits.sum() * 0
    total = 0
    for b, faces in enumerate(labels):
        if not len(faces):
            continue
        place, which, ignored = assign(logits[b].detach(), boxes[b].detach(), faces, centres, strides)
        weight[b, ignored] = 0
        if not len(place):
            continue
        weight[b, place] = 1
        iou = overlap(boxes[b, place], faces[which, :4])
        # The root lifts the target of small faces, whose boxes can never fit as well as those of large ones.
        target[b, place] = iou.detach().clamp(0.05, 1).sqrt()
        side = (faces[which, 2:4] - faces[which, :2]).prod(-1).sqrt()
        error = (points[b, place] - faces[which, 4:14].unflatten(1, (5, 2))) / side[:, None, None]
        box_loss = box_loss + (1 - iou).sum()
        point_loss = (
            point_loss
            + F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.02, reduction="none").mean((1, 2)).sum()
        )
        total += len(place)
    score = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    score = score * (logits.sigmoid().detach() - target).abs().square() * weight
    n = max(total, 1)
    return {"score": score.sum() / n * 2, "box": box_loss / n, "points": point_loss / n * 8}


def export(network: FaceDetector, path: Path) -> None:
    """Write the weights as they ship: normalisation folded, scores shifted, half precision, safetensors."""
    from safetensors.torch import save_file

    state = fold(network).state_dict()
    state["head.bias"][0] -= math.log(WORKING_POINT / (1 - WORKING_POINT))
    state = {name: tensor.half().contiguous() for name, tensor in state.items()}
    part = path.with_suffix(".part")
    save_file(state, part)
    part.replace(path)


def train(bank: Bank, work: Path, minutes: float, schedule: Schedule, seed: int = 0) -> None:
    """Train for `minutes` in all, going on from ``work/detector.pt`` when there is one."""
    torch.manual_seed(seed)
    network = FaceDetector(DetectorConfig(normalise=True)).to(memory_format=torch.channels_last)
    _initialise(network)
    average = copy.deepcopy(network).requires_grad_(False)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": schedule.decay}, {"params": plain, "weight_decay": 0.0}], lr=schedule.rate
    )
    checkpoint = work / "detector.pt"
    spent, step = 0.0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        spent, step = state["spent"], state["step"]
        log.info("resumed at step %d, %.1f minutes", step, spent / 60)
    network.train()

    def save() -> None:
        part = checkpoint.with_suffix(".part")
        torch.save(
            {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "spent": spent,
                "step": step,
            },
            part,
        )
        part.replace(checkpoint)
        export(average, work / "detector.safetensors")

    sums: dict[str, float] = {}
    saved = shown = time.monotonic()
    last = saved
    for pictures, labels in Feeder(bank, schedule, seed + step):
        share = spent / (60 * minutes)
        if share >= 1:
            break
        rate = schedule.rate * min(1.0, (step + 1) / schedule.warmup) * (0.51 + 0.49 * math.cos(math.pi * share))
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            logits, boxes, points = network(pictures)
        parts = loss(logits, boxes, points, labels, pictures.shape[-1])
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        step += 1
        decay = min(schedule.average, step / (step + 20))
        with torch.no_grad():
            for a, p in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                a.lerp_(p, 1 - decay) if a.is_floating_point() else a.copy_(p)
        now = time.monotonic()
        spent, last = spent + now - last, now
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if step % 50 == 0:
            text = "  ".join(f"{name} {value / 50:.3f}" for name, value in sums.items())
            log.info(
                "step %d  %.1f min  %s  rate %.1e  %.2f s a step", step, spent / 60, text, rate, (now - shown) / 50
            )
            sums, shown = {}, now
        if now - saved > 120:
            save()
            saved = time.monotonic()
    save()
    log.info("done: %d steps", step)


def _initialise(network: FaceDetector) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    nn.init.normal_(network.head.weight, std=0.01)
    bias = network.head.bias
    assert bias is not None
    nn.init.zeros_(bias)
    with torch.no_grad():
        bias[0] = -4.6  # one place in a hundred is a face
        bias[3:5] = math.log(3.0)  # faces are a few strides wide
        # Where the points of a face of three strides lie, so that training need not find the order of magnitude.
        bias[5:] = torch.tensor([-0.6, -0.4, 0.6, -0.4, 0.0, 0.2, -0.5, 0.8, 0.5, 0.8])


def main() -> None:
    """Label, then train."""
    parser = argparse.ArgumentParser(description="Train the built-in detector.")
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs with manifest.csv")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder of generated faces; caches and results go there"
    )
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--generated", type=int, default=3000, help="how many generated faces to use")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(args.threads)
    build(args.data, args.work, args.assets, args.generated)
    train(load(args.work), args.work, args.minutes, Schedule())


if __name__ == "__main__":
    main()
