import io

import numpy as np
import pytest
from PIL import Image
from resemblance.core.files import formats
from resemblance.core.files.formats import is_picture, kind_of, readable, why_not
from resemblance.core.files.images import PictureError, read_photo

SMOOTH = Image.fromarray(np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)).resize((64, 48))


def written(path, kind, **options):
    readable()  # loads what writes it, too
    SMOOTH.save(path, kind, quality=95, **options)
    return path


@pytest.mark.parametrize(("suffix", "kind"), [(".avif", "AVIF"), (".heic", "HEIF"), (".jxl", "JXL")])
def test_formats_of_telephones_are_read_where_their_package_is_installed(tmp_path, suffix, kind):
    if kind not in readable():
        pytest.skip(formats.without(kind))
    exif = Image.Exif()
    exif[271] = "Maker"
    path = written(tmp_path / f"a{suffix}", kind, exif=exif.tobytes())
    assert why_not(suffix) is None and kind_of(path.read_bytes()) == kind
    photo = read_photo(path)
    assert photo.format == kind and b"Maker" in photo.exif and photo.notes == ()
    assert np.abs(photo.pixels.numpy().transpose(1, 2, 0) * 255 - np.array(SMOOTH)).mean() < 6


@pytest.mark.parametrize(("suffix", "kind"), [(".avif", "AVIF"), (".heic", "HEIF"), (".jxl", "JXL")])
def test_their_orientation_is_honoured_once(tmp_path, suffix, kind):
    if kind not in readable():
        pytest.skip(formats.without(kind))
    exif = Image.Exif()
    exif[274] = 6
    SMOOTH.save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        image.save(tmp_path / f"a{suffix}", kind, exif=exif.tobytes(), quality=95)
    photo = read_photo(tmp_path / f"a{suffix}")
    turned = np.array(SMOOTH.transpose(Image.Transpose.ROTATE_270))
    assert photo.pixels.shape == (3, 64, 48)
    assert np.abs(photo.pixels.numpy().transpose(1, 2, 0) * 255 - turned).mean() < 8


def test_a_still_gif_is_read_and_a_moving_one_is_not(tmp_path):
    SMOOTH.save(tmp_path / "a.gif", comment=b"hello")
    photo = read_photo(tmp_path / "a.gif")
    assert photo.format == "GIF" and photo.text == (("Comment", "hello"),)
    assert np.abs(photo.pixels.numpy().transpose(1, 2, 0) * 255 - np.array(SMOOTH)).mean() < 12
    SMOOTH.save(tmp_path / "b.gif", save_all=True, append_images=[Image.new("RGB", (64, 48))])
    with pytest.raises(PictureError, match="holds 2 pictures, which move; expected one"):
        read_photo(tmp_path / "b.gif")


@pytest.mark.parametrize(
    ("kind", "package", "advice"),
    [
        ("HEIF", "pillow_heif", 'HEIC is read after pip install "resemblance[formats]"'),
        ("JXL", "pillow_jxl", 'JPEG XL is read after pip install "resemblance[formats]"'),
        ("AVIF", "PIL._avif", "AVIF is read from Pillow 11.3 on"),
    ],
)
def test_without_its_package_it_is_said_what_to_install(tmp_path, monkeypatch, kind, package, advice):
    if kind not in readable():
        pytest.skip(formats.without(kind))
    path = written(tmp_path / "a.jpg", kind)  # telephones name them so, too
    find = formats.find_spec
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == package else find(name))
    suffix = next(suffix for suffix, of in formats.READ_ONLY.items() if of == kind)
    assert why_not(suffix.upper()).startswith(advice) and kind not in readable()
    with pytest.raises(PictureError) as caught:
        read_photo(path)
    assert advice in str(caught.value)


def test_what_is_a_picture_and_why_it_is_not_read():
    assert all(is_picture(suffix) for suffix in (".JPG", ".heic", ".CR2", ".dng", ".psd", ".gif"))
    assert not any(is_picture(suffix) for suffix in ("", ".txt", ".mp4", ".xmp", ".json"))
    assert "raw file" in why_not(".NEF") and "convert it to PNG" in why_not(".psd")
    assert why_not(".jpeg") is None and why_not(".gif") is None


def test_the_first_bytes_name_the_format():
    buffer = io.BytesIO()
    SMOOTH.save(buffer, "PNG")
    assert kind_of(buffer.getvalue()) is None and kind_of(b"") is None
    assert kind_of(b"\0\0\0\x1cftypavif") == "AVIF" and kind_of(b"\0\0\0\x18ftypheic") == "HEIF"
    assert kind_of(b"\0\0\0\x14ftypmp42") is None and kind_of(b"\xff\x0a\xfa") == "JXL"
