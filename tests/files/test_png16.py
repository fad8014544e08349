import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from resemblance.core.files.images import Photo, read_photo, write_photo

RNG = np.random.default_rng(0)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def as_array(photo: Photo, top: int = 255) -> np.ndarray:
    """Samples (H,W,3 or 4), as whole numbers, without the rounding of the code under test."""
    planes = photo.pixels if photo.alpha is None else torch.cat([photo.pixels, photo.alpha])
    values = planes.double().numpy().transpose(1, 2, 0) * top
    assert np.abs(values - np.rint(values)).max() < 0.01
    return np.rint(values).astype(int)


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk behind its header, which is 33 bytes long."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_agree_with_opencv(tmp_path: Path, channels: int) -> None:
    cv2 = pytest.importorskip("cv2")
    samples = noise(9, 6, channels, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "in.png"), samples)
    photo = read_photo(tmp_path / "in.png")
    order = [0, 0, 0] if channels == 1 else [2, 1, 0, 3][:channels]  # OpenCV keeps BGR
    assert photo.depth == 16
    assert np.array_equal(as_array(photo, 65535), samples[..., order])
    write_photo(tmp_path / "out.png", photo)
    written = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    assert np.array_equal(written.reshape(samples.shape), samples)


def test_sixteen_bits_grey_with_alpha(tmp_path: Path) -> None:
    photo = Photo(torch.full((3, 2, 2), 0.25), torch.tensor([[[0.0, 1.0], [0.5, 1.0]]]), depth=16, grey=True)
    write_photo(tmp_path / "a.png", photo)
    assert (tmp_path / "a.png").read_bytes()[24:26] == bytes([16, 4])  # IHDR: bits, then colour type grey with alpha
    again = read_photo(tmp_path / "a.png")
    assert again.grey and again.depth == 16
    assert as_array(again, 65535)[..., 0].tolist() == [[16384, 16384], [16384, 16384]]
    assert as_array(again, 65535)[..., 3].tolist() == [[0, 65535], [32768, 65535]]


def test_sixteen_bits_transparent_colour(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", Photo(torch.tensor([1.0, 0.0]).expand(3, 1, 2), depth=16))
    (tmp_path / "b.png").write_bytes(with_chunk((tmp_path / "a.png").read_bytes(), b"tRNS", b"\xff" * 6))
    assert read_photo(tmp_path / "b.png").alpha.flatten().tolist() == [0, 1]


def test_grey_keeps_every_level(tmp_path: Path) -> None:
    levels = torch.arange(65536, dtype=torch.float32).div(65535).reshape(1, 256, 256).expand(3, -1, -1)
    write_photo(tmp_path / "a.png", Photo(levels, depth=16, grey=True))
    assert torch.equal(read_photo(tmp_path / "a.png").pixels, levels)
