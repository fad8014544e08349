from dataclasses import replace

import pytest
import torch
from people import ColourEmbedder, Giving, Scenes, both
from resemblance.core.faces.crop import aligned_crops, crop_faces
from resemblance.core.faces.preview import COLOURS
from resemblance.core.records import FaceQuality
from resemblance.core.references import transfer as transfer_module
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.transfer import Transferred, attribution_map, photographs_for, transfer_texture
from resemblance.core.references.views import ReferencePhoto
from resemblance.core.restorers.tokens import encode_tokens


@pytest.fixture
def restorer():
    return Giving()


@pytest.fixture
def scenes(patterns):
    return Scenes()


@pytest.fixture
def references(restorer, scenes):
    photos = [ReferencePhoto(scenes.photo("anna", seed=n), f"anna {n}", "anna") for n in (1, 2)]
    photos.append(ReferencePhoto(scenes.photo("bob", seed=3), "bob 3", "bob"))
    return encode_references(photos, restorer, both(ColourEmbedder()), scenes.detect)


@pytest.fixture
def tokens(restorer, scenes):
    """A blurred anna and a blurred bob."""
    photo = scenes.photo("anna", "bob", blur=16)[None]
    return encode_tokens(crop_faces(photo, scenes.detect(photo)), restorer)


def test_each_face_gets_its_own_person(tokens, references):
    result = transfer_texture(tokens, references, 0.5, ["bob", None])
    assert tokens.restorer.given == [[("bob 3",), None]]
    bob = references.people[1]
    assert tokens.restorer.amounts == [1.0, 1.0]  # no doubt was told of
    assert torch.equal(result.tokens.content[0], tokens.content[0] + 0.5 * bob.content[0])
    assert torch.equal(result.tokens.content[1], tokens.content[1])
    assert photographs_for(tokens, references, ["bob", None]) == [bob, None]
    assert [a.shape for a in result.attribution] == [(1, 32, 32), (0, 32, 32)]
    assert (result.attribution[0] == 0.5).all() and result.people == (bob, None) and result.unused == ((), ())


def test_the_labels_of_the_faces_are_taken(tokens, references):
    first, second = tokens.crops.faces
    faces = (replace(first, person="anna"), replace(second, person=""))
    result = transfer_texture(replace(tokens, crops=replace(tokens.crops, faces=faces)), references)
    assert tokens.restorer.given == [[("anna 1", "anna 2"), None]] and result.attribution[0].shape == (2, 32, 32)


@pytest.mark.parametrize(("strength", "people"), [(0.0, ["anna", "bob"]), (1.0, [None, None]), (1.0, None)])
def test_nothing_is_taken(tokens, references, strength, people):
    result = transfer_texture(tokens, references, strength, people)
    assert result.tokens is tokens and tokens.restorer.given == []
    assert not any(shares.any() for shares in result.attribution)


def test_the_very_picture_is_no_reference(restorer, scenes, references):
    # the photograph of one reference, restored itself: it is its own only to the other
    crops = aligned_crops(references.people[0].faces[:1])
    tokens = encode_tokens(crops, restorer)
    result = transfer_texture(tokens, references, people=["anna"])
    assert restorer.given == [[("anna 2",)]]
    (person,) = photographs_for(tokens, references, ["anna"])
    assert person.sources == ("anna 2",) and torch.equal(person.faces, references.people[0].faces[1:])
    assert result.unused == ((("anna 1", "it is the very picture that is to be restored"),),)
    assert not result.attribution[0][0].any() and (result.attribution[0][1] == 0.5).all()


def test_a_reference_worse_than_the_face_is_passed_over(restorer, scenes):
    blurred = ReferencePhoto(scenes.photo("anna", seed=1, blur=8), "blurred", "anna")
    references = encode_references([blurred], restorer, both(ColourEmbedder()), scenes.detect)
    assert references.people

    def given(blur):
        photo = scenes.photo("anna", seed=2, blur=blur)[None]
        tokens = encode_tokens(crop_faces(photo, scenes.detect(photo)), restorer)
        return transfer_texture(tokens, references, people=["anna"]), tokens

    better, tokens = given(4)
    assert better.tokens is tokens and better.people == (None,) and restorer.given == []
    assert "more damaged" in better.unused[0][0][1] and better.attribution[0].shape == (1, 32, 32)
    worse, tokens = given(16)
    assert worse.tokens is not tokens and worse.unused == ((),)


def test_a_good_reference_is_good_for_any_face(restorer, scenes, references):
    # what the measure takes for a sharp face may be full of JPEG's blocks
    photo = scenes.photo("anna", seed=9, side=512)[None]
    tokens = encode_tokens(crop_faces(photo, scenes.detect(photo)), restorer)
    assert transfer_texture(tokens, references, people=["anna"]).unused == ((),)


def test_restorers_that_cannot_take_texture_blend_codes(tokens, references, monkeypatch):
    blended = []
    monkeypatch.setattr(
        transfer_module, "blend_codes", lambda *args: blended.append(args) or (args[0], [torch.ones(2, 32, 32)])
    )
    tokens.restorer.transfers = False
    result = transfer_texture(tokens, references, 0.3, ["anna", None])
    ((given, people, strength, amounts, _),) = blended
    assert given is tokens and strength == 0.3 and amounts == [1, 1]
    assert people[1] is None and people[0].sources == ("anna 1", "anna 2")
    assert (result.attribution[0] == 1).all() and tokens.restorer.given == []


def test_what_does_not_fit(tokens, references):
    with pytest.raises(ValueError, match="references were encoded by the restorer 1234"):
        transfer_texture(tokens, replace(references, restorer="1234"))
    with pytest.raises(ValueError, match="1 names for 2 faces"):
        transfer_texture(tokens, references, people=["anna"])
    with pytest.raises(ValueError, match=r"'zoe' is not among.* expected one of anna, bob"):
        transfer_texture(tokens, references, people=["zoe", None])
    with pytest.raises(ValueError, match=r"strength of the references was 1\.5; expected 0 to 1"):
        transfer_texture(tokens, references, 1.5)


def test_the_map_shows_each_photograph_in_its_colour(tokens, references):
    grey = torch.full((2, 3, 768, 768), 0.5)
    crops = replace(tokens.crops, pixels=grey, masks=grey[:, :1], margin=0.25)
    left = torch.zeros(2, 32, 32)
    left[0, :, :16] = 1.0  # the first photograph gave the left half of the first face, the second the right
    left[1, :, 16:] = 0.5
    people = (references.people[0], None)
    moved = replace(tokens, crops=crops)
    picture = attribution_map(Transferred(moved, (left, torch.zeros(0, 32, 32)), people, ((), ())))
    assert picture.shape == (2, 3, 768, 768) and torch.allclose(picture[1], grey[1])
    assert torch.allclose(picture[0, :, 100], grey[0, :, 100]) and torch.allclose(
        picture[0, :, :, 660], grey[0, :, :, 660]
    )
    first, second = (torch.tensor(COLOURS[n]) / 255 for n in (0, 1))
    assert torch.allclose(picture[0, :, 300, 200], 0.4 * 0.5 + 0.6 * first, atol=1e-5)
    assert torch.allclose(picture[0, :, 300, 600], 0.7 * 0.5 + 0.3 * second, atol=1e-5)
    nobody = replace(crops, pixels=grey[:0], masks=grey[:0, :1], faces=())
    assert attribution_map(Transferred(replace(moved, crops=nobody), (), (), ())).shape == (0, 3, 768, 768)


def test_less_is_taken_where_it_is_not_sure_of_the_person(tokens, references):
    first, second = tokens.crops.faces
    faces = (replace(first, person="bob", match_chance=0.6), replace(second, person="bob", by_hand=True))
    given = replace(tokens, crops=replace(tokens.crops, faces=faces))
    result = transfer_texture(given, references, 0.5)
    assert tokens.restorer.amounts == [pytest.approx(16 / 81), 1.0]  # 0.6 in parts of 0.9, to the fourth power
    content = references.people[1].content[0]
    assert torch.allclose(result.tokens.content[0], tokens.content[0] + 0.5 * 16 / 81 * content)
    assert torch.allclose(result.tokens.content[1], tokens.content[1] + 0.5 * content)


@pytest.mark.parametrize(("sharpness", "most"), [(0.0, 1.0), (0.1, 0.7), (0.2, 0.5), (0.9, 0.5)])
def test_the_more_a_face_shows_of_itself_the_less_is_taken(tokens, references, sharpness, most):
    first, second = tokens.crops.faces
    quality = FaceQuality(sharpness, 100.0, 0.0, 1.0)
    faces = (
        replace(first, person="anna", quality=quality),
        replace(second, person="bob", quality=quality, match_chance=0.6),
    )
    given = replace(tokens, crops=replace(tokens.crops, faces=faces))
    transfer_texture(given, references, 0.5)
    assert tokens.restorer.amounts == pytest.approx([most, 16 / 81 * most])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"content": torch.zeros(2, 8, 16, 16)},
            "content of the references of 'anna' have the shape .8, 16, 16.*8, 32",
        ),
        (
            {"code_latent": torch.zeros(2, 4, 32, 32)},
            "code words of the references of 'anna' have the shape .4, 32, 32",
        ),
        ({"skips": {}}, "features of .* px of the references of 'anna' have the shape .*expected the same. Encode"),
    ],
)
def test_photographs_encoded_to_other_shapes(tokens, references, change, words):
    """A file may say that it is of this restorer."""
    anna, bob = references.people
    wrong = replace(references, people=(replace(anna, **change), bob))
    for step in (transfer_texture, photographs_for):
        with pytest.raises(ValueError, match=words):
            step(tokens, wrong, people=["anna", None])
    transfer_texture(tokens, wrong, people=["bob", None])
