"""What belongs to a photograph beside its pixels: found in a file of any format, and told to the writer of another."""

from __future__ import annotations

import struct
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from . import exif, xmp
from .photo import Carried

JPEG_ROOM = 65533  # bytes in one segment of a JPEG file, less its length (ITU-T T.81, B.1.1.4)
XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP_MARK = b"Photoshop 3.0\0"
IPTC_RESOURCE = 0x0404  # Adobe Photoshop File Formats Specification, "Image Resource IDs"
COMMENT = "Comment"  # PNG's own key for one (PNG specification, section 11.3.3.2)
PNG_XMP = "XML:com.adobe.xmp"
PNG_PROFILE = "Raw profile type "  # ImageMagick's key for blocks of other formats, written in hexadecimal digits
OTHERS = "the others (from a telephone: the gain map for HDR screens, a depth map, a film)"


def collect(image: Image.Image) -> tuple[Carried, int, list[str]]:
    """What Pillow found in a file beside the pixels; the picture is loaded, and no TIFF file's (see :mod:`.tiff`).

    Returns:
        It; how the picture lies in the file, 1 to 8 (EXIF 2.32, tag Orientation); and what is left out, in words.
    """
    info, notes = image.info, []
    segments = [content for kind, content in getattr(image, "applist", ()) if kind == "APP1"]
    texts = dict(getattr(image, "text", {}))
    # HEIC keeps what goes with its picture apart from other pictures.
    several = getattr(image, "n_frames", 1) > 1 or any(info.get(key) for key in ("aux", "depth_images"))
    if several:
        notes.append(f"it holds several pictures: the main one is read, {OTHERS} are left out")
    if any(segment.startswith(EXTENDED_XMP) for segment in segments):
        notes.append("the second part of its XMP is left out")

    block = info.get("exif") or _profile(texts, "exif") or _profile(texts, "APP1")
    block, orientation, told = exif.tidy(block) if isinstance(block, bytes) else (None, None, [])
    notes += told
    if getattr(image, "jpeg", None) is False:  # JPEG XL's own pixels are upright, whatever EXIF says (ISO 18181-2)
        orientation = 1

    packet = next((s.removeprefix(XMP_MARK) for s in segments if s.startswith(XMP_MARK)), info.get("xmp"))
    packet = packet or texts.get(PNG_XMP, "").encode() or None
    if isinstance(packet, str):
        packet = packet.encode()
    if packet:
        if not several and xmp.tells_of_gain_map(packet):
            notes.append("the gain map for HDR screens is left out")
        packet, turned, told = xmp.tidy(packet)
        orientation, notes = orientation or turned, notes + told

    resources = info.get("photoshop") or _resources(_profile(texts, "iptc") or b"")
    comment = info.get("comment")
    if isinstance(comment, bytes):
        texts.setdefault(COMMENT, _decoded(comment))
    kept = tuple((k, v) for k, v in texts.items() if k != PNG_XMP and not k.startswith(PNG_PROFILE))
    carried = Carried(
        exif=block,
        icc=info.get("icc_profile") or None,
        xmp=packet,
        iptc=resources.get(IPTC_RESOURCE),
        text=kept,
        dpi=_resolution(image),
    )
    return carried, orientation or 1, notes


def options(kind: str, carried: Carried, width: int, height: int) -> tuple[dict[str, Any], list[str]]:
    """What Pillow's writer of a format is told (see :mod:`.tiff` for TIFF), and what the format has no room for.

    Args:
        kind: ``"PNG"``, ``"JPEG"``, ``"WEBP"`` or ``"BMP"``.
        carried: what belongs to the photograph.
        width: of the picture that is written [px].
        height: of the picture that is written [px].

    Returns:
        Options of ``Image.save``, and what is left out, in words.
    """
    limit = JPEG_ROOM if kind == "JPEG" else None
    block, notes = exif.fit(carried.exif, width, height, limit, carried.dpi if kind == "WEBP" else None)
    packet = xmp.fit(carried.xmp, width, height) if carried.xmp else None
    given: dict[str, Any] = {"exif": block, "icc_profile": carried.icc, "dpi": carried.dpi}
    lost: dict[str, Any] = {}
    texts = dict(carried.text)
    if kind == "PNG":
        given["pnginfo"] = _png_texts(carried, packet)
        texts = {}
    elif kind == "JPEG":
        given["extra"], told = _jpeg_segments(packet, carried.iptc)
        notes += told
        comment = texts.get(COMMENT, "").encode(errors="replace")
        if comment and len(comment) <= JPEG_ROOM:
            given["comment"] = comment
            del texts[COMMENT]
    elif kind == "WEBP":
        given |= {"xmp": packet, "dpi": None}
        lost = {"IPTC": carried.iptc}
    else:
        given = {"dpi": carried.dpi}
        lost = {"EXIF": block, "XMP": packet, "IPTC": carried.iptc, "a colour profile": carried.icc}
    missing = [name for name, value in lost.items() if value] + [f"the text '{key}'" for key in texts]
    if missing:
        notes.append(f"{kind} has no place for {', '.join(missing)}")
    return {name: value for name, value in given.items() if value is not None}, notes


def _png_texts(carried: Carried, packet: bytes | None) -> PngInfo:
    chunks = PngInfo()
    if packet:
        chunks.add_itxt(PNG_XMP, packet.decode(errors="replace"))
    if carried.iptc:
        digits = _resource(carried.iptc).hex()
        lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
        chunks.add_text(f"{PNG_PROFILE}iptc", f"\niptc\n{len(digits) // 2:8}\n{lines}\n", zip=True)
    for key, text in carried.text:
        chunks.add_text(key, text, zip=len(text) > 1024)
    return chunks


def _jpeg_segments(packet: bytes | None, iptc: bytes | None) -> tuple[bytes | None, list[str]]:
    segments, notes = b"", []
    for name, mark, marker, content in (
        ("XMP", XMP_MARK, b"\xff\xe1", packet),
        ("IPTC", PHOTOSHOP_MARK, b"\xff\xed", iptc and _resource(iptc)),
    ):
        if content and len(mark + content) > JPEG_ROOM:
            notes.append(f"{name} of {len(content)} bytes is left out: JPEG has room for {JPEG_ROOM - len(mark)}")
        elif content:
            segments += marker + struct.pack(">H", len(mark + content) + 2) + mark + content
    return segments or None, notes


def _resource(iptc: bytes) -> bytes:
    """IPTC records as Photoshop's block of them: kind, no name, length, an even number of bytes."""
    return b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) & 1)


def _resources(block: bytes) -> dict[int, bytes]:
    """The reverse, where it is the first of the blocks."""
    if len(block) < 12 or block[:4] != b"8BIM":
        return {}
    kind, _, size = struct.unpack_from(">HHI", block, 4)
    return {kind: block[12 : 12 + size]}


def _profile(texts: dict[str, str], kind: str) -> bytes | None:
    """A block that a PNG file keeps in a text: a line with its kind, one with its length, hexadecimal digits."""
    lines = texts.get(PNG_PROFILE + kind, "").split("\n")
    try:
        return bytes.fromhex("".join(lines[3:])) or None
    except ValueError:
        return None


def _decoded(text: bytes) -> str:
    text = text.rstrip(b"\0")
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    if image.format not in ("JPEG", "MPO"):
        return sound(image.info.get("dpi"))
    inches = {1: 1.0, 2: 2.54}.get(image.info.get("jfif_unit", 0))  # where JPEG says nothing, Pillow makes it up
    return sound(tuple(n * inches for n in image.info["jfif_density"])) if inches else None


def sound(dpi: Any) -> tuple[float, float] | None:
    """A resolution that every format has room for, or None."""
    try:
        across, down = (float(n) for n in dpi)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (across, down) if 0 < min(across, down) <= max(across, down) < 65535 else None
