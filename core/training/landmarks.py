"""106 landmarks of every aligned face: what teaches the references' flow where things went.

    python -m resemblance.core.training.landmarks --work WORK

writes ``WORK/<set>_landmarks.npy`` (N,106,2) [px of 512] beside each array of faces, NaN where a face is not drawn yet.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import cv2
import numpy as np

from .assets import asset
from .faces import open_faces

log = logging.getLogger(__name__)

SETS = ("generated", "references", "photographs")
INPUT = 192  # px; an aligned face fills it about as the network's own crops do


class Landmarks:
    """insightface's 2d106det on faces that are aligned already."""

    def __init__(self, assets: str | Path | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        path = str(asset("landmarks", assets))
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, face: np.ndarray) -> np.ndarray:
        """uint8 RGB (512,512,3) to (106,2), x then y [px]."""
        small = cv2.resize(face, (INPUT, INPUT), interpolation=cv2.INTER_AREA).astype(np.float32)
        (points,) = self._session.run(None, {self._input: small.transpose(2, 0, 1)[None]})
        return (points.reshape(-1, 2) + 1) * (face.shape[0] / 2)


def read_landmarks(work: Path, name: str) -> np.ndarray:
    """The landmarks (N,106,2) of one of ``SETS``."""
    return np.load(work / f"{name}_landmarks.npy")


def main() -> None:
    """Find what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the faces")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    find = Landmarks(args.assets)
    for name in SETS:
        path = args.work / f"{name}_landmarks.npy"
        faces = open_faces(args.work / f"{name}_512.u8", 0, 512)
        points = np.full((len(faces), 106, 2), np.nan, np.float32)
        if path.exists():
            known = np.load(path)
            points[: len(known)] = known
        for i, face in enumerate(faces):
            if np.isnan(points[i]).any() and face[::64].any():
                points[i] = find(face)
        np.save(path, points)
        log.info("%s: %d of %d faces", name, int(np.isfinite(points[:, 0, 0]).sum()), len(points))


if __name__ == "__main__":
    main()
