import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps
from resemblance.core.files import opening
from resemblance.core.files.images import Photo, PictureError, read_photo, write_atomically, write_photo

RNG = np.random.default_rng(0)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def as_array(photo: Photo, top: int = 255) -> np.ndarray:
    """Samples (H,W,3 or 4), as whole numbers, without the rounding of the code under test."""
    planes = photo.pixels if photo.alpha is None else torch.cat([photo.pixels, photo.alpha])
    values = planes.double().numpy().transpose(1, 2, 0) * top
    assert np.abs(values - np.rint(values)).max() < 0.01
    return np.rint(values).astype(int)


@pytest.mark.parametrize(("mode", "shape"), [("L", (7, 5)), ("LA", (7, 5, 2)), ("RGB", (7, 5, 3)), ("RGBA", (7, 5, 4))])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_eight_bits_survive_a_round_trip(tmp_path: Path, mode: str, shape: tuple, suffix: str) -> None:
    samples = noise(*shape)
    Image.fromarray(samples, mode).save(tmp_path / f"in{suffix}")
    photo = read_photo(tmp_path / f"in{suffix}")
    assert photo.pixels.shape == (3, 7, 5) and photo.pixels.is_contiguous()
    assert photo.grey == (mode[0] == "L") and (photo.alpha is not None) == mode.endswith("A")
    write_photo(tmp_path / f"out{suffix}", photo)
    with Image.open(tmp_path / f"out{suffix}") as written:
        assert written.mode == mode
        assert np.array_equal(np.array(written), samples)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jpg"])
def test_orientation_is_honoured_and_reset(tmp_path: Path, orientation: int, suffix: str) -> None:
    image = Image.fromarray(np.kron(noise(2, 3, 1), np.ones((8, 8, 3), np.uint8)))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    image.save(tmp_path / f"in{suffix}", exif=exif, quality=100)
    with Image.open(tmp_path / f"in{suffix}") as saved:
        upright = np.array(ImageOps.exif_transpose(saved)).astype(int)
    photo = read_photo(tmp_path / f"in{suffix}")
    assert np.array_equal(as_array(photo), upright)
    write_photo(tmp_path / f"out{suffix}", photo, quality=100)
    with Image.open(tmp_path / f"out{suffix}") as written:
        assert written.getexif().get(0x0112, 1) == 1
        assert written.getexif()[0x010F] == "Maker"
    assert np.abs(as_array(read_photo(tmp_path / f"out{suffix}")) - upright).mean() < 3


def test_orientation_of_sixteen_bits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    row = torch.tensor([0.0, 0.5, 1.0]).expand(3, 1, 3)
    write_photo(tmp_path / "a.png", Photo(row, depth=16, exif=exif.tobytes()))
    assert read_photo(tmp_path / "a.png").pixels.shape == (3, 3, 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_profile_is_kept(tmp_path: Path, suffix: str, depth: int) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_photo(tmp_path / f"a{suffix}", Photo(torch.rand(3, 8, 8), depth=depth, icc=profile))
    with Image.open(tmp_path / f"a{suffix}") as written:
        assert written.info["icc_profile"] == profile
    assert read_photo(tmp_path / f"a{suffix}").icc == profile


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "a.png", transparency=2)
    assert as_array(read_photo(tmp_path / "a.png")).tolist() == [
        [[255, 0, 0, 255], [0, 255, 0, 255]],
        [[0, 0, 255, 0], [0, 0, 255, 0]],
    ]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)  # no cyan: red
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.pixels.mean((1, 2)).tolist() == pytest.approx([1, 0, 0], abs=0.02)
    write_photo(tmp_path / "b.jpg", photo)
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.mode == "RGB"


def test_bits_of_a_bitmap(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert as_array(read_photo(tmp_path / "a.png")).tolist() == [[[255] * 3, [0] * 3]]


def test_jpeg_of_a_telephone_with_a_second_picture(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=100)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.format == "JPEG"
    assert photo.pixels.mean((1, 2)).tolist() == pytest.approx([1, 0, 0], abs=0.02)


def test_jpeg_and_webp_stay_near(tmp_path: Path) -> None:
    smooth = torch.linspace(0, 1, 64).expand(3, 64, 64)
    for suffix in (".jpg", ".webp", ".bmp"):
        write_photo(tmp_path / f"a{suffix}", Photo(smooth))
        assert (read_photo(tmp_path / f"a{suffix}").pixels - smooth).abs().max() < 0.03


def picture(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


RED = Image.new("RGB", (64, 64), "red")
BLUE = Image.new("RGB", (64, 64), "blue")
NOISE = Image.fromarray(noise(64, 64, 3))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"hello, this is no picture", "not a picture"),
        (picture(NOISE, "PNG")[:-900], "broken"),
        (picture(NOISE, "WEBP")[:-900], ""),
        (picture(NOISE, "PNG")[:30], ""),
        (picture(RED, "PPM"), "not a picture that can be read"),
        (picture(RED, "WEBP", save_all=True, append_images=[BLUE]), "holds 2 pictures"),
        (picture(RED, "PNG", save_all=True, append_images=[BLUE]), "holds 2 pictures"),
        (picture(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "kind 'F'"),
    ],
)
def test_what_is_no_still_picture_is_refused_with_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(PictureError) as caught:
        read_photo(tmp_path / "a.png")
    message = str(caught.value)
    assert words in message and "expected" in message and str(tmp_path / "a.png") in message and "\n" not in message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_broken_files_never_raise_anything_else(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = bytearray(picture(NOISE, kind, **({} if kind in ("BMP", "GIF") else {"exif": exif})))
    rng = np.random.default_rng(1)
    for _ in range(60):
        data = whole.copy()
        for place in rng.integers(0, min(len(data), 400), 8):
            data[place] = rng.integers(256)
        (tmp_path / "a").write_bytes(data[: rng.integers(1, len(data) + 1)])
        try:
            assert read_photo(tmp_path / "a").pixels.isfinite().all()
        except PictureError as error:
            assert "expected" in str(error)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read_photo(tmp_path / "none.png")
    with pytest.raises(OSError, match="directory"):
        read_photo(tmp_path)


def test_very_wide_and_very_large_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (30000, 2), 255).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").pixels.shape == (3, 2, 30000)
    huge = bytearray(picture(Image.new("L", (1, 1)), "PNG"))
    huge[16:24] = struct.pack(">II", 30000, 30000)
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    (tmp_path / "b.png").write_bytes(huge)
    monkeypatch.setattr(opening, "free_memory", lambda: 8 << 30)
    with pytest.raises(PictureError, match=r"30000x30000 pixels need 19\.8 GB .* expected a smaller"):
        read_photo(tmp_path / "b.png")
    with pytest.raises(PictureError, match="WEBP cannot hold this picture of 30000x2"):
        write_photo(tmp_path / "a.webp", read_photo(tmp_path / "a.png"))
    assert not (tmp_path / "a.webp").exists()


def test_formats_that_cannot_hold_the_picture(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="JPEG cannot hold"):
        write_photo(tmp_path / "a.jpg", Photo(torch.rand(3, 4, 4), torch.rand(1, 4, 4)))
    with pytest.raises(PictureError, match=r"'\.gif' was given; expected one of \.png"):
        write_photo(tmp_path / "a.gif", Photo(torch.rand(3, 4, 4)))
    assert list(tmp_path.iterdir()) == []


def test_values_outside_the_range_are_clamped(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", Photo(torch.tensor([-0.5, 1.5]).expand(3, 1, 2)))
    assert read_photo(tmp_path / "a.png").pixels[0].tolist() == [[0, 1]]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match=r"could not be written .* expected .* Free some room"):
            write_photo(target, Photo(torch.rand(3, 512, 512)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupt_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.png", b"new")
    assert list(tmp_path.iterdir()) == []
