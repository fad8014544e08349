"""Printers' colours, brought to those of screens."""

from __future__ import annotations

import io

from PIL import Image, ImageCms


def cmyk_to_rgb(image: Image.Image) -> Image.Image:
    """CMYK → sRGB through the picture's profile; without one, or with a broken one, as Pillow does it."""
    icc = image.info.get("icc_profile")
    if icc:
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            converted = None  # a broken profile, or one that is not of CMYK
        if converted is not None:
            return converted
    return image.convert("RGB")
