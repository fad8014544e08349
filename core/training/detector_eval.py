"""Measure a face detector against SCRFD on held-out photographs, undamaged and damaged.

    python -m resemblance.core.training.detector_eval --data DATA --assets ASSETS

SCRFD labels the undamaged photograph; its boxes and points then go through what the photograph goes through. Counted
are faces of 32 px and more. A table and the same as JSON go to standard output.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..faces.detect import Detector, detect_faces, load_detector
from ..faces.detectors.builtin import BuiltinBackend
from ..records import Face
from .detector_data import Labels, Pixels, Teachers, box_overlap, read_rgb, turned_size

SMALLEST = 32.0  # [px] square root of the box's area
MATCH = 0.5  # IoU from which a found face is the labelled one
SURE = 0.5  # SCRFD's score from which its answer is the truth
SHRUNK = 40.0  # [px] what the widest face measures on shrunk photographs
ANGLE = 30.0  # [degrees], to the left and to the right by turns
BLUR = 3.0  # [px] standard deviation
JPEG = 20

Damage = Callable[[Pixels, Labels, int], tuple[Pixels, Labels]]


def _shrunk(image: Pixels, faces: Labels, _: int) -> tuple[Pixels, Labels]:
    import cv2

    scale = SHRUNK / float(np.sqrt((faces[:, 2:4] - faces[:, :2]).prod(-1)).max())
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    result = faces.copy()
    result[:, :14] = (faces[:, :14] + 0.5) * np.tile(np.array(size) / image.shape[1::-1], 7) - 0.5
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), result


def _rotated(image: Pixels, faces: Labels, index: int) -> tuple[Pixels, Labels]:
    import cv2

    angle = ANGLE if index % 2 else -ANGLE
    height, width = image.shape[:2]
    side = math.ceil(math.hypot(height, width))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    moved = faces[:, :14].reshape(-1, 7, 2).copy()
    centre = moved[:, :2].mean(1) @ matrix[:, :2].T + matrix[:, 2]
    half = turned_size(faces[:, 2:4] - faces[:, :2], math.radians(angle)) / 2
    points = moved[:, 2:] @ matrix[:, :2].T + matrix[:, 2]
    rows = np.concatenate([centre - half, centre + half, points.reshape(-1, 10), faces[:, 14:]], 1)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side)), np.uint8), rows.astype(np.float32)


def _blurred(image: Pixels, faces: Labels, _: int) -> tuple[Pixels, Labels]:
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), BLUR), np.uint8), faces


def _jpeg(image: Pixels, faces: Labels, _: int) -> tuple[Pixels, Labels]:
    import cv2

    code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1]), faces


DAMAGES: dict[str, Damage] = {
    "as they are": lambda image, faces, _: (image, faces),
    "shrunk": _shrunk,
    "rotated": _rotated,
    "blurred": _blurred,
    "jpeg": _jpeg,
}


def compare(found: list[Face], faces: Labels) -> tuple[int, int, int, list[float]]:
    """How what was found fits the labels (n,15).

    Returns:
        Labelled faces that were found and that count, labelled faces that count, found faces that count and are nobody,
        and for each match the mean distance of the five points as a share of the face's width.
    """
    rows = np.array([[*f.box, *np.ravel(f.landmarks)] for f in found], np.float32).reshape(-1, 14)
    large = np.sqrt((faces[:, 2:4] - faces[:, :2]).prod(-1)) >= SMALLEST
    table = box_overlap(rows, faces)
    hits, errors = 0, []
    free = np.ones(len(rows), bool)
    for i in np.argsort(-table.max(0, initial=0)):
        column = table[:, i] * free
        if len(rows) and column.max() >= MATCH:
            j = int(column.argmax())
            free[j] = False
            if large[i]:
                hits += 1
                gap = (rows[j, 4:] - faces[i, 4:14]).reshape(5, 2)
                errors.append(float(np.hypot(gap[:, 0], gap[:, 1]).mean() / (faces[i, 2] - faces[i, 0])))
    wrong = free & (np.sqrt((rows[:, 2:4] - rows[:, :2]).prod(-1)) >= SMALLEST)
    return hits, int(large.sum()), int(wrong.sum()), errors


def evaluate(
    detector: Detector, photos: list[tuple[str, Pixels, Labels]], threshold: float
) -> dict[str, dict[str, Any]]:
    """Recall, precision and points of `detector` for every damage; the names of photographs with errors go along."""
    table = {}
    for name, damage in DAMAGES.items():
        hits = wanted = wrong = 0
        errors: list[float] = []
        faults = []
        for index, (path, image, faces) in enumerate(photos):
            damaged, moved = damage(image, faces, index)
            picture = torch.from_numpy(np.ascontiguousarray(damaged)).permute(2, 0, 1).float() / 255
            found = detect_faces([picture], detector, threshold)
            hit, want, bad, error = compare(found, moved)
            hits, wanted, wrong = hits + hit, wanted + want, wrong + bad
            errors += error
            if hit < want or bad:
                faults.append(f"{path} missed {want - hit} wrong {bad}")
        table[name] = {
            "faces": wanted,
            "recall": hits / max(wanted, 1),
            "precision": hits / max(hits + wrong, 1),
            "points": float(np.mean(errors or [1.0])),
            "faults": faults,
        }
    return table


def read_labelled(data: Path, split: str, teachers: Teachers, every: int) -> list[tuple[str, Pixels, Labels]]:
    """Every so-manieth photograph of a split in which SCRFD finds a face, with SCRFD's labels."""
    photos = []
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if row["split"] == split]
    for path in paths[::every]:
        image = read_rgb(data / path)
        faces = teachers.scrfd(image, 640)
        faces = faces[faces[:, 14] >= SURE]
        if len(faces):
            photos.append((path, image, faces))
    return photos


def speed(detector: Detector, threads: int) -> float:
    """Median time [ms] for a noisy picture of 640 x 640 px."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    picture = torch.rand(3, 640, 640, generator=torch.Generator().manual_seed(0))
    times = []
    for _ in range(15):
        start = time.perf_counter()
        detect_faces([picture], detector)
        times.append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return float(np.median(times[3:])) * 1000


def group(detector: Detector, teachers: Teachers, threshold: float) -> dict[str, float]:
    """The group photograph that comes with insightface."""
    from insightface.data import get_image

    image = np.ascontiguousarray(get_image("t1")[..., ::-1])
    faces = teachers.scrfd(image, 640)
    faces = faces[faces[:, 14] >= SURE]
    found = detect_faces([torch.from_numpy(image).permute(2, 0, 1).float() / 255], detector, threshold)
    hits, wanted, wrong, errors = compare(found, faces)
    return {"faces": wanted, "found": hits, "wrong": wrong, "points": float(np.mean(errors or [1.0]))}


def main() -> None:
    """Print the table and the JSON."""
    parser = argparse.ArgumentParser(description="Measure a face detector against SCRFD.")
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs with manifest.csv")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--weights", type=Path, help="weights of the built-in detector (default: the shipped ones)")
    parser.add_argument("--backend", default="built-in", help="another detector to measure")
    parser.add_argument("--models", type=Path, help="folder of the other detector's files")
    parser.add_argument("--split", default="val", help="choose thresholds by 'train', report on 'val'")
    parser.add_argument("--every", type=int, default=1, help="take every so-manieth photograph only")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    detector = Detector(BuiltinBackend(args.weights)) if args.weights else load_detector(args.backend, args.models)
    teachers = Teachers(args.assets)
    table = evaluate(detector, read_labelled(args.data, args.split, teachers, args.every), args.threshold)
    found = group(detector, teachers, args.threshold)
    milliseconds = speed(detector, args.threads)
    lines = ["photographs    faces  recall  precision  points / width"]
    for name, row in table.items():
        lines.append(f"{name:13s}{row['faces']:7d}{row['recall']:8.3f}{row['precision']:11.3f}{row['points']:16.3f}")
    lines.append(f"group photograph: {found['found']} of {found['faces']}, {found['wrong']} wrong")
    lines.append(f"640 px: {milliseconds:.0f} ms on {args.threads} threads")
    result = {"photographs": table, "group": found, "milliseconds": milliseconds}
    sys.stdout.write("\n".join(lines) + "\n" + json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
