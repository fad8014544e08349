"""Wear of batches by torch: what it may change, and what not."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from resemblance.core.training import wears
from resemblance.core.training.device_degradation import GREY, TO_YCC
from resemblance.core.training.wears import COPIES, PRINTS
from torch.utils._python_dispatch import TorchDispatchMode

KINDS = PRINTS | COPIES


class NoWaiting(TorchDispatchMode):
    """Refuses what needs values, not shapes alone, on the CPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2"), name
        if name == "index":
            assert all(i is None or i.dtype == torch.int64 for i in args[1])
        return func(*args, **(kwargs or {}))


@pytest.fixture
def faces():
    """Three equal pictures in colour, smooth but for an edge."""
    y, x = np.mgrid[:128, :128] / 127
    face = np.stack([0.35 + 0.4 * x, 0.25 + 0.45 * y, 0.5 + 0.25 * x * y]) - 0.2 * (x > 0.6)
    return torch.from_numpy(face).float().expand(3, -1, -1, -1).contiguous()


def changes(kind, faces, seeds=8):
    """How much each of many faces changes: (n,3,S,S)."""
    return torch.cat([KINDS[kind](faces, np.random.default_rng(seed)) - faces for seed in range(seeds)])


@pytest.mark.parametrize("name", KINDS)
def test_wear_is_a_function_of_faces_and_seed(faces, name):
    before = faces.clone()
    first, again, other = (KINDS[name](faces, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(faces, before)
    assert first.shape == faces.shape and first.dtype == torch.float32
    assert first.isfinite().all() and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again)
    assert ((first - other).abs().amax((1, 2, 3)) > 0.02).all()
    assert all(not torch.equal(first[i], first[i - 1]) for i in range(3))  # equal faces are worn each in its own way


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("count", "side"), [(1, 64), (2, 80), (1, 128)])
def test_every_face_of_every_size_is_worn(name, count, side):
    rough = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    faces = torch.nn.functional.interpolate(rough, size=side, mode="bilinear")
    for seed in range(6):
        worn = KINDS[name](faces, np.random.default_rng(seed))
        assert worn.shape == faces.shape and worn.isfinite().all() and worn.min() >= 0 and worn.max() <= 1
        assert ((worn - faces).abs().amax((1, 2, 3)) > 0.02).all()


@pytest.mark.parametrize("name", KINDS)
def test_the_device_is_never_waited_for(name, faces):
    with NoWaiting():
        KINDS[name](faces[..., :64, :64].contiguous(), np.random.default_rng(0))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_pictures_give_numbers(name, value):
    worn = KINDS[name](torch.full((2, 3, 64, 64), value), np.random.default_rng(0))
    assert worn.isfinite().all() and worn.min() >= 0 and worn.max() <= 1


def test_dots_give_back_the_tone_from_afar(faces):
    change = changes("halftone", faces)
    far = torch.nn.functional.avg_pool2d(change, 33, 1)
    assert (far.abs().mean((1, 2, 3)) < change.abs().mean((1, 2, 3)) / 2).all()


def test_scratches_change_few_pixels_and_some_of_them_much(faces):
    change = changes("scratches", faces).abs().amax(1)
    much = (change > 0.1).float().mean((1, 2))
    assert (change.amax((1, 2)) > 0.1).all()
    assert much.min() > 0 and much.max() < 0.3 and 0.005 < much.mean() < 0.15


def test_lost_emulsion_bares_one_tone_of_paper_in_a_bounded_share(monkeypatch):
    monkeypatch.setattr(wears, "STAINS", ((1.0, 1.0, 1.0),))
    monkeypatch.setattr(wears, "PAPERS", ((0.95, 0.92, 0.85),) * 3)
    change = changes("emulsion", torch.zeros(3, 3, 128, 128))
    bare = (change.amin(1) > 0.4).float().mean((1, 2))
    assert bare.min() > 0.005 and bare.max() < 0.2 and 0.02 < bare.mean() < 0.12


def test_stains_multiply_large_parts_of_some_faces(faces):
    black, grey = (changes("emulsion", torch.full_like(faces, v)) for v in (0.0, 0.5))
    kept = black.amax(1) == 0  # neither lost nor torn
    assert kept.float().mean() > 0.6 and (grey.amax(1)[kept] <= 0.21).all()  # a light rim brightens by 0.4 at most
    stained = ((grey.amin(1) < -0.03) & kept).float().mean((1, 2))
    assert stained.max() > 0.1 and stained.min() < 0.05


def test_grain_is_grey_mostly_and_brightens_nothing():
    added = changes("grain", torch.full((3, 3, 128, 128), 0.5))
    deviation = added.std((1, 2, 3)) * 255
    assert deviation.min() > 6 and deviation.max() < 40
    assert (added.mean((1, 2, 3)).abs() * 255 < deviation / 4).all()
    grey = (added.amax(1) - added.amin(1)).amax((1, 2)) < 1e-5
    assert 0.5 < grey.float().mean() < 1


def test_grain_is_weaker_in_black():
    dark, middle = (changes("grain", torch.full((3, 3, 64, 64), v)).abs().amax((1, 2, 3)) for v in (0.02, 0.5))
    assert (dark < middle).all()


def test_resampling_loses_the_finest_detail():
    fine = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    soft = changes("resampled", fine, 4) + fine.repeat(4, 1, 1, 1)
    high = [(p[..., 1:] - p[..., :-1]).abs().mean() for p in (soft, fine)]
    assert high[0] < 0.6 * high[1]


def test_two_grids_of_blocks(faces):
    """Compressed once, steps lie at multiples of 8 from the corner alone; cut between, elsewhere too."""
    smooth = faces[..., :64].repeat(1, 1, 1, 2)[..., :64].contiguous()
    change = changes("jpeg_twice", torch.nn.functional.interpolate(smooth, size=128, mode="bilinear"))
    steps = change.diff(dim=3).abs().mean((0, 1, 2))
    own = torch.arange(127) % 8 == 7
    assert steps[own].mean() > 1.2 * steps[~own].mean()
    assert not torch.allclose(change[0], change[1], atol=0.005)


def test_video_is_small_and_its_colours_smaller(faces):
    noise = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    video = changes("video_blocks", noise, 4) + noise.repeat(4, 1, 1, 1)
    assert video.std() < 0.5 * noise.std()
    ycc = torch.einsum("yc,nchw->nyhw", torch.tensor(TO_YCC), video)
    assert ycc[:, 1:].std() < ycc[:, 0].std()


def test_blotches_keep_luma_closer_than_chroma_and_lie_in_the_dark_most(faces):
    dark, light = torch.full((2, 3, 3, 64, 64), 0.25)
    light = light + 0.5
    error = []
    for picture in (dark, light, faces):
        ycc = torch.einsum("yc,nchw->nyhw", torch.tensor(TO_YCC), changes("chroma_blotches", picture)).abs()
        assert ycc[:, 0].mean() < 0.3 * ycc[:, 1:].mean()
        error.append(ycc[:, 1:].mean())
    assert error[0] > 1.5 * error[1]


def test_blotches_are_as_big_as_blocks():
    change = changes("chroma_blotches", torch.full((1, 3, 512, 512), 0.3), 3)
    across = change.diff(dim=3).abs().mean((1, 2, 3))
    assert (across < 0.3 * change.abs().mean((1, 2, 3))).all()


def test_ringing_overshoots_at_an_edge():
    edge = torch.where(torch.arange(128) < 64, 0.3, 0.7).expand(3, 3, 128, 128).contiguous()
    worn = changes("ringing", edge) + edge[:1]
    grey = (worn * torch.tensor(GREY)[:, None, None]).sum(1)
    assert (grey[..., 58:64].amin((1, 2)) < 0.27).all() and (grey[..., 64:70].amax((1, 2)) > 0.73).all()
    assert (grey[..., :40] - 0.3).abs().mean() < 0.02


def test_needs_no_opencv():
    code = "import sys; sys.modules |= dict.fromkeys(('cv2', 'kornia')); import resemblance.core.training.wears"
    subprocess.run([sys.executable, "-c", code], check=True)
