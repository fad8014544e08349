import pytest
from command import Darker, one_face
from people import ColourEmbedder, Giving, both
from resemblance.core.apps import faces as faces_room
from resemblance.core.apps import references as references_room
from resemblance.core.apps import restore as restore_room


@pytest.fixture
def fakes(monkeypatch):
    """Put a restorer and a detector in the place of the real ones; what they are loaded with goes into the list."""
    loaded = []
    monkeypatch.setattr(restore_room, "load_restorer", lambda *args: loaded.append(args) or Darker())
    monkeypatch.setattr(restore_room, "detector_from", lambda args: one_face)
    monkeypatch.setattr(faces_room, "detector_from", lambda args: one_face)
    return loaded


@pytest.fixture
def people(monkeypatch, patterns):
    """A restorer that reads references, people told apart by colour, and a face in the corner of every photograph."""
    restorers = []

    def load(*args):
        restorers.append(Giving())
        return restorers[-1]

    for room in (restore_room, references_room):
        monkeypatch.setattr(room, "load_restorer", load)
    monkeypatch.setattr(restore_room, "detector_from", lambda args: one_face)
    monkeypatch.setattr(references_room, "load_detector", lambda *args: None)
    monkeypatch.setattr(references_room, "detect_faces", lambda photos, backend: one_face(photos))
    monkeypatch.setattr(references_room, "load_embedders", lambda choice, *args: both(ColourEmbedder()))
    return restorers


@pytest.fixture
def refining(monkeypatch):
    """A restorer that refines in the place of the real one."""
    restorer = Giving(prior=True)
    monkeypatch.setattr(restore_room, "load_restorer", lambda *args: restorer)
    monkeypatch.setattr(restore_room, "detector_from", lambda args: one_face)
    monkeypatch.setattr(restore_room, "load_embedders", lambda device: both(ColourEmbedder()))
    return restorer
