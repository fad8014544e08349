"""The command line with others in place of its networks."""

from pathlib import Path

import numpy as np
from people import COLOURS
from PIL import Image
from resemblance.core.apps.cli import main
from resemblance.core.geometry import TEMPLATE
from resemblance.core.records import Face


class Darker:
    """A restorer that makes faces darker, by more where the fidelity is lower."""

    name, fingerprint, licence, network = "darker", "0" * 16, "none", None
    with_tokens = None

    def restore(self, faces, fidelity=None, progress=None):
        return faces * (0.5 if fidelity is None else fidelity)


def one_face(photos):
    """A face of 100 px in the top-left corner of every photograph that is large enough for one and not black."""
    points = tuple((x * 100 / 512, y * 100 / 512) for x, y in TEMPLATE)
    large = photos.shape[-1] >= 100 and bool(photos.any())
    return [Face(0, 0, (0.0, 0.0, 100.0, 100.0), 0.9, points)] if large else []


def paint(path: Path, size: tuple[int, int] = (160, 120), **options) -> Path:
    """A smooth picture, in which every face counts as blurred."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    Image.fromarray(rng.integers(60, 255, (4, 5, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC).save(
        path, **options
    )
    return path


def restore(*args) -> int:
    return main(["restore", *map(str, args), "--device", "cpu"])


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def portray(path: Path, name: str, blur: int = 1) -> Path:
    """A photograph of one of the people, who fills it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texture = np.random.default_rng(len(path.name)).random((40, 40, 3)).repeat(3, 0).repeat(3, 1)
    picture = Image.fromarray((255 * (0.7 * np.array(COLOURS[name]) + 0.3 * texture)).astype(np.uint8))
    picture.resize((120 // blur, 120 // blur)).resize((120, 120), Image.Resampling.BICUBIC).save(path)
    return path
