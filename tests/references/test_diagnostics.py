"""What references did to a face, measured."""

import json

import numpy as np
import pytest
from people import ColourEmbedder, Giving, Scenes, both
from resemblance.core.faces.crop import crop_faces
from resemblance.core.loading import Models
from resemblance.core.pipeline import RestoreOptions, restore_crops, restore_photos
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.options import ReferenceOptions
from resemblance.core.references.views import ReferencePhoto
from resemblance.core.reports import restored_record


@pytest.fixture
def scenes(patterns):
    return Scenes()


@pytest.fixture
def giving():
    return Giving()


@pytest.fixture
def references(giving, scenes):
    photos = [ReferencePhoto(scenes.photo(name, seed=n), f"{name}.jpg", name) for n, name in enumerate(("anna", "bob"))]
    return encode_references(photos, giving, both(ColourEmbedder()), scenes.detect)


def test_what_references_did_is_measured(giving, references, scenes):
    photo = scenes.photo("anna", seed=5, blur=16)[None]
    models = Models(giving, both(ColourEmbedder()))
    options = RestoreOptions(blend=0.5, references=ReferenceOptions(diagnostics=True))
    result = restore_photos(photo, models, scenes.detect, options, references)
    (report,) = result.faces
    found = report.restored.diagnostics
    crops = crop_faces(photo, scenes.detect(photo))
    target = references.people[0].matching_embeddings[0]

    def alike(faces):
        return float(ColourEmbedder().embed(0.5 * crops.pixels + 0.5 * faces)[0] @ target)

    with_references, _ = restore_crops(crops, models, references=references)
    assert found.before == pytest.approx(alike(crops.pixels), abs=1e-5)
    assert found.blind == pytest.approx(alike(giving.restore(crops.pixels)), abs=1e-3)  # features kept in bfloat16
    assert found.after == pytest.approx(alike(with_references), abs=1e-5) and found.after != found.blind
    ((source, share),) = found.taken
    assert source == "anna.jpg" and share == pytest.approx(0.5)  # what the restorer says, everywhere
    assert found.attribution.shape == (3, 512, 512) and found.invention.shape == (1, 512, 512)
    weights = crops.masks[0].numpy()
    assert found.invented == pytest.approx(np.average(found.invention.numpy(), weights=weights), abs=1e-5)
    assert abs(found.invented - float(found.invention.mean())) > 1e-3  # so it matters that it is over the face
    record = json.loads(json.dumps(restored_record(report)))
    assert record["person"] == "anna" and record["with_references"] is True
    assert record["identity_to_references"]["restored_with"] == round(found.after, 3)
    assert record["taken"] == {"anna.jpg": 0.5} and record["match"]["score"] > 0.9
