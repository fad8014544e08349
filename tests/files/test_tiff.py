import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from resemblance.core.files.images import Photo, PictureError, read_photo, write_photo

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (50, 70, 3), np.uint16)


def samples(photo: Photo, top: int = 65535) -> np.ndarray:
    """(H,W,3 or 4) as whole numbers."""
    planes = photo.pixels if photo.alpha is None else torch.cat([photo.pixels, photo.alpha])
    return np.rint(planes.double().numpy().transpose(1, 2, 0) * top).astype(int)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"rowsperstrip": 7},
        {"compression": "zlib"},
        {"compression": "zlib", "byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"tile": (32, 48)},
        {"tile": (32, 48), "compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "zlib", "tile": (16, 32), "predictor": True},
    ],
)
def test_sixteen_bits_of_a_scanner_are_read_as_it_lays_them_down(tmp_path, options):
    tifffile = pytest.importorskip("tifffile")
    array = DEEP.transpose(2, 0, 1) if "planarconfig" in options else DEEP
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", **options)
    photo = read_photo(tmp_path / "a.tif")
    assert photo.depth == 16 and not photo.grey and np.array_equal(samples(photo), DEEP)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_sixteen_bits_of_grey(tmp_path, photometric):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", DEEP[..., 0], photometric=photometric)
    photo = read_photo(tmp_path / "a.tif")
    expected = 65535 - DEEP[..., 0].astype(int) if photometric == "miniswhite" else DEEP[..., 0]
    assert photo.grey and np.array_equal(samples(photo)[..., 0], expected)


@pytest.mark.parametrize(("extra", "alpha"), [("unassalpha", True), ("assocalpha", True), ("unspecified", False)])
def test_a_fourth_channel_is_what_the_file_says(tmp_path, extra, alpha):
    tifffile = pytest.importorskip("tifffile")
    array = np.full((4, 4, 4), 16384, np.uint16)
    array[..., 3] = 32768
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=[extra])
    photo = read_photo(tmp_path / "a.tif")
    assert (photo.alpha is not None) == alpha
    assert samples(photo)[0, 0].tolist() == [32768 if extra == "assocalpha" else 16384] * 3 + [32768] * alpha


@pytest.mark.parametrize("packing", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_is_written_is_packed_as_it_was(tmp_path, packing, depth, channels):
    array = RNG.integers(0, 2**depth, (40, 30, channels)) // 7
    planes = torch.from_numpy(array / (2**depth - 1)).float().permute(2, 0, 1)
    alpha = planes[-1:] if channels in (2, 4) else None
    colours = planes[:1].expand(3, -1, -1) if channels < 3 else planes[:3]
    photo = Photo(colours, alpha, "TIFF", depth, channels < 3, compression=packing, dpi=(300, 1200))
    write_photo(tmp_path / "a.tif", photo)
    again = read_photo(tmp_path / "a.tif")
    assert (again.depth, again.grey, again.compression, again.dpi) == (depth, channels < 3, packing, (300, 1200))
    expected = array[..., [0, 0, 0, 1][: 4 if channels == 2 else 3]] if channels < 3 else array
    assert np.array_equal(samples(again, 2**depth - 1), expected)
    if depth == 8:  # another reader agrees
        with Image.open(tmp_path / "a.tif") as image:
            assert image.info["compression"] == packing
            assert np.array_equal(np.array(image).reshape(array.shape), array)


@pytest.mark.parametrize("packing", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_sixteen_bits_as_written_agree_with_opencv(tmp_path, packing):
    cv2 = pytest.importorskip("cv2")
    planes = torch.from_numpy(DEEP / 65535).float().permute(2, 0, 1)
    write_photo(tmp_path / "a.tif", Photo(planes, depth=16, compression=packing))
    written = cv2.imread(str(tmp_path / "a.tif"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16 and np.array_equal(written[..., ::-1], DEEP)


def test_the_first_of_several_pages_is_read_and_that_is_said(tmp_path, caplog):
    first, second = Image.new("RGB", (9, 7), "red"), Image.new("L", (5, 5))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second, second])
    photo = read_photo(tmp_path / "a.tif")
    assert photo.pixels.shape == (3, 7, 9) and photo.pixels[0].min() == 1
    assert photo.notes == ("it holds 3 pages: the first is read, the others are left out",)
    assert "the first is read" in caplog.text


def test_printers_colours_of_sixteen_bits(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    ink = np.zeros((4, 4, 4), np.uint16)
    ink[..., 1:3] = 65535  # no cyan: red
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # not of CMYK: passed over
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated", iccprofile=profile)
    photo = read_photo(tmp_path / "a.tif")
    assert photo.depth == 8 and photo.icc is None and samples(photo, 255)[0, 0].tolist() == [255, 0, 0]


def test_large_files(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    array = (DEEP >> 8).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", bigtiff=True, extratags=[(274, 3, 1, 6, True)])
    photo = read_photo(tmp_path / "a.tif")
    assert np.array_equal(samples(photo, 255), np.rot90(array, -1)) and "BigTIFF" in photo.notes[0]
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="rgb", bigtiff=True)
    with pytest.raises(PictureError, match=r"BigTIFF of more than 8 bits .* expected 8"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize(("mode", "packing"), [("1", "group4"), ("RGB", "jpeg"), ("P", "tiff_lzw"), ("CMYK", "raw")])
def test_pages_are_cut_out_with_all_that_their_pixels_need(tmp_path, mode, packing):
    smooth = Image.fromarray((DEEP[:4, :4] >> 8).astype(np.uint8)).resize((64, 48)).convert(mode)
    smooth.save(tmp_path / "a.tif", compression=packing)
    with Image.open(tmp_path / "a.tif") as image:
        expected = np.array(image.convert("RGB"))
    assert np.array_equal(samples(read_photo(tmp_path / "a.tif"), 255), expected)


def test_colours_of_other_kinds_are_refused(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for name, array, options, words in (
        ("lab", DEEP, {"photometric": "cielab"}, "16 bits, kind 8, 3 channels.* expected grey, RGB or CMYK"),
        ("float", DEEP[..., 0].astype(np.float32), {}, "kind 'F'; expected 8 bits a channel, or 16"),
        ("long", DEEP[..., 0].astype(np.uint32), {}, "expected"),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", array, **options)
        with pytest.raises(PictureError, match=words):
            read_photo(tmp_path / f"{name}.tif")


def test_a_file_that_ends_too_early_is_broken(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray((DEEP >> 8).astype(np.uint8)).save(buffer, "TIFF", compression="tiff_lzw")
    write_photo(tmp_path / "b.tif", Photo(torch.rand(3, 50, 50), depth=16))
    for data in (buffer.getvalue()[:-4000], (tmp_path / "b.tif").read_bytes()[:-9000]):
        (tmp_path / "a.tif").write_bytes(data)
        with pytest.raises(PictureError, match=r"broken .* expected"):
            read_photo(tmp_path / "a.tif")


def test_odd_tags_never_raise_anything_else(tmp_path):
    write_photo(tmp_path / "whole.tif", Photo(torch.rand(3, 20, 30), depth=16, compression="tiff_lzw"))
    whole, rng = (tmp_path / "whole.tif").read_bytes(), np.random.default_rng(3)
    start = int.from_bytes(whole[4:8], "little")
    read = 0
    for _ in range(400):
        data = bytearray(whole)
        for place in rng.integers(start, len(data), 2):
            data[place] = rng.integers(256)
        (tmp_path / "a.tif").write_bytes(data[: len(data) - rng.integers(0, 2) * rng.integers(0, len(data))])
        try:
            read += bool(read_photo(tmp_path / "a.tif").pixels.isfinite().all())
        except PictureError as error:
            assert "expected" in str(error)
    assert read > 20
