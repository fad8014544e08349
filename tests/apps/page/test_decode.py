import threading
import time

import numpy as np
import pytest
import torch
from pages import MAN, TWO, laborious
from PIL import Image
from resemblance.core.apps.page import decode
from resemblance.core.apps.page.decode import Decoder
from resemblance.core.files.images import Photo, PictureError, read_photo, write_photo


@pytest.fixture(scope="module")
def decoder():
    decoder = Decoder()
    decoder.start()
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A JPEG of a few hundred kilobytes that takes seconds."""
    return laborious(tmp_path_factory.mktemp("slow") / "slow.jpg", side=4000, scans=80)


def same(a, b):
    alike = all(getattr(a, name) == getattr(b, name) for name in decode.BESIDES)
    planes = [(getattr(a, name), getattr(b, name)) for name in decode.PLANES]
    return alike and all(torch.equal(x, y) if x is not None else y is None for x, y in planes)


def test_a_photograph_is_the_same_as_read_here(decoder, tmp_path):
    generator = torch.Generator().manual_seed(0)
    deep = tmp_path / "deep.png"
    pixels = torch.rand(3, 40, 30, generator=generator)
    write_photo(deep, Photo(pixels, alpha=torch.rand(1, 40, 30, generator=generator), depth=16))
    grey, exif = tmp_path / "grey.jpg", Image.Exif()
    exif[0x010E], exif[0x0112] = "Uncle, 1961", 6
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(8, 32)).save(grey, exif=exif)
    for path in (MAN, TWO, deep, grey):
        assert same(decoder.read(path), read_photo(path)), path
    assert decoder.read(deep).depth == 16 and decoder.read(deep).alpha is not None
    assert decoder.read(grey).grey and decoder.read(grey).pixels.shape == (3, 32, 8)


def test_what_is_wrong_with_a_file_is_told_as_it_is_here(decoder, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes(MAN.read_bytes()[:300])
    Image.new("1", (9000, 6000)).save(tmp_path / "wide.png")
    with pytest.raises(PictureError, match="not a picture that can be read; expected PNG"):
        decoder.read(tmp_path / "text.jpg")
    with pytest.raises(PictureError, match="broken"):
        decoder.read(tmp_path / "cut.jpg")
    with pytest.raises(PictureError, match="54 megapixels; the page takes 50"):
        decoder.read(tmp_path / "wide.png")
    with pytest.raises(OSError, match=r"none\.jpg"):
        decoder.read(tmp_path / "none.jpg")
    assert same(decoder.read(MAN), read_photo(MAN))


def test_one_that_takes_too_long_is_ended_and_keeps_nobody(slow):
    decoder = Decoder(seconds=0.5)
    try:
        decoder.read(MAN)
        begun = time.monotonic()
        with pytest.raises(PictureError, match=r"slow\.jpg: takes too long to read; the limit is 0\.5 s\. Open it"):
            decoder.read(slow)
        assert time.monotonic() - begun < 5
        assert same(decoder.read(MAN), read_photo(MAN))
    finally:
        decoder.close()


def test_others_are_read_meanwhile(decoder, slow):
    for worker in decoder._workers:
        worker.read(MAN, decode.SECONDS)  # they are ready
    threads = [threading.Thread(target=decoder.read, args=(path,)) for path in (slow, MAN)]
    for thread in threads:
        thread.start()
    threads[1].join()
    assert threads[0].is_alive()
    threads[0].join()


def test_a_process_that_dies_is_replaced(decoder):
    decoder.read(MAN)
    for worker in decoder._workers:
        if worker._started:
            worker._started[0].kill()
            worker._started[0].join()
    with pytest.raises(PictureError, match="reading it broke off; expected a whole picture"):
        decoder.read(MAN)
    assert same(decoder.read(MAN), read_photo(MAN))


def test_processes_end_with_the_decoder():
    decoder = Decoder()
    decoder.start()
    (process,) = [worker._started[0] for worker in decoder._workers if worker._started]
    assert process.is_alive()
    decoder.close()
    assert process.exitcode is not None
