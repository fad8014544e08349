import pytest
from PIL import Image, ImageCms
from resemblance.core.files.colour import cmyk_to_rgb


@pytest.mark.parametrize("icc", [None, b"nonsense", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()])
def test_without_a_profile_of_ink_the_plain_way_is_taken(icc):
    ink = Image.new("CMYK", (2, 2), (0, 255, 255, 0))  # no cyan: red
    ink.info["icc_profile"] = icc
    assert cmyk_to_rgb(ink).getpixel((0, 0)) == (255, 0, 0)
