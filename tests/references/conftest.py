import pytest
from people import COLOURS, ColourEmbedder, Giving, Scenes, both, hue
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.views import ReferencePhoto


@pytest.fixture(scope="module")
def restorer():
    return Giving()


@pytest.fixture
def scenes(patterns):
    return Scenes()


@pytest.fixture
def encode(restorer, scenes):
    """Encodes photographs given as {source: pixels}, all of one person; `others` are of other people."""

    def run(photos, onto=None, weights=None, person="anna"):
        given = [ReferencePhoto(p, name, person, (weights or {}).get(name, 1.0)) for name, p in photos.items()]
        return encode_references(given, restorer, both(ColourEmbedder()), scenes.detect, onto)

    return run


@pytest.fixture
def eve(monkeypatch):
    """One who is as like anna as a photograph may be that is used and doubted: 65 degrees away."""
    monkeypatch.setitem(COLOURS, "eve", hue(65))
