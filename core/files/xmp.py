"""XMP packets (XML), made true of the picture that is written; all else in them stays as it is."""

from __future__ import annotations

import re
from xml.parsers import expat

# Small copies of the picture, and what points to pictures behind it in the file, which are not written: HDR gain maps,
# films, depth maps (Adobe's XMP specification, part 2; Android's Ultra HDR and Motion Photo formats).
OF_THE_FILE = (
    b"xmp:Thumbnails",
    b"xap:Thumbnails",
    b"hdrgm:Version",
    b"Container:Directory",
    b"GContainer:Directory",
    b"xmpNote:HasExtendedXMP",
    b"GCamera:MicroVideo",
    b"GCamera:MicroVideoOffset",
    b"GCamera:MotionPhoto",
    b"apdi:AuxiliaryImageType",
)
GAIN_MAP = re.compile(rb"hdrgm:Version|HDRGainMap:|GainMap\b")
WIDTHS = (b"tiff:ImageWidth", b"exif:PixelXDimension")
HEIGHTS = (b"tiff:ImageLength", b"exif:PixelYDimension")


def tidy(packet: bytes) -> tuple[bytes | None, int | None, list[str]]:
    """What of a packet is true of the upright picture.

    Returns:
        The packet, or None; the orientation that it gave, 1 to 8, or None; and what is left out, in words.
    """
    packet = packet.strip(b"\0")
    try:
        packet.decode()
        expat.ParserCreate().Parse(packet, True)
    except (expat.ExpatError, UnicodeDecodeError) as error:
        return None, None, [f"its XMP is malformed and is left out ({error})"]
    given = re.search(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])\b", packet)
    for name in OF_THE_FILE:
        packet = _without(packet, name)
    return _with(packet, b"tiff:Orientation", 1), int(given[1]) if given else None, []


def fit(packet: bytes, width: int, height: int) -> bytes:
    """A packet that says the size of the picture that is written [px]."""
    for names, size in ((WIDTHS, width), (HEIGHTS, height)):
        for name in names:
            packet = _with(packet, name, size)
    return packet


def tells_of_gain_map(packet: bytes) -> bool:
    """Whether a packet says that a gain map, for HDR screens, lies behind the picture."""
    return GAIN_MAP.search(packet) is not None


def _with(packet: bytes, name: bytes, value: int) -> bytes:
    """With another value of a property that is there, as an attribute or an element."""
    packet = re.sub(rb"(\b%b\s*=\s*[\"'])[^\"'<>]*" % name, rb"\g<1>%d" % value, packet)
    return re.sub(rb"(<%b\s*>)[^<]*(?=</)" % name, rb"\g<1>%d" % value, packet)


def _without(packet: bytes, name: bytes) -> bytes:
    packet = re.sub(rb"\s%b\s*=\s*(\"[^\"<]*\"|'[^'<]*')" % name, b"", packet)
    if b"</" + name not in packet:
        return re.sub(rb"<%b\b[^<>]*/>" % name, b"", packet)
    return re.sub(rb"<%b\b[^<>]*(/>|(?<!/)>.*?</%b\s*>)" % (name, name), b"", packet, flags=re.DOTALL)
