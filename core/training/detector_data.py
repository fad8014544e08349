"""Pictures and labels for the built-in detector: photographs, generated faces pasted into scenes, scenes without faces.

Labels come from SCRFD (at several scales) and YuNet, taken once from the undamaged photograph and cached; they then go
through every geometric change that the picture goes through. Only the manifest's ``train`` split is read.
"""

from __future__ import annotations

import csv
import itertools
import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .assets import asset

log = logging.getLogger(__name__)

LONG_SIDE = 512  # photographs are kept at this size at most
LABEL_SIDES = (256, 400, 640)  # SCRFD looks at each photograph at these sizes
SMALLEST = 9.0  # [px] faces smaller than this, in the sharpest sense, are neither demanded nor punished
COLUMNS = 15  # box (4), five points (10), weight: 1 demanded, 0 ignored

# cv2 types its results too widely to say more here.
Pixels = NDArray[Any]  # uint8 RGB (H,W,3)
Labels = NDArray[Any]  # float32 (n,COLUMNS)


# --- labels ---------------------------------------------------------------------------------------------------------


class Teachers:
    """SCRFD and YuNet, and how their answers are merged.

    Args:
        assets: folder of the asset packages, see :mod:`.assets`.
    """

    def __init__(self, assets: str | Path | None = None) -> None:
        import cv2
        from insightface.model_zoo import get_model

        self._scrfd = get_model(str(asset("scrfd", assets)), providers=["CPUExecutionProvider"])
        self._scrfd.prepare(ctx_id=-1, input_size=(640, 640), det_thresh=0.3)
        self._yunet = cv2.FaceDetectorYN.create(str(asset("yunet", assets)), "", (320, 320), 0.6, 0.3)

    def scrfd(self, image: Pixels, side: int) -> Labels:
        """SCRFD on an RGB picture at a long side of `side` px: rows of box, points and score, in the picture's px."""
        small, scale = _resized(image, side)
        height, width = small.shape[:2]
        canvas = np.zeros((-height % 32 + height, -width % 32 + width, 3), np.uint8)
        canvas[:height, :width] = small
        boxes, points = self._scrfd.detect(canvas[..., ::-1], input_size=canvas.shape[1::-1])
        if not len(boxes):
            return np.zeros((0, COLUMNS), np.float32)
        rows = np.concatenate([boxes[:, :4], points.reshape(-1, 10), boxes[:, 4:]], 1).astype(np.float32)
        rows[:, :14] = (rows[:, :14] + 0.5) / scale - 0.5
        return rows

    def yunet(self, image: Pixels, side: int) -> Labels:
        """YuNet, rows as in :meth:`scrfd`; its points already run left to right as seen in the picture."""
        small, scale = _resized(image, side)
        self._yunet.setInputSize(small.shape[1::-1])
        found = self._yunet.detect(np.ascontiguousarray(small[..., ::-1]))[1]
        if found is None:
            return np.zeros((0, COLUMNS), np.float32)
        rows = found.astype(np.float32)
        rows[:, 2:4] += rows[:, :2]
        rows[:, :14] = (rows[:, :14] + 0.5) / scale - 0.5
        return rows

    def label(self, image: Pixels, sides: tuple[int, ...] = LABEL_SIDES) -> Labels:
        """Faces (n,15) of an undamaged picture.

        A face is demanded when SCRFD is sure (0.7), or fairly sure (0.5) and YuNet agrees, or YuNet is very sure
        (0.85); other candidates are ignored regions. Box and points are SCRFD's, averaged over the scales that found
        the face.
        """
        candidates = np.concatenate([self.scrfd(image, side) for side in sides])
        yunet = self.yunet(image, sides[-1])
        faces = []
        for group in _groups(candidates):
            rows = candidates[group]
            best = rows[:, 14].max()
            mean = (rows[:, :14] * rows[:, 14:]).sum(0) / rows[:, 14].sum()
            agreed = bool((box_overlap(mean[None, :4], yunet[:, :4]) > 0.4).any())
            faces.append([*mean, float(best >= 0.7 or (best >= 0.5 and agreed))])
        for row in yunet:
            if not faces or not (box_overlap(row[None, :4], np.array(faces)[:, :4]) > 0.3).any():
                faces.append([*row[:14], float(row[14] >= 0.85)])
        return np.array(faces, np.float32).reshape(-1, COLUMNS)


def read_rgb(path: Path) -> Pixels:
    """An 8-bit picture file as RGB.

    Raises:
        OSError: the file is no picture, or is not there.
    """
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f"'{path}' cannot be read as a picture; check the folder given as --data.")
    return np.ascontiguousarray(image[..., ::-1])


def _resized(image: Pixels, side: int) -> tuple[Pixels, float]:
    import cv2

    scale = side / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), scale


def box_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Overlap (n,m) of boxes (n,4) and (m,4)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    inter = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:4] - a[:, :2]).prod(-1), (b[:, 2:4] - b[:, :2]).prod(-1)
    return inter / np.maximum(area_a[:, None] + area_b[None] - inter, 1e-6)


def _groups(rows: Labels) -> Iterator[NDArray[np.intp]]:
    left = np.argsort(-rows[:, 14])
    while len(left):
        same = box_overlap(rows[left[:1], :4], rows[left, :4])[0] > 0.4
        yield left[same]
        left = left[~same]


# --- the cache ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bank:
    """What scenes are made of.

    Attributes:
        photos, photo_faces: photographs (H,W,3) uint8 RGB of at most 512 px and their faces (n,15).
        portraits, portrait_faces: generated aligned faces (512,512,3) and their face (1,15).
        scenes: pictures without faces.
        cuttings: parts of photographs that lie off every face: suits, hands, walls.
    """

    photos: list[Pixels]
    photo_faces: list[Labels]
    portraits: list[np.ndarray]
    portrait_faces: list[Labels]
    scenes: list[Pixels]
    cuttings: list[Pixels]


def build(data: Path, work: Path, assets: str | Path | None, generated: int) -> None:
    """Label the train photographs, and generated faces up to number `generated`, into `work`; keeps what is there."""
    teachers = Teachers(assets)
    path = work / "detector_photos.npz"
    if not path.exists():
        with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
        arrays: dict[str, Any] = {}
        for i, row in enumerate(rows):
            image = read_rgb(data / row["path"])
            if max(image.shape[:2]) > LONG_SIDE:
                image = _resized(image, LONG_SIDE)[0]
            arrays[f"image_{i}"] = image
            arrays[f"faces_{i}"] = teachers.label(image)
            if i % 200 == 199:
                log.info("%d of %d photographs labelled", i + 1, len(rows))
        np.savez(path, **arrays)
    faces = np.memmap(work / "generated_512.u8", np.uint8, "r").reshape(-1, 512, 512, 3)
    labels_path = work / "detector_generated.json"
    known = json.loads(labels_path.read_text()) if labels_path.exists() else {}
    for i in range(min(generated, len(faces))):
        if str(i) not in known and faces[i, ::64].any():
            known[str(i)] = teachers.label(np.asarray(faces[i]), (200, 320)).tolist()
    labels_path.write_text(json.dumps(known))
    log.info("%d generated faces labelled", len(known))


def load(work: Path) -> Bank:
    """Read what :func:`build` wrote."""
    with np.load(work / "detector_photos.npz") as file:
        count = len(file.files) // 2
        photos = [file[f"image_{i}"] for i in range(count)]
        photo_faces = [file[f"faces_{i}"] for i in range(count)]
    portraits = np.memmap(work / "generated_512.u8", np.uint8, "r").reshape(-1, 512, 512, 3)
    known = json.loads((work / "detector_generated.json").read_text())
    # A portrait is pasted for its one face: a second one at its edge would be cut by the mask.
    kept = {int(i): np.array(f, np.float32) for i, f in known.items() if len(f) == 1 and f[0][14] == 1}
    faces = [portraits[i] for i in kept]  # still on disk
    return Bank(photos, photo_faces, faces, list(kept.values()), _scenes(), _cuttings(photos, photo_faces))


def _scenes() -> list[Pixels]:
    """Those of scikit-image's pictures that show no face."""
    import skimage.data
    from skimage.io import imread

    names = (
        "chelsea coffee rocket brick grass gravel coins hubble_deep_field retina moon cell ihc horse page text color"
    )
    folder = Path(skimage.data.__file__).parent
    scenes = []
    for name in [*names.split(), "motorcycle_left", "clock_motion", "microaneurysms", "logo"]:
        image = next((imread(p) for p in folder.glob(f"{name}.*")), None)
        if image is not None:
            image = image.astype(np.uint8) * (255 if image.dtype == bool else 1)
            image = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image[..., :3]
            scenes.append(np.ascontiguousarray(_resized(image, 900)[0]))
    return scenes


def _cuttings(photos: list[Pixels], photo_faces: list[Labels]) -> list[Pixels]:
    """Squares of photographs that touch no face and no hair."""
    rng = np.random.default_rng(0)
    cuttings = []
    for image, faces in zip(photos, photo_faces, strict=True):
        height, width = image.shape[:2]
        for _ in range(4):
            side = int(rng.integers(96, 260))
            if side >= min(height, width):
                continue
            x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
            grown = faces[:, :4] + (faces[:, 2:3] - faces[:, :1]) * np.array([-0.15, -0.25, 0.15, 0.1], np.float32)
            if not len(faces) or not (box_overlap(np.array([[x, y, x + side, y + side]], np.float32), grown) > 0).any():
                cuttings.append(image[y : y + side, x : x + side])
                break
    return cuttings


# --- scenes ---------------------------------------------------------------------------------------------------------


class Scenes:
    """Draws training pictures.

    Args:
        bank: what they are made of.
        seed: of the random numbers.
    """

    def __init__(self, bank: Bank, seed: int) -> None:
        self.bank = bank
        self.rng = np.random.default_rng(seed)

    def draw(self, size: int) -> tuple[Pixels, Labels]:
        """One picture (size,size,3) uint8 RGB and its faces (n,15)."""
        rng = self.rng
        canvas = self.background(size)
        kind = rng.random()
        labels: list[Labels] = []
        if kind < 0.42:
            labels = self._photograph(canvas)
            if rng.random() < 0.2:
                labels += self._pasted(canvas, labels, int(rng.integers(1, 3)))
        elif kind < 0.72:
            labels = self._pasted(canvas, [], int(rng.integers(1, 9)))
        elif kind < 0.93:
            labels = self._mosaic(canvas)
        faces = np.concatenate([*labels, np.zeros((0, COLUMNS), np.float32)])
        return self._damage(canvas, self._visible(faces, size))

    def background(self, size: int) -> Pixels:
        """A square (size,size,3) without faces."""
        import cv2

        rng = self.rng
        kind = rng.random()
        if kind < 0.6:
            source = self.bank.scenes if rng.random() < 0.4 else self.bank.cuttings
            scene = source[int(rng.integers(0, len(source)))]
            side = min(int(size * rng.uniform(0.5, 2.0)), *scene.shape[:2])
            y, x = (int(rng.integers(0, n - side + 1)) for n in scene.shape[:2])
            part = scene[y : y + side, x : x + side]
            canvas = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
            return np.ascontiguousarray(np.rot90(canvas, int(rng.integers(0, 4))))
        canvas = np.full((size, size, 3), rng.integers(0, 256, 3), np.float32)
        for _ in range(int(rng.integers(1, 4))):  # clouds and noise of several grains
            grain = int(rng.integers(2, size))
            noise = rng.normal(0, rng.uniform(5, 50), (grain, grain, 3 if rng.random() < 0.5 else 1)).astype(np.float32)
            noise = np.repeat(noise, 3, 2) if noise.shape[2] == 1 else noise
            canvas += cv2.resize(noise, (size, size), interpolation=int(rng.integers(0, 3)))
        canvas = np.clip(canvas, 0, 255).astype(np.uint8)
        for _ in range(int(rng.integers(0, 12))):  # ellipses, boxes and dots: round things are not faces
            colour = tuple(int(v) for v in rng.integers(0, 256, 3))
            centre = tuple(int(v) for v in rng.integers(0, size, 2))
            axes = tuple(int(v) for v in np.exp(rng.uniform(np.log(3), np.log(size / 3), 2)))
            if rng.random() < 0.6:
                cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
            else:
                cv2.rectangle(canvas, centre, (centre[0] + axes[0], centre[1] + axes[1]), colour, -1)
        return canvas

    def _angle(self) -> float:
        return math.radians(
            float(np.clip(self.rng.normal(0, 15), -40, 40) if self.rng.random() < 0.7 else self.rng.uniform(-40, 40))
        )

    def _photograph(self, canvas: Pixels) -> list[Labels]:
        """A photograph laid over the canvas so that one of its faces has a random size and place."""
        import cv2

        rng = self.rng
        size = canvas.shape[0]
        index = int(rng.integers(0, len(self.bank.photos)))
        photo, faces = self.bank.photos[index], self.bank.photo_faces[index]
        if not len(faces):
            return []
        width = float(np.sqrt((faces[0, 2] - faces[0, 0]) * (faces[0, 3] - faces[0, 1])))
        wanted = math.exp(rng.uniform(math.log(16), math.log(0.85 * size)))
        photo, affine = _similarity(
            photo,
            (faces[0, :2] + faces[0, 2:4]) / 2,
            wanted / width,
            self._angle(),
            rng.random() < 0.5,
            rng.uniform(0.1, 0.9, 2) * size,
        )
        border = cv2.BORDER_TRANSPARENT if rng.random() < 0.7 else cv2.BORDER_REPLICATE
        cv2.warpAffine(photo, affine.last, canvas.shape[1::-1], canvas, cv2.INTER_LINEAR, border)
        return [affine.labels(faces)]

    def _pasted(self, canvas: Pixels, others: list[Labels], count: int) -> list[Labels]:
        """Generated faces, each with an elliptic or square mask, where they hide no other face."""
        import cv2

        rng = self.rng
        size = canvas.shape[0]
        placed: list[Labels] = []
        top = 0.85 * size / math.sqrt(count)
        for _ in range(count):
            k = int(rng.integers(0, len(self.bank.portraits)))
            face = self.bank.portrait_faces[k]
            width = float(np.sqrt((face[0, 2] - face[0, 0]) * (face[0, 3] - face[0, 1])))
            wanted = math.exp(rng.uniform(math.log(11), math.log(top)))
            centre = rng.uniform(0.03, 0.97, 2) * size
            reach = wanted * 0.9
            box = np.array([[*(centre - reach), *(centre + reach)]], np.float32)
            if any((box_overlap(box, rows[:, :4]) > 0).any() for rows in [*others, *placed]):
                continue
            portrait = np.asarray(self.bank.portraits[k])
            portrait, affine = _similarity(
                portrait, (face[0, :2] + face[0, 2:4]) / 2, wanted / width, self._angle(), rng.random() < 0.5, centre
            )
            mask: Pixels = np.zeros(portrait.shape[:2], np.float32)
            side = mask.shape[0]
            if rng.random() < 0.5:
                axes = (int(side * rng.uniform(0.36, 0.46)), int(side * rng.uniform(0.44, 0.49)))
                cv2.ellipse(mask, (side // 2, int(side * 0.52)), axes, 0, 0, 360, 1.0, -1)
                feather = max(1, int(side * rng.uniform(0.01, 0.08)))
            else:
                inset = int(side * rng.uniform(0.0, 0.08))
                mask[inset : side - inset, inset : side - inset] = 1
                feather = max(1, int(side * rng.uniform(0.005, 0.06)))
            mask = cv2.blur(mask, (feather, feather))
            x0, y0 = np.floor(np.clip(centre - 2.1 * wanted, 0, size)).astype(int)
            x1, y1 = np.ceil(np.clip(centre + 2.1 * wanted, 0, size)).astype(int)
            shift = affine.last.copy()
            shift[:, 2] -= (x0, y0)
            area = (int(x1 - x0), int(y1 - y0))
            pixels = cv2.warpAffine(portrait, shift, area, flags=cv2.INTER_LINEAR).astype(np.float32)
            alpha = cv2.warpAffine(mask, shift, area, flags=cv2.INTER_LINEAR)[..., None]
            if rng.random() < 0.3:
                pixels = cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.01, 0.05) * wanted + 0.1))
            pixels = pixels * rng.uniform(0.6, 1.2)
            part = canvas[y0:y1, x0:x1]
            part[:] = np.clip(part + (pixels - part) * alpha, 0, 255).astype(np.uint8)
            placed.append(affine.labels(face))
        return placed

    def _mosaic(self, canvas: Pixels) -> list[Labels]:
        """A grid of photographs, each in a cell of its own, like a group of people."""
        rng = self.rng
        columns, rows = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        xs = np.linspace(0, canvas.shape[1], columns + 1).astype(int)
        ys = np.linspace(0, canvas.shape[0], rows + 1).astype(int)
        found = []
        for y0, y1 in itertools.pairwise(ys):
            for x0, x1 in itertools.pairwise(xs):
                if rng.random() < 0.85:
                    found += self._cell(canvas, int(x0), int(y0), int(x1), int(y1))
        return found

    def _cell(self, canvas: Pixels, x0: int, y0: int, x1: int, y1: int) -> list[Labels]:
        import cv2

        rng = self.rng
        generated = rng.random() < 0.35
        source = self.bank.portrait_faces if generated else self.bank.photo_faces
        index = int(rng.integers(0, len(source)))
        faces = source[index]
        if len(faces) != 1:
            return []
        photo = np.asarray((self.bank.portraits if generated else self.bank.photos)[index])
        width = float(np.sqrt((faces[0, 2] - faces[0, 0]) * (faces[0, 3] - faces[0, 1])))
        wanted = max(10.0, min(x1 - x0, y1 - y0) * rng.uniform(0.25, 0.75))
        middle = np.array([x1 - x0, y1 - y0]) / 2 + rng.uniform(-0.15, 0.15, 2) * (x1 - x0, y1 - y0)
        photo, affine = _similarity(
            photo, (faces[0, :2] + faces[0, 2:4]) / 2, wanted / width, self._angle(), rng.random() < 0.5, middle
        )
        cell = np.ascontiguousarray(canvas[y0:y1, x0:x1])
        cv2.warpAffine(photo, affine.last, (x1 - x0, y1 - y0), cell, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
        canvas[y0:y1, x0:x1] = cell
        labels = self._visible(affine.labels(faces), x1 - x0, y1 - y0)
        labels[:, 0:14:2] += x0
        labels[:, 1:14:2] += y0
        return [labels]

    def _visible(self, faces: Labels, width: int, height: int | None = None) -> Labels:
        """Faces mostly inside the picture; those cut by half or tiny become ignored; those gone are dropped."""
        height = height or width
        box = faces[:, :4]
        inside = np.clip(np.minimum(box[:, 2:], (width, height)) - np.maximum(box[:, :2], 0), 0, None).prod(-1)
        area = (box[:, 2:] - box[:, :2]).prod(-1)
        share = inside / np.maximum(area, 1e-6)
        faces = faces.copy()
        faces[:, 14] *= (share > 0.6) & (np.sqrt(area) >= SMALLEST)
        return faces[share > 0.15]

    def _damage(self, image: Pixels, faces: Labels) -> tuple[Pixels, Labels]:
        """What photographs suffer: blur, low resolution, noise, JPEG, age. Faces too small for it become ignored."""
        import cv2

        rng = self.rng
        size = image.shape[0]
        width = np.sqrt((faces[:, 2:4] - faces[:, :2]).prod(-1))
        detail = np.ones_like(width)
        if rng.random() < 0.45:  # tone
            low, high = rng.uniform(0, 60), rng.uniform(150, 256)
            curve = (np.linspace(0, 1, 256) ** math.exp(rng.normal(0, 0.35))) * (high - low) + low
            image = cv2.LUT(image, np.clip(curve, 0, 255).astype(np.uint8))
        tint = rng.random()
        if tint < 0.3:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            colour = rng.uniform(0.75, 1.0, 3) if tint < 0.12 else np.ones(3)
            image = np.clip(grey[..., None] * np.sort(colour)[::-1], 0, 255).astype(np.uint8)
        elif tint < 0.5:
            image = np.clip(image * rng.uniform(0.75, 1.15, 3), 0, 255).astype(np.uint8)
        if rng.random() < 0.2:
            factor = float(rng.uniform(1.2, 4.0))
            small = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (size, size), interpolation=int(rng.integers(0, 3)))
            detail *= factor
        if rng.random() < 0.25:
            sigma = float(math.exp(rng.uniform(math.log(0.5), math.log(4.0))))
            image = cv2.GaussianBlur(image, (0, 0), sigma)
            detail *= max(1.0, sigma)
        if rng.random() < 0.2:
            strength = rng.uniform(2, 30)
            noise = rng.standard_normal((size, size, 1 if rng.random() < 0.5 else 3), np.float32) * strength
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        if rng.random() < 0.35:
            code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 90))])[1]
            image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
        faces[:, 14] *= width / detail >= SMALLEST
        return np.ascontiguousarray(image), faces


@dataclass(frozen=True)
class _Affine:
    """A change of coordinates: `full` from the source picture, `last` (2,3) from the shrunk copy that is warped."""

    full: np.ndarray
    last: np.ndarray
    flipped: bool

    def labels(self, faces: Labels) -> Labels:
        points = faces[:, 4:14].reshape(-1, 5, 2) @ self.full[:, :2].T + self.full[:, 2]
        # A turned box is refitted: its centre moves along, and a face is about an ellipse.
        centre = (faces[:, :2] + faces[:, 2:4]) / 2 @ self.full[:, :2].T + self.full[:, 2]
        angle = math.atan2(self.full[1, 1], self.full[0, 1]) - math.pi / 2
        size = (faces[:, 2:4] - faces[:, :2]) * math.sqrt(abs(np.linalg.det(self.full[:, :2])))
        size = turned_size(size, angle)
        if self.flipped:
            points = points[:, [1, 0, 2, 4, 3]]
        return np.concatenate([centre - size / 2, centre + size / 2, points.reshape(-1, 10), faces[:, 14:]], 1).astype(
            np.float32
        )


def turned_size(size: np.ndarray, angle: float) -> np.ndarray:
    """Width and height (n,2) of the upright box around an ellipse of that width and height, turned by `angle`."""
    c, s = math.cos(angle) ** 2, math.sin(angle) ** 2
    w, h = size[:, 0] ** 2, size[:, 1] ** 2
    return np.sqrt(np.stack([w * c + h * s, w * s + h * c], 1))


def _similarity(
    image: Pixels, centre: np.ndarray, scale: float, angle: float, flip: bool, target: np.ndarray
) -> tuple[Pixels, _Affine]:
    """Bring `centre` to `target`, scaled, turned and maybe flipped; a picture that shrinks is area-averaged first."""
    import cv2

    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    linear = np.array([[-c if flip else c, -s], [-s if flip else s, c]])
    full = np.concatenate([linear, (np.asarray(target) - linear @ centre)[:, None]], 1)
    last = full.copy()
    if scale < 0.7:
        k = scale * 1.2
        small = cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
        ratio = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]])
        last[:, 2] = full[:, :2] @ (0.5 * ratio - 0.5) + full[:, 2]
        last[:, :2] = full[:, :2] * ratio
        image = small
    return image, _Affine(full, last, flip)
