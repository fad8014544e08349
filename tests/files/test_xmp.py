import pytest
from resemblance.core.files.xmp import fit, tells_of_gain_map, tidy

PACKET = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:Container="http://ns.google.com/photos/1.0/container/"
 tiff:Orientation="6" tiff:ImageWidth='40' hdrgm:Version="1.0" xmp:Rating="5">
<exif:PixelXDimension>40</exif:PixelXDimension><tiff:ImageLength>30</tiff:ImageLength>
<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/4AAQ</rdf:li></rdf:Alt></xmp:Thumbnails>
<Container:Directory><rdf:Seq><rdf:li/></rdf:Seq></Container:Directory>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Gran\xc3\xa9</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def test_what_stays_true_is_kept_and_what_does_not_is_corrected():
    assert tells_of_gain_map(PACKET)
    packet, orientation, notes = tidy(PACKET)
    assert orientation == 6 and notes == [] and not tells_of_gain_map(packet)
    packet = fit(packet, 600, 800)
    for words in (b'tiff:Orientation="1"', b"tiff:ImageWidth='600'", b"<exif:PixelXDimension>600<", b'xmp:Rating="5"'):
        assert words in packet
    assert b"<tiff:ImageLength>800</tiff:ImageLength>" in packet and "Grané".encode() in packet
    for words in (b"Thumbnails", b"Directory", b"/9j/"):
        assert words not in packet
    assert tidy(packet) == (packet, 1, [])  # it is still XML


def test_what_is_not_there_is_not_added():
    bare = b'<x xmlns:tiff="a"/>'
    assert tidy(bare) == (bare, None, []) and fit(bare, 1, 1) == bare


@pytest.mark.parametrize(
    "packet", [PACKET[:-80], b"\xff\xfe nonsense", b"", PACKET.replace(b"\xc3\xa9", b"\xe9"), "<x/>".encode("utf-16")]
)
def test_what_is_no_xml_is_left_out(packet):
    left, orientation, (note,) = tidy(packet)
    assert left is None and orientation is None and note.startswith("its XMP is malformed and is left out (")
