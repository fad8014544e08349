import pytest
import torch
from people import reasons
from resemblance.core.references.views import ReferencePhoto


def test_no_face_and_small_and_blurred_faces_are_refused(encode, scenes, caplog):
    photos = {
        "empty": scenes.photo(),
        "small": scenes.photo("anna", side=60),
        "blurred": scenes.photo("anna", blur=16),
        "good": scenes.photo("anna"),
    }
    found = encode(photos)
    assert found.people[0].sources == ("good",)
    why = reasons(found)
    assert "no face" in why["empty"]
    assert "60 px" in why["small"] and "64 px" in why["small"]
    assert "damaged" in why["blurred"] and "0.8" in why["blurred"]
    assert all(source in caplog.text for source in ("empty", "small", "blurred"))


@pytest.mark.parametrize(("weight", "person"), [(0, "anna"), (-1, "anna"), (float("inf"), "anna"), (1, "")])
def test_photographs_that_make_no_sense(weight, person):
    with pytest.raises(ValueError, match="expected"):
        ReferencePhoto(torch.zeros(3, 4, 4), "a", person, weight)
