import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from resemblance.core.faces import detect
from resemblance.core.faces.detect import Detector, available_backends, detect_faces, load_detector

ROOT = Path(__file__).parents[2]


class Spots:
    """Stands in for a network: takes every bright square for a face, with its points at the square's centre."""

    name, network = "spots", None

    def __init__(self):
        self.seen = []

    def find(self, picture, threshold):
        from scipy import ndimage

        self.seen.append(tuple(picture.shape[-2:]))
        light = picture.mean(0).numpy()
        marks, count = ndimage.label(light > 0.02)
        rows = []
        for k in range(1, count + 1):
            y, x = np.array(ndimage.center_of_mass(light, marks, k))
            half = np.sqrt(light[marks == k].sum() / light[marks == k].max()) / 2
            rows.append([x - half, y - half, x + half, y + half, light[marks == k].max()])
        rows = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
        rows = rows[rows[:, 4] >= threshold]
        middle = (rows[:, :2] + rows[:, 2:4]) / 2
        return rows[:, :4], middle[:, None].expand(-1, 5, 2), rows[:, 4]


def squares(height, width, *places):
    """A black photograph with squares (x, y, side, light)."""
    photo = torch.zeros(3, height, width)
    for x, y, side, light in places:
        photo[:, y : y + side, x : x + side] = light
    return photo


def test_coordinates_survive_both_looks():
    # Columns 600..699 are lit, so the square's centre is at 649.5 in the convention of core/geometry.py.
    photo = squares(800, 1600, (600, 200, 100, 1.0))
    backend = Spots()
    (face,) = detect_faces([photo], Detector(backend), min_size=16)
    assert backend.seen == [(650, 1300), (320, 640)]  # 1600 * 13 / 16 px for the smallest faces, and the overview
    assert face.box == pytest.approx((599.5, 199.5, 699.5, 299.5), abs=0.6)
    assert face.landmarks[2] == pytest.approx((649.5, 249.5), abs=0.05)


def test_looks_grow_with_the_smallest_face_wanted_and_end_at_size():
    photo = torch.zeros(3, 60, 6000)
    for wanted, size, sides in (
        (16, 3072, [3072, 640]),
        (40, 3072, [1950, 640]),
        (100, 3072, [780]),
        (16, 1000, [1000, 640]),
    ):
        backend = Spots()
        detect_faces([photo], Detector(backend), min_size=wanted, size=size)
        assert [width for _, width in backend.seen][: len(sides)] == sides  # before other turns are looked at
    backend = Spots()
    detect_faces([torch.zeros(3, 30, 50)], Detector(backend))
    assert backend.seen == [(30, 50), (50, 30)] * 2  # small pictures are not enlarged


def test_faces_are_numbered_in_the_order_asked_for():
    photo = squares(300, 400, (200, 20, 40, 0.7), (20, 120, 90, 0.8), (300, 200, 60, 1.0))
    starts = {"left-right": [20, 200, 300], "top-bottom": [200, 20, 300], "large-small": [20, 300, 200]}
    starts["score"] = [300, 20, 200]
    for order, expected in starts.items():
        faces = detect_faces(torch.stack([photo, photo]), Detector(Spots()), order=order)
        assert [(f.image, f.index) for f in faces] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
        assert [round(f.box[0] + 0.5) for f in faces] == expected * 2
    with pytest.raises(ValueError, match=r"'random'.*left-right"):
        detect_faces([photo], Detector(Spots()), order="random")


def test_size_count_and_threshold():
    photo = squares(300, 400, (200, 20, 40, 0.7), (20, 120, 90, 0.8), (300, 200, 60, 1.0))

    def starts(**options):
        return [round(f.box[0] + 0.5) for f in detect_faces([photo], Detector(Spots()), **options)]

    assert starts(min_size=50) == [20, 300]
    assert starts(max_faces=2) == [20, 300]  # the largest
    assert starts(max_faces=1, order="score") == [20]
    assert starts(max_faces=0) == []
    assert starts(threshold=0.75) == [20, 300]
    assert starts(threshold=0.95) == [300]
    for wrong in (0.0, 1.5, -1):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            starts(threshold=wrong)


def test_photographs_of_different_sizes_and_none():
    photos = [squares(100, 100), squares(90, 120, (30, 30, 30, 1.0)), squares(50, 60)]
    assert [(f.image, f.index) for f in detect_faces(photos, Detector(Spots()))] == [(1, 0)]
    assert detect_faces([], Detector(Spots())) == []
    assert detect_faces(torch.zeros(0, 3, 64, 64), Detector(Spots())) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", [40, 2000])
def test_values_that_are_no_numbers_are_named(bad, side):
    photo = torch.zeros(3, side, 40)
    photo[1, side // 2, 7] = bad
    with pytest.raises(ValueError, match=r"Photograph 1 .*not finite"):
        detect_faces([torch.zeros(3, 9, 9), photo], Detector(Spots()))


@pytest.mark.parametrize("shape", [(1, 40, 40), (4, 40, 40), (40, 40)])
def test_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"expected \(3, height, width\)"):
        detect_faces([torch.zeros(shape)], Detector(Spots()))


# --- the library backends, with real weights -------------------------------------------------------------------------


def test_auto_takes_the_best_that_is_there_and_says_so(scrfd, retinaface, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert available_backends(tmp_path) == ("built-in",)
    assert load_detector("auto", tmp_path).name == "built-in"
    shutil.copy(retinaface, tmp_path / "mobilenet0.25_Final.pth")
    assert load_detector("auto", str(tmp_path)).name == "facexlib"
    shutil.copy(scrfd, tmp_path / "det_500m.onnx")
    assert available_backends(tmp_path) == ("insightface", "facexlib", "built-in")
    assert load_detector("auto", tmp_path).name == "insightface"
    assert [r.message for r in caplog.records if "found by" in r.message] == [
        f"Faces are found by '{name}'." for name in ("built-in", "facexlib", "insightface")
    ]


def test_the_name_from_before_is_known():
    assert load_detector("builtin").name == "built-in"


def test_auto_passes_over_files_that_do_not_load(tmp_path, caplog):
    pytest.importorskip("insightface.model_zoo")
    (tmp_path / "det_10g.onnx").write_bytes(b"not a network")
    assert load_detector("auto", tmp_path).name == "built-in"
    assert "insightface" in caplog.text and "det_10g.onnx" in caplog.text
    with pytest.raises(ValueError, match="SCRFD"):
        load_detector("insightface", tmp_path)


def test_missing_files_and_packages_are_named(tmp_path, monkeypatch):
    pytest.importorskip("insightface.model_zoo")
    with pytest.raises(FileNotFoundError, match=r"det_\*\.onnx.*built-in"):
        load_detector("insightface", tmp_path)
    with pytest.raises(ValueError, match=r"'dlib'.*built-in"):
        load_detector("dlib")
    monkeypatch.setattr(detect, "_installed", lambda name: False)
    with pytest.raises(ValueError, match="pip install facexlib"):
        load_detector("facexlib", tmp_path)


@pytest.mark.parametrize("name, count", [("woman_truth", 1), ("two_people_truth", 2)])
def test_a_crease_is_no_second_face(name, count):
    photo = Image.open(ROOT / "nodes" / "examples" / f"{name}.jpg").convert("RGB")
    detector = load_detector("built-in")
    for row in range(240, 620, 60):
        creased = photo.copy()
        ImageDraw.Draw(creased).line([(0, row), (photo.width, row + 10)], fill=(240, 236, 225), width=4)
        pixels = torch.from_numpy(np.asarray(creased).copy()).permute(2, 0, 1).float() / 255
        assert len(detect_faces(pixels[None], detector)) == count
