"""Finding faces: one function and one record, whatever network finds them.

A network sees faces of a certain range of sizes well. So a photograph is looked at with its long side at 640 px, for
large faces, and where it is larger once more, as large as its smallest faces need and `size` allows. A photograph
without a clear upright face is also looked at in the other three turns (:mod:`.turned`).
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..records import Face
from .crop import check_photos
from .detectors import facexlib, insightface
from .detectors.builtin import BuiltinBackend
from .detectors.overlap import suppress
from .turned import Found, back, doubtful, settled, turn

log = logging.getLogger(__name__)

BACKENDS = ("insightface", "facexlib", "built-in")  # best first
ONCE_CALLED = {"builtin": "built-in"}  # in graphs and scripts from before 0.1.0
OVERVIEW = 640  # [px] long side of the look for large faces: what SCRFD and RetinaFace were made for
NEEDED = 13.0  # [px] a face narrower than this is easily missed
LARGEST = 320.0  # [px] larger faces are the overview's business
SIZE = 3072
TURNED_SIZE = 1280  # [px] the long side at most at which the other turns are looked at
DEPTH = 3  # folders below `models_dir` that are searched: models/insightface/models/buffalo_l is three

Detect = Callable[[Tensor], Sequence[Face]]  # photographs → faces: :func:`detect_faces` with its options filled in
Folders = Path | str | Sequence[Path | str] | None


class Backend(Protocol):
    """A network that finds faces in one picture of moderate size."""

    @property
    def name(self) -> str:
        """One of ``BACKENDS``."""
        ...

    @property
    def network(self) -> nn.Module | None:
        """What memory management moves; None where another library holds it."""
        ...

    def find(self, picture: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
        """Picture (3,H,W) in [0,1] → boxes (n,4), points (n,5,2) [px of the picture] and scores (n,), on the CPU."""
        ...


@dataclass(frozen=True, eq=False)
class Detector:
    """A backend that is loaded, to be used for many photographs.

    Attributes:
        backend: the network.
    """

    backend: Backend

    @property
    def name(self) -> str:
        """Which of ``BACKENDS`` it is, for reports."""
        return self.backend.name

    def find(self, photo: Tensor, threshold: float, min_size: float, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Faces of one photograph (3,H,W): boxes (n,4), points (n,5,2) [px] and scores (n,), likeliest first."""
        found = self._upright(photo, threshold, min_size, size)
        if not doubtful(photo, found, self._look_small):
            return found
        looks = [found]
        for quarters in (1, 2, 3):
            seen = self._upright(turn(photo, quarters), threshold, min_size, min(size, TURNED_SIZE))
            looks.append(back(seen, quarters, *photo.shape[-2:]))
        return settled(looks)

    def _look_small(self, picture: Tensor, threshold: float) -> Found:
        return self.backend.find(picture.clamp(0, 1), threshold)

    def _upright(self, photo: Tensor, threshold: float, min_size: float, size: int) -> Found:
        """Upright faces, as :meth:`find` has them."""
        long_side = max(photo.shape[-2:])
        near = min(long_side, size, max(OVERVIEW, round(long_side * NEEDED / max(min_size, 1.0))))
        picture = _shrink(photo, near)
        boxes, points, scores = self._look(picture, photo, threshold)
        if near > 1.25 * OVERVIEW:
            large = self._look(_shrink(picture, OVERVIEW), photo, threshold)
            small = (boxes[:, 2:] - boxes[:, :2]).amax(1) <= LARGEST * long_side / near
            pairs = zip((boxes[small], points[small], scores[small]), large, strict=True)
            boxes, points, scores = (torch.cat(pair) for pair in pairs)
        kept = suppress(boxes, scores)
        kept = kept[(boxes[kept, 2:] - boxes[kept, :2]).amax(1) >= min_size]
        return boxes[kept], points[kept], scores[kept]

    def _look(self, picture: Tensor, photo: Tensor, threshold: float) -> Found:
        """What the backend finds in a shrunk picture, in px of the photograph: the edges of the two coincide."""
        boxes, points, scores = self._look_small(picture, threshold)
        ratio = torch.tensor([photo.shape[-1] / picture.shape[-1], photo.shape[-2] / picture.shape[-2]])
        return (boxes + 0.5) * ratio.repeat(2) - 0.5, (points + 0.5) * ratio - 0.5, scores


def load_detector(backend: str = "auto", models_dir: Folders = None, device: torch.device | str = "cpu") -> Detector:
    """Load a detector from disk; nothing is ever downloaded.

    Args:
        backend: ``"insightface"``, ``"facexlib"``, ``"built-in"``, or ``"auto"``: the first of these that is
            installed and whose weights are in `models_dir`.
        models_dir: a folder, or several, searched three levels deep for the files of insightface (``det_*.onnx``,
            ``scrfd_*.onnx``) and facexlib (``detection_Resnet50_Final.pth``, ``detection_mobilenet0.25_Final.pth``):
            ComfyUI's ``models`` folder will do. `built-in` needs none.
        device: where it runs.

    Returns:
        The detector; its `name` says which it is.

    Raises:
        ValueError: the backend is unknown or not installed, or its file holds something else.
        FileNotFoundError: `models_dir` has no weights for it.
        OSError: a file cannot be read.
    """
    if backend != "auto":
        return _load(backend, models_dir, device)
    *better, last = available_backends(models_dir)
    for name in better:
        try:
            return _load(name, models_dir, device)
        except (OSError, ValueError) as error:
            log.warning("The detector '%s' is passed over: %s", name, error)
    return _load(last, models_dir, device)


def available_backends(models_dir: Folders = None) -> tuple[str, ...]:
    """Those of ``BACKENDS`` that are installed and have their weights in `models_dir`, best first."""
    return tuple(
        name
        for name in BACKENDS
        if name not in LIBRARIES or (_installed(name) and find_files(LIBRARIES[name][0], models_dir))
    )


def detect_faces(
    photos: Tensor | Sequence[Tensor],
    backend: str | Detector = "auto",
    threshold: float = 0.5,
    min_size: float = 16.0,
    max_faces: int | None = None,
    order: str = "left-right",
    models_dir: Folders = None,
    size: int = SIZE,
) -> list[Face]:
    """Find the faces of photographs.

    Args:
        photos: (B,3,H,W), or any number of (3,H,W), float RGB in [0,1].
        backend: a loaded detector, to be used again and again, or a name for :func:`load_detector`.
        threshold: 0 to 1, how sure the detector must be.
        min_size: smaller faces (longer side of the box) are left out [px].
        max_faces: at most so many of each photograph, the largest.
        order: how the faces of a photograph are numbered: ``"left-right"``, ``"top-bottom"``, ``"large-small"`` or
            ``"score"``.
        models_dir: where the library backends' files are, see :func:`load_detector`.
        size: photographs are searched for small faces with a long side of at most this [px]. Time grows with its
            square; faces that become smaller than about 13 px by it are missed.

    Returns:
        Faces ordered by photograph and number; empty where there are none.

    Raises:
        ValueError: a photograph is not (3,H,W) or holds values that are no numbers; an argument is out of range.

    Example:
        >>> from pathlib import Path
        >>> from resemblance.core.files.images import read_photo
        >>> photo = read_photo(Path("nodes/examples/two_people_damaged.jpg")).pixels
        >>> faces = detect_faces([photo], load_detector("built-in"))
        >>> [(face.image, face.index) for face in faces]
        [(0, 0), (0, 1)]
        >>> faces[0].box[0] < faces[1].box[0]  # numbered from left to right
        True
    """
    if order not in ORDERS:
        raise ValueError(f"The order was '{order}'; expected one of {', '.join(ORDERS)}.")
    if not 0 < threshold <= 1:
        raise ValueError(f"The threshold was {threshold}; expected above 0 and at most 1.")
    detector = backend if isinstance(backend, Detector) else load_detector(backend, models_dir)
    check_photos(photos)
    faces = []
    for image, photo in enumerate(photos):
        # The sum is not finite where any value is not, and needs no memory.
        if not bool(photo.sum(dtype=torch.float32).isfinite()):
            raise ValueError(
                f"Photograph {image} holds values that are not finite numbers; expected RGB from 0 to 1. "
                "Look at the step that made it."
            )
        boxes, points, scores = detector.find(photo, threshold, min_size, size)
        found = [
            Face(image, 0, (b[0], b[1], b[2], b[3]), s, tuple((x, y) for x, y in p))
            for b, p, s in zip(boxes.tolist(), points.tolist(), scores.tolist(), strict=True)
        ]
        found = sorted(found, key=ORDERS["large-small"])[:max_faces]
        found.sort(key=ORDERS[order])
        faces += [replace(face, index=index) for index, face in enumerate(found)]
    return faces


ORDERS: dict[str, Callable[[Face], float]] = {
    "left-right": lambda face: face.box[0] + face.box[2],
    "top-bottom": lambda face: face.box[1] + face.box[3],
    "large-small": lambda face: -(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]),
    "score": lambda face: -face.score,
}

LIBRARIES: dict[str, tuple[tuple[str, ...], Callable[[Sequence[Path], torch.device | str], Backend]]] = {
    "insightface": (insightface.FILES, insightface.InsightFaceBackend),
    "facexlib": (facexlib.FILES, facexlib.FacexlibBackend),
}


def _load(name: str, models_dir: Folders, device: torch.device | str) -> Detector:
    name = ONCE_CALLED.get(name, name)
    if name not in BACKENDS:
        raise ValueError(f"The detector was '{name}'; expected auto, {', '.join(BACKENDS)}.")
    if name in LIBRARIES:
        if not _installed(name):
            raise ValueError(
                f"The detector '{name}' needs the package {name}: run 'pip install {name}', or choose 'built-in'."
            )
        patterns, kind = LIBRARIES[name]
        files = find_files(patterns, models_dir)
        if not files:
            raise FileNotFoundError(
                f"The detector '{name}' found no {' or '.join(patterns)} in "
                f"{_folders(models_dir) or 'any folder: none was given'}. Put the file there, name its folder, or "
                "choose 'built-in'."
            )
        try:
            backend: Backend = kind(files, device)
        # Either error comes where torchvision does not fit torch.
        except (ImportError, RuntimeError) as error:
            raise ValueError(
                f"The package {name} does not load: {error}. Mend its installation, or choose 'built-in'."
            ) from error
    else:
        backend = BuiltinBackend(device=device)
    log.info("Faces are found by '%s'.", name)
    return Detector(backend)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _folders(models_dir: Folders) -> list[str]:
    folders = [models_dir] if isinstance(models_dir, (str, Path)) else models_dir or []
    return [str(folder) for folder in folders]


def find_files(patterns: Sequence[str], models_dir: Folders) -> list[Path]:
    """Files of these names, in the order of the patterns, then the larger (and better) first."""
    files = []
    for pattern in patterns:
        found = {
            p for f in _folders(models_dir) for depth in range(DEPTH + 1) for p in Path(f).glob("*/" * depth + pattern)
        }
        files += sorted((p for p in found if p.is_file()), key=lambda p: (-p.stat().st_size, str(p)))
    return files


def _shrink(photo: Tensor, side: int) -> Tensor:
    """The picture (3,H,W) with a long side of at most `side` px, float32."""
    height, width = photo.shape[-2:]
    scale = side / max(height, width)
    if scale >= 1:
        return photo.float()
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(photo[None].float(), small, mode="bilinear", antialias=True)[0]
