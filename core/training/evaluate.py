"""The standing table: damaged faces, the best classical filter, a restorer, and a plain blend of input and output.

Photographs of the London set's validation people, aligned, damaged with a seed of their own, judged at 512 px (LPIPS
with VGG at 256 px, for the time it takes). "restored" is the restorer's output as it is, "by damage" what the product
does: blended in by as much as the face is damaged. Settings are chosen on the people in odd places of the list and
reported on those in even places. Intervals are 90% bootstraps over faces.

    python -m resemblance.core.training.evaluate --work WORK --json table.json --grid grid.jpg
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..crop import crop_faces
from ..geometry import TEMPLATE
from ..measure import damage, measure_quality
from ..pipeline import strength_for
from ..records import Face
from ..restorers import Restorer, load_restorer
from .data import to_tensor
from .degradation import degrade
from .judges import Recognizer, lpips
from .photographs import read_portraits

log = logging.getLogger(__name__)

SEVERITIES = ("moderate", "severe")
BLEND = 0.5
METRICS = ("psnr", "lpips_alex", "lpips_vgg", "sface", "arcface")
BATCH = 4


def classical_filters() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What can be had without learning, on (512,512,3) uint8. The damaged face is already enlarged bilinearly."""
    return {
        "bicubic": lambda x: cv2.resize(
            cv2.resize(x, (128, 128), interpolation=cv2.INTER_AREA), (512, 512), interpolation=cv2.INTER_CUBIC
        ),
        "bilateral": lambda x: cv2.bilateralFilter(x, 9, 30, 7),
        "non-local means": lambda x: cv2.fastNlMeansDenoisingColored(x, None, 5, 5, 7, 15),
    }


class Judges:
    """All the numbers for pairs of faces."""

    def __init__(self, assets: str | None) -> None:
        self.lpips = {net: lpips(net, assets) for net in ("alex", "vgg")}
        self.recognizers = {name: Recognizer(name, assets) for name in ("sface", "arcface")}

    @torch.inference_mode()
    def perceived(self, faces: Tensor, truth: Tensor) -> float:
        """Mean LPIPS-Alex."""
        pairs = zip(faces.split(BATCH), truth.split(BATCH), strict=True)
        return float(torch.cat([self.lpips["alex"](x, y).flatten() for x, y in pairs]).mean())

    @torch.inference_mode()
    def __call__(self, faces: Tensor, truth: Tensor) -> dict[str, list[float]]:
        """(N,3,512,512) twice, in [0,1], to {metric: N numbers}."""
        faces = ((faces.clamp(0, 1) * 255).round() / 255).float()  # as it would be saved
        result: dict[str, list[float]] = {name: [] for name in METRICS}
        for x, y in zip(faces.split(BATCH), truth.split(BATCH), strict=True):
            result["psnr"] += (-10 * (x - y).square().mean((1, 2, 3)).log10()).tolist()
            result["lpips_alex"] += self.lpips["alex"](x, y).flatten().tolist()
            result["lpips_vgg"] += self.lpips["vgg"](F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)).flatten().tolist()
            for name, recognizer in self.recognizers.items():
                result[name] += (recognizer(x) * recognizer(y)).sum(1).tolist()
        return result


def people(work: Path, half: str) -> tuple[list[np.ndarray], list[str]]:
    """Aligned London validation faces of one half (``odd``: to choose by, ``even``: to report) and their names."""
    faces, portraits = read_portraits(work)
    chosen = [p for p in portraits if p.collection == "london" and p.split == "val"]
    names = sorted({p.person for p in chosen})
    wanted = set(names[(0 if half == "even" else 1) :: 2])
    chosen = [p for p in chosen if p.person in wanted]
    return [np.array(faces[p.row]) for p in chosen], [Path(p.path).stem for p in chosen]


def damage_all(faces: list[np.ndarray], names: list[str], severity: str) -> list[np.ndarray]:
    """Damaged faces, each by a seed of its name and severity: every table sees the same ones."""
    seeds = [zlib.crc32(f"{name} {severity}".encode()) for name in names]
    return [degrade(face, severity, np.random.default_rng(seed)) for face, seed in zip(faces, seeds, strict=True)]


def summary(values: list[float]) -> dict[str, float]:
    """Mean and 90% bootstrap interval."""
    x = np.array(values)
    means = x[np.random.default_rng(0).integers(0, len(x), (2000, len(x)))].mean(1)
    return {"mean": float(x.mean()), "low": float(np.quantile(means, 0.05)), "high": float(np.quantile(means, 0.95))}


def strengths(damaged: Tensor) -> Tensor:
    """How much of the restored face the product blends in, (N,1,1,1), for faces that fill the template."""
    faces = [Face(i, 0, (0, 0, 511, 511), 1.0, TEMPLATE) for i in range(len(damaged))]
    measured = measure_quality(crop_faces(damaged, faces))
    return torch.tensor([strength_for(damage(quality)) for quality in measured]).view(-1, 1, 1, 1)


def evaluate(
    faces: list[np.ndarray], names: list[str], restorer: Restorer, fidelity: float | None, judges: Judges
) -> tuple[dict, dict[str, tuple[Tensor, ...]]]:
    """The table {severity: {row: {metric: summary}}} and pictures {severity: (damaged, classical, restored, truth)}."""
    truth = to_tensor(faces)
    table: dict = {}
    pictures: dict[str, tuple[Tensor, ...]] = {}
    for severity in SEVERITIES:
        bad = damage_all(faces, names, severity)
        damaged = to_tensor(bad)
        rows: dict[str, dict[str, list[float]]] = {"degraded": judges(damaged, truth)}
        filtered = {name: to_tensor([f(x) for x in bad]) for name, f in classical_filters().items()}
        best = min(filtered, key=lambda name: judges.perceived(filtered[name], truth))
        rows[f"classical: {best}"] = judges(filtered[best], truth)
        begun = time.perf_counter()
        restored = restorer.restore(damaged, fidelity)
        log.info("%s: %.2f s a face", severity, (time.perf_counter() - begun) / len(faces))
        rows["restored"] = judges(restored, truth)
        rows["by damage"] = judges(torch.lerp(damaged, restored, strengths(damaged)), truth)
        rows[f"blend {BLEND}"] = judges(torch.lerp(damaged, restored, BLEND), truth)
        table[severity] = {row: {m: summary(v) for m, v in scores.items()} for row, scores in rows.items()}
        pictures[severity] = (damaged, filtered[best], restored, truth)
    return table, pictures


def as_text(table: dict) -> str:
    """The table in Markdown."""
    lines = ["| damage | | " + " | ".join(METRICS) + " |", "|" + "---|" * (len(METRICS) + 2)]
    for severity, rows in table.items():
        for row, scores in rows.items():
            cells = []
            for metric in METRICS:
                mean, low, high = (scores[metric][k] for k in ("mean", "low", "high"))
                digits = 2 if metric == "psnr" else 3
                cells.append(f"{mean:.{digits}f} ± {(high - low) / 2:.{digits}f}")
            lines.append(f"| {severity} | {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def save_grid(pictures: dict[str, tuple[Tensor, ...]], path: Path, rows: int = 6, side: int = 256) -> None:
    """Damaged, classical, restored, truth beside each other: `rows` people of each severity."""
    blocks = []
    for columns in pictures.values():
        step = max(1, len(columns[0]) // rows)
        block = [torch.cat(list(column[::step][:rows]), 1) for column in columns]
        blocks.append(torch.cat(block, 2))
    grid = (torch.cat(blocks, 2).clamp(0, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    scale = side / 512
    Image.fromarray(grid).resize(
        (round(grid.shape[1] * scale), round(grid.shape[0] * scale)), Image.Resampling.LANCZOS
    ).save(path, quality=92)


def main() -> None:
    """Print the table; save it and the grid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder with the aligned photographs")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--weights", type=Path, help="a restorer (default: the shipped one)")
    parser.add_argument("--fidelity", type=float, help="content weight (default: the restorer's own)")
    parser.add_argument("--half", choices=("odd", "even"), default="even")
    parser.add_argument("--limit", type=int, help="only the first so many faces: a rehearsal")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--grid", type=Path)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    restorer = load_restorer(args.weights, dtype=torch.float32)
    faces, names = people(args.work, args.half)
    faces, names = faces[: args.limit], names[: args.limit]
    table, pictures = evaluate(faces, names, restorer, args.fidelity, Judges(args.assets))
    log.info("%d faces, %s half, %s\n%s", len(faces), args.half, restorer.name, as_text(table))
    if args.json:
        args.json.write_text(json.dumps(table, indent=1))
    if args.grid:
        save_grid(pictures, args.grid)


if __name__ == "__main__":
    main()
