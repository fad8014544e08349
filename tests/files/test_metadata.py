import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo
from resemblance.core.files.images import Photo, encode_photo, read_photo, write_photo
from resemblance.core.files.metadata import collect, sound
from resemblance.core.files.tags import OF_PIXELS, parse

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a xmlns:tiff="t" tiff:ImageWidth="8"/></x:xmpmeta>'
IPTC = b"\x1c\x02\x69\x00\x08Headline\x1c\x02\x19\x00\x05Anna!"  # records 2:105 and 2:25
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def exif(more: dict | None = None) -> Image.Exif:
    block = Image.Exif()
    block[271], block[0x8769] = "Maker", {0xA002: 8, 0xA003: 8, 0x9003: "2001:02:03 04:05:06", **(more or {})}
    read = Image.Exif()
    read.load(block.tobytes())
    return read


def saved(path: Path, kind: str) -> Path:
    """A picture of 8 px with all that its format carries, written by Pillow alone."""
    if kind == "JPEG":
        photoshop = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
        thumbnail = b"8BIM" + struct.pack(">HHI", 0x040C, 0, 4) + b"face"
        extra = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
        extra += segment(0xED, b"Photoshop 3.0\0" + thumbnail + photoshop)
        PICTURE.save(path, kind, exif=exif(), dpi=(300, 200), comment="Grané", extra=extra)
    elif kind == "PNG":
        texts = PngInfo()
        texts.add_text("parameters", "steps: 20")
        texts.add_text("workflow", '{"nodes": ["é"]}', zip=True)
        texts.add_itxt("prompt", "Café", lang="fr")
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        PICTURE.save(path, kind, exif=exif(), dpi=(300, 200), pnginfo=texts)
    elif kind == "WEBP":
        PICTURE.save(path, kind, exif=exif(), xmp=XMP)
    else:
        block = exif()
        block[700], block[33723], block[282], block[283], block[296] = XMP, IPTC, 300.0, 200.0, 2
        PICTURE.save(path, "TIFF", exif=block)
    return path


def written(path: Path, photo: Photo) -> tuple[str, ...]:
    """Write a photograph; gives what is left out."""
    data, notes = encode_photo(path, photo)
    path.write_bytes(data)
    return notes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_all_is_carried_through_its_own_format(tmp_path, kind):
    photo = read_photo(saved(tmp_path / f"in.{kind.lower()}", kind))
    assert photo.notes == ()
    larger = Photo(torch.rand(3, 16, 24), **{name: value for name, value in vars(photo).items() if name in CARRIED})
    target = tmp_path / f"out.{kind.lower()}"
    assert written(target, larger) == ()
    with Image.open(target) as image:
        image.load()
        assert image.getexif()[271] == "Maker"
        inner = image.getexif().get_ifd(0x8769)
        assert (inner[0xA002], inner[0xA003], inner[0x9003]) == (24, 16, "2001:02:03 04:05:06")
        assert XMP.replace(b'"8"', b'"24"') in target.read_bytes()
        if kind != "WEBP":
            assert [round(float(n), 1) for n in image.info["dpi"]] == [300, 200]
        if kind == "JPEG":
            assert image.info["comment"] == "Grané".encode() and list(image.info["photoshop"]) == [0x0404]
        if kind in ("JPEG", "TIFF"):
            assert IptcImagePlugin.getiptcinfo(image) == {(2, 105): b"Headline", (2, 25): b"Anna!"}
        if kind == "PNG":
            texts = image.text
            assert (texts["parameters"], texts["workflow"]) == ("steps: 20", '{"nodes": ["é"]}')
            assert texts["prompt"] == "Café" and texts["prompt"].lang == "fr"


CARRIED = ("exif", "icc", "xmp", "iptc", "text", "dpi", "compression")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_jpeg_as_png_and_back_loses_nothing(tmp_path, depth):
    photo = read_photo(saved(tmp_path / "a.jpg", "JPEG"))
    deep = Photo(photo.pixels, depth=depth, **{name: getattr(photo, name) for name in CARRIED})
    assert written(tmp_path / "b.png", deep) == ()
    assert written(tmp_path / "c.jpg", read_photo(tmp_path / "b.png")) == ()
    again = read_photo(tmp_path / "c.jpg")
    assert (again.xmp, again.iptc, again.text) == (photo.xmp, photo.iptc, photo.text)
    assert parse(again.exif[6:])[0].exif[0x9003] == parse(photo.exif[6:])[0].exif[0x9003]
    assert photo.iptc == IPTC and photo.text == (("Comment", "Grané"),) and photo.dpi == (300, 200)
    assert [round(n) for n in again.dpi] == [300, 200]


@pytest.mark.parametrize(
    ("kind", "suffix", "words"),
    [
        ("PNG", ".jpg", "JPEG has no place for the text 'parameters', the text 'workflow', the text 'prompt'"),
        ("JPEG", ".webp", "WEBP has no place for IPTC, the text 'Comment'"),
        ("JPEG", ".tif", "TIFF has no place for the text 'Comment'"),
        ("JPEG", ".bmp", "BMP has no place for EXIF, XMP, IPTC, the text 'Comment'"),
    ],
)
def test_what_another_format_cannot_hold_is_said(tmp_path, caplog, kind, suffix, words):
    photo = read_photo(saved(tmp_path / "in", kind))
    assert written(tmp_path / f"out{suffix}", photo) == (words,)
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path / f'out{suffix}'}: {words}."]


def test_the_resolution_of_a_jpeg_reaches_webp_as_exif(tmp_path):
    PICTURE.save(tmp_path / "a.jpg", dpi=(300, 300))
    write_photo(tmp_path / "a.webp", read_photo(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "a.webp") as image:
        assert image.getexif()[282] == 300


def test_too_much_for_a_jpeg_is_said_and_the_rest_is_written(tmp_path):
    block = exif({0x9286: b"ASCII\0\0\0" + bytes(70_000)})
    packet = XMP.replace(b"<a", b"<!--" + b"x" * 70_000 + b"--><a")
    PICTURE.save(tmp_path / "a.webp", exif=block, xmp=packet)
    photo = read_photo(tmp_path / "a.webp")
    first, second = written(tmp_path / "a.jpg", photo)
    assert "too large for the format (the user's comment)" in first and "XMP of 70" in second
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[271] == "Maker" and image.getexif().get_ifd(0x8769)[0xA002] == 8


@pytest.mark.parametrize("mark", ["HDR", "MPO"])
def test_the_gain_map_of_a_telephone_is_left_out_with_one_message(tmp_path, caplog, mark):
    if mark == "MPO":
        PICTURE.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[PICTURE.convert("L")])
    else:
        packet = XMP.replace(b"<a ", b'<a xmlns:hdrgm="h" hdrgm:Version="1.0" ')
        PICTURE.save(tmp_path / "a.jpg", extra=segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))
        with (tmp_path / "a.jpg").open("ab") as file:
            PICTURE.convert("L").save(file, "JPEG")
    photo = read_photo(tmp_path / "a.jpg")
    (note,) = photo.notes
    assert "gain map" in note and "left out" in note and len(caplog.records) == 1
    write_photo(tmp_path / "b.jpg", photo)
    assert read_photo(tmp_path / "b.jpg").notes == ()  # nothing promises what is not there


def test_the_gain_map_of_heic_is_left_out_with_a_message():
    image = Image.new("RGB", (8, 8))
    assert collect(image)[2] == []
    image.info["aux"] = {"urn:com:apple:photo:2020:aux:hdrgainmap": [49]}  # as pillow-heif tells of it
    (note,) = collect(image)[2]
    assert "gain map" in note and "left out" in note


def test_the_orientation_of_xmp_counts_where_exif_has_none(tmp_path):
    packet = XMP.replace(b"ImageWidth", b"Orientation").replace(b'"8"', b'"6"')
    for number, block in ((6, None), (8, exif())):
        if block:
            block[274] = 8
        texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet.decode())
        PICTURE.crop((0, 0, 8, 4)).save(tmp_path / "a.png", pnginfo=texts, **({"exif": block} if block else {}))
        photo = read_photo(tmp_path / "a.png")
        before = torch.from_numpy(np.array(PICTURE.crop((0, 0, 8, 4)))).permute(2, 0, 1) / 255
        assert torch.equal(photo.pixels, before.rot90(1 if number == 8 else -1, (1, 2)))
        assert b'Orientation="1"' in photo.xmp


def test_odd_resolutions_are_none():
    for dpi in (None, (), (0, 72), (float("nan"), 1), (float("inf"), 1), (-1, 1), ("a", 1), (1e9, 1)):
        assert sound(dpi) is None
    assert sound((72, 300.5)) == (72, 300.5)


def beside(data: bytes, kind: str) -> list[tuple[int, int]]:
    """Where in a file the contents lie that are no pixels."""
    if kind == "TIFF":
        tags = parse(data)[0]
        values = [value for tag, value in tags.main.items() if tag not in OF_PIXELS] + list(tags.exif.values())
        (table,) = struct.unpack_from(tags.order + "I", data, 4)
        entries = range(table + 2, table + 2 + 12 * struct.unpack_from(tags.order + "H", data, table)[0], 12)
        numbers = {place: struct.unpack_from(tags.order + "H", data, place)[0] for place in entries}
        # The bytes of an entry but its number, which could become one that is about pixels.
        spans = [(place + 2, place + 12) for place, number in numbers.items() if number not in OF_PIXELS]
        return spans + [(value.place, value.place + len(value.data)) for value in values]
    spans, place = [], {"JPEG": 2, "PNG": 8, "WEBP": 12}[kind]
    while place + 8 < len(data):
        if kind == "JPEG":
            name, start = data[place + 1], place + 4
            end = place + 2 + int.from_bytes(data[place + 2 : start], "big")
            place, kept = end, name in (0xE0, 0xE1, 0xED, 0xFE)
            if name == 0xDA:
                break
        elif kind == "PNG":
            name, start = data[place + 4 : place + 8], place + 8
            end = start + 4 + int.from_bytes(data[place : place + 4], "big")
            place, kept = end, name not in (b"IHDR", b"IDAT", b"IEND")
        else:
            name, start = data[place : place + 4], place + 8
            end = start + int.from_bytes(data[place + 4 : place + 8], "little")
            place, kept = end + end % 2, name in (b"EXIF", b"XMP ")
        spans += [(start, end)] if kept else []
    return spans


def spoilt(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """With four odd bytes in one of the contents; of PNG every other time with the checksum that belongs to them."""
    spans = beside(data, kind)
    start, end = spans[rng.integers(len(spans))]
    odd = bytearray(data)
    for place in rng.integers(start, end, 4):
        odd[place] = rng.integers(256)
    if kind == "PNG" and rng.integers(2):
        odd[end - 4 : end] = zlib.crc32(odd[start - 4 : end - 4]).to_bytes(4, "big")
    return bytes(odd)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_whatever_is_wrong_beside_the_pixels_they_are_read_and_written(tmp_path, kind):
    whole = saved(tmp_path / "whole", kind).read_bytes()
    assert len(beside(whole, kind)) >= 2
    pixels, rng = read_photo(tmp_path / "whole").pixels.flatten().sort()[0], np.random.default_rng(2)
    for attempt in range(150):
        (tmp_path / "a").write_bytes(spoilt(whole, kind, rng))
        photo = read_photo(tmp_path / "a")
        assert torch.equal(photo.pixels.flatten().sort()[0], pixels)  # the orientation may be another now
        suffix = (".jpg", ".png", ".webp", ".tif", ".bmp")[attempt % 5]
        write_photo(tmp_path / f"b{suffix}", photo)
        assert read_photo(tmp_path / f"b{suffix}").pixels.shape == photo.pixels.shape
