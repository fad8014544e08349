from dataclasses import dataclass, field

import pytest
import torch
from resemblance.core.geometry import TEMPLATE
from resemblance.core.pipeline import RestoreOptions, restore_aligned, restore_photos, strength_for
from resemblance.core.records import Face


@dataclass
class Stripes:
    """A restorer that draws stripes over every face, and remembers how it was called."""

    name: str = "stripes"
    fingerprint: str = "0" * 16
    licence: str = "none"
    network: None = None
    room: int = 100
    tint: tuple = (1.0, 1.0, 1.0)
    calls: list = field(default_factory=list)

    def restore(self, faces, fidelity=None, progress=None):
        self.calls.append((len(faces), fidelity))
        if progress:
            progress()
        if len(faces) > self.room:
            raise torch.cuda.OutOfMemoryError("no room")
        stripes = (torch.arange(512) // 8 % 2).float() * 0.5
        return (faces * 0.5 + stripes) * torch.tensor(self.tint).view(3, 1, 1)


def face(image: int, index: int, x: float, y: float, side: float = 160.0) -> Face:
    """A face whose template's top-left corner lies at (x, y) and has the given side."""
    points = tuple((x + px * side / 512, y + py * side / 512) for px, py in TEMPLATE)
    return Face(image, index, (x, y, x + side, y + side), 0.9, points)


def soft(*shape: int) -> torch.Tensor:
    """Photographs without fine texture: every face in them counts as blurred."""
    torch.manual_seed(0)
    small = torch.rand(shape[0], 3, 6, 6)
    return torch.nn.functional.interpolate(small, shape[1:], mode="bicubic").clamp(0, 1)


def finder(*faces: Face):
    return lambda photos: list(faces)


def test_only_the_face_changes():
    photo = soft(1, 300, 400)
    before = photo.clone()
    result = restore_photos(photo, Stripes(), finder(face(0, 0, 40, 60)))
    assert torch.equal(photo, before)
    assert result.pixels.shape == photo.shape and result.masks.shape == (1, 1, 300, 400)
    untouched = (result.masks == 0).expand_as(photo)
    assert torch.equal(result.pixels[untouched], photo[untouched])
    assert untouched[0, 0, :, 210:].all() and untouched[0, 0, 230:].all()
    assert (result.pixels - photo)[..., 130:160, 100:140].abs().mean() > 0.05
    (report,) = result.faces
    assert report.strength == 1 and report.reason is None and report.seconds > 0
    assert report.face.quality.sharpness < 0.5


def test_no_face_changes_nothing():
    photo = soft(2, 50, 60)
    restorer = Stripes()
    result = restore_photos(photo, restorer, finder())
    assert torch.equal(result.pixels, photo) and not result.masks.any()
    assert result.faces == () and restorer.calls == []


def test_faces_of_several_photographs_stay_apart():
    photos = soft(2, 200, 400)
    result = restore_photos(photos, Stripes(), finder(face(1, 0, 10, 20), face(1, 1, 200, 20), face(0, 0, 200, 20)))
    assert [(r.face.image, r.face.index) for r in result.faces] == [(0, 0), (1, 0), (1, 1)]
    assert not result.masks[0, ..., :190].any() and result.masks[0, ..., 210:].any()
    assert result.masks[1, ..., :190].any() and result.masks[1, ..., 210:].any()


def test_a_sharp_face_is_left_alone_unless_asked():
    blocks = (
        torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        .repeat_interleave(16, 2)
        .repeat_interleave(16, 3)
    )
    where = finder(face(0, 0, 0, 0, 512))
    restorer = Stripes()
    left = restore_photos(blocks, restorer, where)
    assert torch.equal(left.pixels, blocks) and restorer.calls == []
    assert left.faces[0].strength == 0 and "sharp" in left.faces[0].reason
    asked = restore_photos(blocks, restorer, where, RestoreOptions(strength=1))
    assert not torch.equal(asked.pixels, blocks) and asked.faces[0].reason is None


def test_a_face_blurred_on_purpose_is_left_alone_by_a_threshold():
    photo = soft(1, 300, 300)
    result = restore_photos(photo, Stripes(), finder(face(0, 0, 40, 60)), RestoreOptions(min_sharpness=0.9))
    assert torch.equal(result.pixels, photo) and "0.9" in result.faces[0].reason


@pytest.mark.parametrize(("damage", "strength"), [(0, 0), (0.15, 0), (0.3, 0.5), (0.45, 1), (1, 1)])
def test_strength_follows_damage(damage, strength):
    assert strength_for(damage) == pytest.approx(strength)


def test_half_the_strength_changes_half():
    photo = soft(1, 300, 300)
    where = finder(face(0, 0, 40, 60))
    full, half = (restore_photos(photo, Stripes(), where, RestoreOptions(strength=s)).pixels - photo for s in (1, 0.5))
    assert torch.allclose(half, full / 2, atol=1e-5)


def test_a_grey_face_stays_grey():
    photo = soft(1, 300, 300)[:, :1].expand(-1, 3, -1, -1).contiguous()
    result = restore_photos(photo, Stripes(tint=(1.0, 0.6, 0.2)), finder(face(0, 0, 40, 60)))
    assert not torch.equal(result.pixels, photo)
    assert (result.pixels - result.pixels[:, :1]).abs().max() < 1e-5


def test_options_and_progress_reach_the_restorer():
    restorer, ticks = Stripes(), []
    where = finder(face(0, 0, 40, 60))
    restore_photos(soft(1, 300, 300), restorer, where, RestoreOptions(fidelity=0.3), lambda: ticks.append(1))
    assert restorer.calls == [(1, 0.3)]
    assert len(ticks) == 3  # for the face that is cropped, in the restorer, for the photograph that is pasted into


def test_fewer_faces_at_once_where_memory_is_short():
    faces = torch.rand(11, 3, 512, 512)
    restorer = Stripes(room=3)
    result = restore_aligned(faces, restorer)
    assert [number for number, _ in restorer.calls] == [8, 4, 2, 2, 2, 2, 2, 1]
    assert torch.equal(result, Stripes().restore(faces))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        restore_aligned(faces, Stripes(room=0))


def test_landmarks_that_are_no_face_spoil_nothing(caplog):
    good = face(0, 0, 40, 60)
    left, right, nose, *mouth = face(0, 1, 200, 60).landmarks
    bad = Face(0, 1, (200, 60, 360, 220), 0.9, (right, left, nose, mouth[1], mouth[0]))
    result = restore_photos(soft(1, 300, 400), Stripes(), finder(good, bad))
    assert result.faces[0].reason is None
    assert "landmarks" in result.faces[1].reason and "left alone" in caplog.text
    assert not result.masks[..., 220:].any()


def test_numbers_that_are_none():
    photo = soft(1, 300, 300)
    where = finder(face(0, 0, 40, 60))
    with pytest.raises(ValueError, match="returned NaN"):
        restore_photos(photo, Stripes(tint=(1.0, float("nan"), 1.0)), where)
    photo[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="holds NaN"):
        restore_photos(photo, Stripes(), where)


def test_in_place_and_scale():
    photo = soft(1, 300, 400)
    where = finder(face(0, 0, 40, 60))
    expected = restore_photos(photo, Stripes(), where).pixels
    result = restore_photos(photo, Stripes(), where, in_place=True)
    assert result.pixels.data_ptr() == photo.data_ptr() and torch.equal(photo, expected)
    assert restore_photos(photo, Stripes(), where, RestoreOptions(scale=2)).pixels.shape == (1, 3, 600, 800)


def test_aligned_faces():
    faces = torch.rand(2, 3, 512, 512)
    full = restore_aligned(faces, Stripes())
    assert torch.equal(full, Stripes().restore(faces))
    quarter = restore_aligned(faces, Stripes(), RestoreOptions(strength=0.25))
    assert torch.allclose(quarter, 0.75 * faces + 0.25 * full, atol=1e-6)
    assert restore_aligned(faces[:0], Stripes()).shape == (0, 3, 512, 512)
    with pytest.raises(ValueError, match=r"\(2, 3, 256, 256\); expected \(N, 3, 512, 512\)"):
        restore_aligned(faces[..., :256, :256], Stripes())


@pytest.mark.parametrize(
    "option", [{"fidelity": 1.5}, {"strength": -0.1}, {"min_sharpness": 2}, {"scale": 0}, {"scale": 99}]
)
def test_options_out_of_range(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))} was .*expected"):
        RestoreOptions(**option)
