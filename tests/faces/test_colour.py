"""Colours of restored faces are the photograph's."""

import pytest
import torch
from resemblance.core.faces.colour import keep_chroma, match_shading
from resemblance.core.faces.measure import luma
from torch.nn import functional as F


def coarse(seed: int, cells: int = 32) -> torch.Tensor:
    small = torch.rand(3, cells, cells, generator=torch.Generator().manual_seed(seed))
    return small.repeat_interleave(512 // cells, 1).repeat_interleave(512 // cells, 2)


def test_undamaged_colours_are_taken_over_and_brightness_is_not():
    restored, original = coarse(1), coarse(2)
    kept = keep_chroma(restored, original, 0.0, 1.0, severity=0.0)
    torch.testing.assert_close(luma(kept), luma(restored), atol=1e-5, rtol=0)
    chroma, wanted = kept - luma(kept), original - luma(original)
    cells = F.avg_pool2d(chroma - wanted, 16)  # of each, beyond its edge
    assert float(cells.abs().mean()) < 0.2 * float((restored - original).abs().mean())
    assert float((chroma - wanted)[:, 8::16, 8::16].abs().max()) < 1e-5


@pytest.mark.parametrize(("amount", "severity"), [(0.0, 0.0), (1.0, 1.0)])
def test_nothing_changes_where_nothing_is_asked_or_all_is_lost(amount, severity):
    restored = coarse(1)
    assert torch.equal(keep_chroma(restored, coarse(2), 0.0, amount, severity), restored)


def test_the_more_damage_the_less_of_its_colours_is_kept():
    restored, original = coarse(1), coarse(2)
    changes = [float((keep_chroma(restored, original, 0.0, 1.0, s) - restored).abs().mean()) for s in (0.1, 0.5, 0.9)]
    assert changes[0] > 1.5 * changes[1] > 10 * changes[2] > 0


def test_a_crop_with_a_margin_is_compared_as_finely():
    whole = keep_chroma(coarse(1), coarse(2), 0.0, 1.0, 0.0)
    wide, behind = (F.pad(coarse(seed)[None], (256,) * 4, mode="reflect")[0] for seed in (1, 2))
    middle = keep_chroma(wide, behind, 0.5, 1.0, 0.0)[:, 256:-256, 256:-256]
    torch.testing.assert_close(middle[:, 4:-4, 4:-4], whole[:, 4:-4, 4:-4], atol=1e-5, rtol=0)


def test_where_no_mask_is_shading_stays():
    restored = coarse(1)
    assert torch.equal(match_shading(restored, coarse(2), torch.zeros(1, 512, 512), 0.0, 1.0), restored)
