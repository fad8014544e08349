"""Which formats are written, which are read, and what is to be done about those that are not."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

# What is written, and read too: Pillow's names by suffix.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
# What Pillow reads wherever it is installed.
READABLE = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
KNOWN = "PNG, JPEG, WebP, BMP, TIFF, GIF or AVIF"
# What is read, if at all, and never written: results are PNG.
READ_ONLY = {
    ".gif": "GIF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".jxl": "JXL",
}
EXTRA = 'pip install "resemblance[formats]"'
# Formats that need more than the Pillow of every ComfyUI: the package that reads them, and what to do without it.
NEEDED = {
    "AVIF": ("PIL._avif", "AVIF is read from Pillow 11.3 on: pip install --upgrade pillow"),
    "HEIF": ("pillow_heif", f"HEIC is read after {EXTRA}"),
    "JXL": ("pillow_jxl", f"JPEG XL is read after {EXTRA}"),
}
# Cameras' own raw files.
RAW = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"}
    | {".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
OTHERS = frozenset(
    {".exr", ".hdr", ".ico", ".j2k", ".jp2", ".pcx", ".pgm", ".pnm", ".ppm", ".psb", ".psd", ".svg", ".tga", ".xcf"}
)


def is_picture(suffix: str) -> bool:
    """Whether files of this suffix hold pictures, read here or not."""
    return suffix.lower() in {*FORMATS, *READ_ONLY, *RAW, *OTHERS}


def why_not(suffix: str) -> str | None:
    """Why pictures of this suffix are not read here, and what to do, or None where they are."""
    suffix = suffix.lower()
    if suffix in FORMATS:
        return None
    if suffix in READ_ONLY:
        return without(READ_ONLY[suffix])
    if suffix in RAW:
        return "a camera's raw file is not read; develop it to TIFF or PNG first"
    if suffix in OTHERS:
        return "this format is not read; convert it to PNG first"
    return f"its suffix '{suffix}' is no picture's; convert or rename it"


def without(kind: str) -> str | None:
    """What to do where a format of Pillow's name `kind` needs a package that is not installed; else None."""
    package, advice = NEEDED.get(kind, ("", ""))
    return advice if package and find_spec(package) is None else None


def readable() -> tuple[str, ...]:
    """Pillow's names of all that can be read here; the packages of those that need one are loaded."""
    kinds = list(READABLE)
    for kind, (package, _) in NEEDED.items():
        if find_spec(package) is not None:
            kinds.append(kind)
            loaded = import_module({"AVIF": "PIL.AvifImagePlugin"}.get(kind, package))
            if kind == "HEIF":
                loaded.register_heif_opener()
    return tuple(kinds)


def kind_of(data: bytes) -> str | None:
    """The format of `NEEDED` that the first bytes of a file belong to, or None (ISO/IEC 23008-12, 18181-2)."""
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JXL"
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    return {b"avif": "AVIF", b"avis": "AVIF"}.get(brand) or ("HEIF" if brand[:3] in (b"hei", b"hev", b"mif") else None)
