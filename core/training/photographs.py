"""Real photographs to train and to report on: found, aligned to the 512 px template and kept in one array.

    python -m resemblance.core.training.photographs --data DATA --work WORK

reads ``DATA/manifest.csv`` (path, source, licence, person, width, height, split), finds the main face of each
photograph with SCRFD and writes ``WORK/photographs_512.u8`` with ``WORK/photographs.csv`` (path, person, split,
scale: template px for one px of the photograph; above about 1.2 the photograph holds no detail at 512 px and must not
count as truth there). Run again it adds the photographs that are not in there yet.
"""

from __future__ import annotations

import argparse
import csv
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..geometry import fit_similarity, scale_of, template, warp
from .assets import asset
from .faces import open_faces

log = logging.getLogger(__name__)

SIZE = 512
FACE = 0.52  # width of a face in parts of its template
MAX_SCALE = 1.25  # above, a photograph is truth at half the size only
LOOKS = (640, 320, 160)  # px that a photograph is scaled to for SCRFD, which misses faces that fill its input
OFF_CENTRE = 2.0  # how much of a face's area [px²] its squared distance from the photograph's centre takes away


@dataclass(frozen=True)
class Portrait:
    """One aligned photograph: its row in the array, where it came from and how much it was enlarged."""

    row: int
    path: str
    person: str
    split: str
    scale: float

    @property
    def collection(self) -> str:
        """The folder it lies in: london, members, portraits, congress, lfw or wild."""
        return self.path.split("/")[0]


def align_all(data: Path, work: Path, assets: str | Path | None) -> None:
    """Find, align and store every photograph of the manifest that is not stored yet."""
    from insightface.model_zoo import get_model

    detector = get_model(str(asset("scrfd", assets)), providers=["CPUExecutionProvider"])
    detector.prepare(ctx_id=-1, input_size=(640, 640), det_thresh=0.5)
    with (data / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    faces = open_faces(work / "photographs_512.u8", len(rows), SIZE)
    kept = read_portraits(work)[1] if (work / "photographs.csv").is_file() else []
    stored = {p.path for p in kept}
    for i, row in enumerate(rows):
        if row["path"] in stored:
            continue
        photo = np.asarray(Image.open(data / row["path"]).convert("RGB"))
        points = main_face(photo, detector)
        if points is None:
            log.info("no face in %s", row["path"])
            continue
        affine = fit_similarity(torch.from_numpy(points), template(SIZE))
        pixels = torch.from_numpy(photo.copy()).permute(2, 0, 1).float()
        aligned = warp(pixels, affine, (SIZE, SIZE)).round().clamp(0, 255)
        faces[len(kept)] = aligned.permute(1, 2, 0).to(torch.uint8).numpy()
        kept.append(Portrait(len(kept), row["path"], row["person"], row["split"], float(scale_of(affine))))
        if i % 200 == 199:
            log.info("%d of %d photographs", i + 1, len(rows))
    with (work / "photographs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "person", "split", "scale"])
        writer.writerows([p.path, p.person, p.split, f"{p.scale:.3f}"] for p in kept)


def main_face(photo: np.ndarray, detector: Any) -> np.ndarray | None:
    """The five points (5,2) of the face that a portrait (H,W,3) uint8 RGB is of; None without a face.

    The largest and most central one of all looks: a face that fills the photograph is missed by the first, which may
    still find somebody at its edge.
    """
    best: tuple[float, np.ndarray] | None = None
    centre = np.array(photo.shape[1::-1]) / 2
    for side in LOOKS:
        boxes, points = detector.detect(photo[..., ::-1], input_size=(side, side))
        for box, five in zip(boxes, points, strict=True):
            off = (box[:2] + box[2:4]) / 2 - centre
            worth = float((box[2] - box[0]) * (box[3] - box[1]) - OFF_CENTRE * (off @ off))
            if best is None or worth > best[0]:
                best = worth, five
    return None if best is None else best[1]


def read_portraits(work: Path) -> tuple[np.ndarray, list[Portrait]]:
    """The array of aligned faces (N,512,512,3) uint8 and the list of what they are."""
    with (work / "photographs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    portraits = [Portrait(i, r["path"], r["person"], r["split"], float(r["scale"])) for i, r in enumerate(rows)]
    return open_faces(work / "photographs_512.u8", len(rows), SIZE), portraits


def main() -> None:
    """Align the photographs of a manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    align_all(args.data, args.work, args.assets)


if __name__ == "__main__":
    main()
