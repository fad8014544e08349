"""`--damage-mask`: which mask belongs to which photograph, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from resemblance.core.apps import masks
from resemblance.core.apps.cli import main
from resemblance.core.apps.files import Job, UsageError

EXAMPLES = Path(__file__).parents[2] / "nodes" / "examples"


def draw(path: Path, width: int, height: int, row: int | None) -> Path:
    """A mask, black but for four rows."""
    pixels = np.zeros((height, width), np.uint8)
    if row is not None:
        pixels[row : row + 4] = 255
    Image.fromarray(pixels).save(path)
    return path


def test_a_mask_has_the_photographs_name(tmp_path: Path) -> None:
    draw(tmp_path / "old.png", 8, 12, 2)
    (tmp_path / "old.txt").write_text("no picture")
    mask = masks.mask_of(tmp_path, Path("photos/old.jpg"))
    assert mask is not None and mask.shape == (1, 12, 8)
    assert torch.equal(mask[0, :, 0].nonzero().flatten(), torch.arange(2, 6))
    assert masks.mask_of(tmp_path, Path("photos/other.jpg")) is None
    assert masks.mask_of(None, Path("photos/old.jpg")) is None
    with pytest.raises(ValueError, match=r"old\.txt"):
        masks.mask_of(tmp_path / "old.txt", Path("old.jpg"))


def test_masks_that_cannot_be_used_are_refused_before_any_work(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"{name}.jpg", tmp_path / f"{name}.png") for name in "ab"]
    with pytest.raises(UsageError, match="is not there"):
        masks.check_masks(tmp_path / "none.png", jobs)
    mask = draw(tmp_path / "mask.png", 8, 8, 1)
    with pytest.raises(UsageError, match="2 are to be restored"):
        masks.check_masks(mask, jobs)
    masks.check_masks(mask, jobs[:1])
    masks.check_masks(tmp_path, jobs)


def test_a_fold_on_a_sharp_face_is_restored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = np.asarray(Image.open(EXAMPLES / "man_truth.jpg").convert("RGB"))
    height, width = truth.shape[:2]
    row = height // 2
    folded = truth.copy()
    folded[row : row + 4] = 240
    (tmp_path / "masks").mkdir()
    draw(tmp_path / "masks" / "man.png", width, height, row)
    Image.fromarray(folded).save(tmp_path / "man.png")
    results = []
    given = {"plain": ["--no-mend"], "found": [], "told": ["--damage-mask", str(tmp_path / "masks")]}
    for name, more in given.items():
        out = tmp_path / f"{name}.png"
        assert main(["restore", str(tmp_path / "man.png"), "-o", str(out), "--detector", "built-in", *more]) == 0
        results.append(np.asarray(Image.open(out).convert("RGB")))
    inside = (slice(row, row + 4), slice(width // 2 - 60, width // 2 + 60))
    plain, found, told = (np.abs(x[inside].astype(float) - truth[inside]).mean() for x in results)
    assert told < 0.25 * plain and found < 0.7 * plain
    assert (results[2][:10] == folded[:10]).all()
    wrong = draw(tmp_path / "wrong.png", width - 1, height, row)
    code = main(["restore", str(tmp_path / "man.png"), "-o", str(tmp_path / "x.png"), "--damage-mask", str(wrong)])
    assert code == 1 and "same size" in capsys.readouterr().err
