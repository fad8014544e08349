from dataclasses import replace
from functools import partial

import pytest
import torch
from pages import MAN, references, take
from resemblance.core.apps.page.graph import Settings
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.files.images import read_photo
from resemblance.core.pipeline import RestoreOptions, restore_crops, restore_photos
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.matching import labelled, match_faces
from resemblance.core.references.options import ReferenceOptions
from resemblance.core.references.views import ReferencePhoto
from resemblance.core.refinement import RefinementOptions


def made_by(session, face, settings):
    """The stages of a face that a change of settings computes."""
    made = session.opened.kept[face].made
    before = len(made)
    session.drawn(face, settings)
    return made[before:]


def test_a_slider_computes_only_what_it_changes(session):
    take(session, [MAN])
    assert made_by(session, 0, Settings()) == ["encode", "decode"]
    assert made_by(session, 0, Settings()) == []
    assert made_by(session, 0, Settings(content=0.5)) == ["decode"]
    assert made_by(session, 0, Settings(content=0.5, quality=0.5)) == ["decode"]
    take(session, [MAN], references("man", 1, 2))
    made_by(session, 0, Settings())
    assert made_by(session, 0, Settings(strength=0.5)) == ["transfer", "decode"]
    assert made_by(session, 0, Settings(strength=0.5, content=0)) == ["decode"]
    assert made_by(session, 0, Settings(steps=1)) == ["refine", "transfer", "decode"]
    assert made_by(session, 0, Settings(steps=1, strength=0)) == ["transfer", "decode"]


def test_a_face_is_drawn_as_the_library_draws_it(session):
    """Without references, with them, and refined."""
    studio = session.studio
    photo = read_photo(MAN).pixels[None]
    take(session, [MAN])
    (report,) = restore_photos(photo, studio.models, studio.detect, RestoreOptions(0.5, 1.0)).faces
    crops = crop_faces(photo, [report.face])
    blind = studio.restorer.restore(crops.pixels, 0.5)
    # Tokens carry encoder features in bfloat16, which the network need not run in.
    assert torch.allclose(session.drawn(0, Settings(content=0.5)).after, blind[0], atol=1 / 255)
    take(session, [MAN], references("man", 1, 2))
    photos = [ReferencePhoto(read_photo(path).pixels, path.name, "him") for path in references("man", 1, 2)]
    detect = partial(detect_faces, backend="built-in", min_size=1)
    found = encode_references(photos, studio.restorer, studio.models.telling_apart, detect)
    (match,) = match_faces(crops, found, studio.models.telling_apart)
    assert match.person == "him"
    crops = replace(crops, faces=(labelled(crops.faces[0], match),))
    refinement = RefinementOptions(2)
    options = RestoreOptions(0.5, references=ReferenceOptions(0.7, diagnostics=True), refinement=refinement)
    faces, (report,) = restore_crops(crops, studio.models, options, found)
    shown = report.restored.diagnostics
    drawn = session.drawn(0, Settings(0.5, strength=0.7, steps=refinement.steps))
    assert torch.allclose(drawn.after, faces[0], atol=1e-4)
    assert drawn.likeness == pytest.approx((shown.before, shown.after), abs=1e-3)
    assert [share for _, share in drawn.taken] == pytest.approx([share for _, share in shown.taken], abs=1e-3)
    assert drawn.invented == pytest.approx(shown.invented, abs=1e-3)


@pytest.mark.parametrize("name, change", [("content", 0.0), ("quality", 0.0), ("strength", 0.0), ("steps", 4)])
def test_every_slider_changes_the_face(session, name, change):
    take(session, [MAN], references("man", 1))
    plain = session.drawn(0, Settings()).after
    changed = session.drawn(0, Settings(**{name: change})).after
    assert float((changed - plain).abs().mean()) > 0.002


def test_less_is_drawn_of_whom_it_is_less_sure(studio, biased):
    """The stages of a face are kept for one chance alone."""
    likely, unlikely = biased(7.0), biased(-1.0)
    drawn = []
    for session in (likely, unlikely):
        take(session, [MAN], references("man", 1))
        drawn.append(session.drawn(0, Settings()))
    assert float((drawn[0].after - drawn[1].after).abs().max()) > 0.01
    (_, more), (_, less) = (d.taken[0] for d in drawn)
    assert less < more
    unlikely.belongs(0, 0)
    assert unlikely.drawn(0, Settings()).taken[0][1] > less
