import json
import math
from dataclasses import dataclass, field, replace

import pytest
import torch
from people import ColourEmbedder, Giving, Scenes, both
from resemblance.core.faces.crop import aligned_crops, crop_faces
from resemblance.core.faces.measure import measure_quality
from resemblance.core.faces.paste import PasteOptions
from resemblance.core.geometry import TEMPLATE
from resemblance.core.loading import Models
from resemblance.core.pipeline import RestoreOptions, blend_for, restore_crops, restore_photos
from resemblance.core.records import Face
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.matching import labelled, match_faces
from resemblance.core.references.options import ReferenceOptions
from resemblance.core.references.transfer import needed, transfer_texture
from resemblance.core.references.views import ReferencePhoto
from resemblance.core.refinement import RefinementOptions, refine_tokens
from resemblance.core.reports import restored_record
from resemblance.core.restorers.tokens import encode_tokens


@dataclass
class Stripes:
    """A restorer that draws stripes over every face, and remembers how it was called."""

    name: str = "stripes"
    fingerprint: str = "0" * 16
    licence: str = "none"
    network: None = None
    with_tokens: None = None
    room: int = 100
    tint: tuple = (1.0, 1.0, 1.0)
    calls: list = field(default_factory=list)

    def restore(self, faces, fidelity=None, progress=None):
        self.calls.append((len(faces), fidelity))
        if progress:
            progress()
        if len(faces) > self.room:
            raise torch.cuda.OutOfMemoryError("no room")
        stripes = (torch.arange(512) // 8 % 2).float() * 0.5
        return (faces * 0.5 + stripes) * torch.tensor(self.tint).view(3, 1, 1)


def face(image: int, index: int, x: float, y: float, side: float = 160.0) -> Face:
    """A face whose template's top-left corner lies at (x, y) and has the given side."""
    points = tuple((x + px * side / 512, y + py * side / 512) for px, py in TEMPLATE)
    return Face(image, index, (x, y, x + side, y + side), 0.9, points)


def soft(*shape: int) -> torch.Tensor:
    """Photographs without fine texture: every face in them counts as blurred."""
    torch.manual_seed(0)
    small = torch.rand(shape[0], 3, 6, 6)
    return torch.nn.functional.interpolate(small, shape[1:], mode="bicubic").clamp(0, 1)


def restore_aligned(faces, *args, **options):
    return restore_crops(aligned_crops(faces), *args, **options)[0]


def finder(*faces: Face):
    return lambda photos: list(faces)


def test_only_the_face_changes():
    photo = soft(1, 300, 400)
    before = photo.clone()
    result = restore_photos(photo, Models(Stripes()), finder(face(0, 0, 40, 60)))
    assert torch.equal(photo, before)
    assert result.pixels.shape == photo.shape and result.masks.shape == (1, 1, 300, 400)
    untouched = (result.masks == 0).expand_as(photo)
    assert torch.equal(result.pixels[untouched], photo[untouched])
    assert untouched[0, 0, :, 210:].all() and untouched[0, 0, 230:].all()
    assert (result.pixels - photo)[..., 130:160, 100:140].abs().mean() > 0.05
    (report,) = result.faces
    assert report.restored.blend == 1 and report.restored.seconds > 0
    assert report.face.quality.sharpness < 0.5


def test_no_face_changes_nothing():
    photo = soft(2, 50, 60)
    restorer = Stripes()
    result = restore_photos(photo, Models(restorer), finder())
    assert torch.equal(result.pixels, photo) and not result.masks.any()
    assert result.faces == () and restorer.calls == []


def test_faces_of_several_photographs_stay_apart():
    photos = soft(2, 200, 400)
    result = restore_photos(
        photos, Models(Stripes()), finder(face(1, 0, 10, 20), face(1, 1, 200, 20), face(0, 0, 200, 20))
    )
    assert [(r.face.image, r.face.index) for r in result.faces] == [(0, 0), (1, 0), (1, 1)]
    assert not result.masks[0, ..., :190].any() and result.masks[0, ..., 210:].any()
    assert result.masks[1, ..., :190].any() and result.masks[1, ..., 210:].any()


def test_a_sharp_face_is_left_alone_unless_asked(patterns):
    blocks = (
        torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        .repeat_interleave(16, 2)
        .repeat_interleave(16, 3)
    )
    where = finder(face(0, 0, 0, 0, 512))
    restorer = Stripes()
    left = restore_photos(blocks, Models(restorer), where)
    assert torch.equal(left.pixels, blocks) and restorer.calls == []
    assert left.faces[0].restored is None and "sharp" in left.faces[0].outcome.reason
    asked = restore_photos(blocks, Models(restorer), where, RestoreOptions(blend=1))
    assert not torch.equal(asked.pixels, blocks) and asked.faces[0].restored


def test_a_face_blurred_on_purpose_is_left_alone_by_a_threshold():
    photo = soft(1, 300, 300)
    result = restore_photos(photo, Models(Stripes()), finder(face(0, 0, 40, 60)), RestoreOptions(min_sharpness=0.9))
    assert torch.equal(result.pixels, photo) and "0.9" in result.faces[0].outcome.reason


@pytest.mark.parametrize(("damage", "strength"), [(0, 0), (0.12, 0), (0.22, 0.5), (0.32, 1), (1, 1)])
def test_strength_follows_damage(damage, strength):
    assert blend_for(damage) == pytest.approx(strength)


def test_half_the_strength_changes_half():
    photo = soft(1, 300, 300)
    where = finder(face(0, 0, 40, 60))
    full, half = (
        restore_photos(photo, Models(Stripes()), where, RestoreOptions(blend=s)).pixels - photo for s in (1, 0.5)
    )
    assert torch.allclose(half, full / 2, atol=1e-5)


def test_a_grey_face_stays_grey():
    photo = soft(1, 300, 300)[:, :1].expand(-1, 3, -1, -1).contiguous()
    result = restore_photos(photo, Models(Stripes(tint=(1.0, 0.6, 0.2))), finder(face(0, 0, 40, 60)))
    assert not torch.equal(result.pixels, photo)
    assert (result.pixels - result.pixels[:, :1]).abs().max() < 1e-5


def test_options_and_progress_reach_the_restorer():
    restorer, ticks = Stripes(), []
    where = finder(face(0, 0, 40, 60))
    restore_photos(
        soft(1, 300, 300), Models(restorer), where, RestoreOptions(fidelity=0.3), None, lambda: ticks.append(1)
    )
    assert restorer.calls == [(1, 0.3)]
    assert len(ticks) == 3  # for the face that is cropped, in the restorer, for the photograph that is pasted into


def test_fewer_faces_at_once_where_memory_is_short():
    faces = torch.rand(11, 3, 512, 512)
    restorer = Stripes(room=3)
    result = restore_aligned(faces, Models(restorer))
    assert [number for number, _ in restorer.calls] == [8, 4, 2, 2, 2, 2, 2, 1]
    assert torch.equal(result, Stripes().restore(faces))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        restore_aligned(faces, Models(Stripes(room=0)))


def test_landmarks_that_are_no_face_spoil_nothing(caplog):
    good = face(0, 0, 40, 60)
    left, right, nose, *mouth = face(0, 1, 200, 60).landmarks
    bad = Face(0, 1, (200, 60, 360, 220), 0.9, (right, left, nose, mouth[1], mouth[0]))
    result = restore_photos(soft(1, 300, 400), Models(Stripes()), finder(good, bad))
    assert result.faces[0].restored
    assert "landmarks" in result.faces[1].outcome.reason and "left alone" in caplog.text
    assert not result.masks[..., 220:].any()


def test_numbers_that_are_none():
    photo = soft(1, 300, 300)
    where = finder(face(0, 0, 40, 60))
    with pytest.raises(ValueError, match="returned NaN"):
        restore_photos(photo, Models(Stripes(tint=(1.0, float("nan"), 1.0))), where)
    photo[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="holds NaN"):
        restore_photos(photo, Models(Stripes()), where)


def test_in_place_and_scale():
    photo = soft(1, 300, 400)
    where = finder(face(0, 0, 40, 60))
    expected = restore_photos(photo, Models(Stripes()), where).pixels
    result = restore_photos(photo, Models(Stripes()), where, in_place=True)
    assert result.pixels.data_ptr() == photo.data_ptr() and torch.equal(photo, expected)
    assert restore_photos(
        photo, Models(Stripes()), where, RestoreOptions(paste=PasteOptions(scale=2))
    ).pixels.shape == (1, 3, 600, 800)


def test_aligned_faces():
    faces = torch.rand(2, 3, 512, 512)
    full = restore_aligned(faces, Models(Stripes()))
    assert torch.equal(full, Stripes().restore(faces))
    quarter = restore_aligned(faces, Models(Stripes()), RestoreOptions(blend=0.25))
    assert torch.allclose(quarter, 0.75 * faces + 0.25 * full, atol=1e-6)
    assert restore_aligned(faces[:0], Models(Stripes())).shape == (0, 3, 512, 512)
    with pytest.raises(ValueError, match=r"\(2, 3, 256, 256\); expected \(N, 3, 512, 512\)"):
        restore_aligned(faces[..., :256, :256], Models(Stripes()))


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (RestoreOptions, {"fidelity": 1.5}),
        (RestoreOptions, {"blend": -0.1}),
        (RestoreOptions, {"min_sharpness": 2}),
        (PasteOptions, {"scale": 0}),
        (PasteOptions, {"scale": 99}),
        (PasteOptions, {"grain_match": 1.1}),
    ],
)
def test_options_out_of_range(kind, option):
    with pytest.raises(ValueError, match=f"{next(iter(option))} was .*expected"):
        kind(**option)


# With references


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


def knowing(restorer):
    """The restorer, with embedders."""
    return Models(restorer, both(ColourEmbedder()))


def using(**settings):
    """Options that differ in how references are used."""
    return RestoreOptions(references=ReferenceOptions(**settings))


def test_only_those_who_match_get_references(giving, references, scenes):
    photo = scenes.photo("anna", "cem", seed=5, blur=16)[None]
    without = restore_photos(photo, knowing(giving), scenes.detect)
    assert giving.given == [] and without.faces[0].match is None
    result = restore_photos(photo, knowing(giving), scenes.detect, references=references)
    assert giving.given == [[("anna.jpg",)]]
    assert torch.equal(result.pixels[..., 300:], without.pixels[..., 300:])  # cem is in the right half
    assert not torch.equal(result.pixels[..., :300], without.pixels[..., :300])
    anna, cem = result.faces
    assert (anna.face.person, anna.match.person, anna.guided) == ("anna", "anna", True)
    assert (cem.face.person, cem.match.person, cem.guided) == ("", None, False)
    assert anna.restored.diagnostics is None and anna.restored.seconds > 0 and cem.restored.seconds > 0
    assert (
        anna.face.match_chance == anna.match.chance > 0.99 and cem.face.match_chance is None and cem.match.chance < 0.01
    )
    assert giving.amounts == [1.0]


@pytest.mark.parametrize("change", [{"strength": 0.0}, {"manual": {0: None}}, {"match_threshold": 0.9999}])
def test_without_a_match_it_is_as_without_references(giving, references, scenes, change):
    photo = scenes.photo("anna", seed=5, blur=16)[None]
    blind = restore_photos(photo, knowing(giving), scenes.detect).pixels
    result = restore_photos(photo, knowing(giving), scenes.detect, using(**change), references)
    assert torch.equal(result.pixels, blind) and not result.faces[0].guided and giving.given == []


def test_as_much_is_taken_as_it_is_sure_of_the_person(giving, references, scenes, caplog):
    photo = scenes.photo("cem", seed=5, blur=16)[None]
    result = restore_photos(photo, knowing(giving), scenes.detect, using(manual={0: "anna"}), references)
    (report,) = result.faces
    # 97 to 3 for the name, e^7 against it
    assert report.guided and report.match.by_hand and report.face.by_hand
    assert report.match.chance == pytest.approx(1 / (1 + math.exp(7) * 3 / 97), rel=1e-3)
    assert giving.amounts == [pytest.approx((report.match.chance / 0.9) ** 4)]
    assert "probably somebody else: 3% likely to be anna" in report.match.reason and report.match.reason in caplog.text
    record = json.loads(json.dumps(restored_record(report)))
    assert record["match"]["chance"] == 0.029 and record["match"]["reason"] == report.match.reason


def test_a_reference_that_is_not_fit_leaves_the_face_blind(giving, references, scenes):
    photo = scenes.photo("anna", seed=0)[None]  # the reference itself
    options = RestoreOptions(blend=1)
    blind = restore_photos(photo, knowing(giving), scenes.detect, options).pixels
    result = restore_photos(photo, knowing(giving), scenes.detect, options, references)
    (report,) = result.faces
    assert torch.equal(result.pixels, blind) and not report.guided and report.match.person == "anna"
    assert report.restored.unused == (("anna.jpg", "it is the very picture that is to be restored"),)


@pytest.mark.parametrize(("certain", "again"), [(3, None), (7, "anna")])
def test_a_sharp_face_is_left_alone_but_takes_its_person(giving, references, scenes, monkeypatch, certain, again):
    monkeypatch.setattr("resemblance.core.faces.evidence.CERTAIN", certain)
    photo = scenes.photo("anna", "anna", seed=5)[None]
    photo[..., 330:] = scenes.photo("anna", seed=6, blur=8)[None, ..., 30:]  # a poorer one of the same colour
    faces = scenes.faces[scenes._key(scenes.photo("anna", "anna", seed=5))]
    result = restore_photos(photo, knowing(giving), faces, references=references)
    sharp, poor = result.faces
    assert "sharp" in sharp.outcome.reason and {sharp.match.person, poor.match.person} == {"anna", again}
    assert poor.guided == (poor.match.person == "anna") and not sharp.guided


def test_many_faces_go_through_in_chunks(giving, references, scenes):
    photo = scenes.photo("anna", seed=5, blur=16)
    photos = torch.stack([photo] * 11)
    result = restore_photos(photos, knowing(giving), scenes.detect, references=references)
    assert [len(people) for people in giving.given] == [8, 3]
    assert all(report.guided for report in result.faces)
    assert torch.equal(result.pixels[0], result.pixels[10])


def test_aligned_faces_and_labelled_crops(giving, references, scenes):
    photo = scenes.photo("anna", seed=5, side=512, blur=16)
    face = photo[None]
    assert not torch.equal(
        restore_aligned(face, knowing(giving), None, references), restore_aligned(face, knowing(giving))
    )
    crops = crop_faces(face, scenes.detect(face))
    named = replace(crops, faces=(replace(crops.faces[0], person="bob"),))
    restored, (report,) = restore_crops(named, knowing(giving), None, references)
    assert giving.given[-1] == [("bob.jpg",)] and report.match.person == "bob" and restored.shape == face.shape
    most = needed(measure_quality(crops)[0])
    assert giving.amounts == [most] and 0.5 <= most < 1  # no doubt was told of
    doubtful = replace(named, faces=(replace(named.faces[0], match_chance=0.6),))
    less, (report,) = restore_crops(doubtful, knowing(giving), None, references)
    assert (
        giving.amounts == [pytest.approx(16 / 81 * most)]
        and report.match.chance == 0.6
        and not torch.equal(less, restored)
    )
    nobody = replace(crops, faces=(replace(crops.faces[0], person=""),))
    assert torch.equal(
        restore_crops(nobody, knowing(giving), None, references)[0], restore_crops(crops, knowing(giving))[0]
    )


def test_whole_face_restorers_go_on_without_references(references, scenes, caplog):
    photo = scenes.photo("anna", seed=5, blur=16)[None]
    result = restore_photos(photo, Models(Stripes()), scenes.detect, references=references)
    assert torch.equal(result.pixels, restore_photos(photo, Models(Stripes()), scenes.detect).pixels)
    assert "cannot read references" in caplog.text and "cannot read references" in result.faces[0].match.reason


def test_references_of_another_restorer(giving, references, scenes):
    photo = scenes.photo("anna", seed=5, blur=16)[None]
    other = replace(references, restorer="1234")
    with pytest.raises(ValueError, match="encoded by the restorer 1234"):
        restore_photos(photo, knowing(giving), scenes.detect, references=other)


def test_what_does_not_fit_the_references_is_told_before_any_face_is_looked_for(giving, references):
    def detect(photos):
        raise AssertionError("it is known before")

    with pytest.raises(ValueError, match="'zoe' is not among the people"):
        restore_photos(soft(1, 50, 60), knowing(giving), detect, using(manual={0: "zoe"}), references)
    with pytest.raises(ValueError, match="models without embedders; expected them"):
        restore_photos(soft(1, 50, 60), Models(giving), detect, None, references)


# With refinement


@pytest.fixture
def refining():
    return Giving(prior=True)


def refined(steps=2, **settings):
    return RestoreOptions(blend=1, refinement=RefinementOptions(steps, **settings))


def test_no_steps_of_refinement_change_nothing(refining, references, scenes, monkeypatch):
    monkeypatch.delattr("resemblance.core.stages.refine_tokens")
    photo = scenes.photo("cem", seed=5, blur=16)[None]
    plain = Giving(prior=True)
    plain.network.prior = None
    for given in (None, references):
        options = RestoreOptions(blend=1, refinement=RefinementOptions(0, identity_scale=1.0, candidates=8))
        result = restore_photos(photo, knowing(refining), scenes.detect, options, given)
        without = restore_photos(photo, knowing(plain), scenes.detect, RestoreOptions(blend=1), given)
        assert torch.equal(result.pixels, without.pixels) and result.faces[0].restored.refined is None
        assert "refined" not in restored_record(result.faces[0])


def test_faces_are_refined_between_encoding_and_drawing(refining, scenes):
    photo = scenes.photo(*["anna"] * 9, seed=5, blur=16, side=100)[None]
    crops = crop_faces(photo, scenes.detect(photo))
    restored, reports = restore_crops(crops, knowing(refining), refined(seed=3))
    expected = refining.decode(refine_tokens(encode_tokens(crops, refining), RefinementOptions(2, seed=3)).tokens)
    assert torch.allclose(restored, expected, atol=1e-6)
    assert not torch.allclose(restored, restore_crops(crops, knowing(refining))[0], atol=1e-3)
    assert [report.restored.refined.candidate for report in reports] == [0] * 9
    whole = restore_photos(photo, knowing(refining), scenes.detect, refined(seed=3))
    plain = restore_photos(photo, knowing(refining), scenes.detect, RestoreOptions(blend=1))
    assert torch.equal(whole.masks, plain.masks) and not torch.equal(whole.pixels, plain.pixels)
    assert restored_record(whole.faces[8])["refined"] == {"candidate": 0, "stopped": None, "spread": None}


def test_references_are_read_before_their_texture_is_taken(refining, references, scenes):
    photo = scenes.photo("anna", "cem", seed=5, blur=16)[None]
    crops = crop_faces(photo, scenes.detect(photo))
    matches = match_faces(crops, references, both(ColourEmbedder()))
    crops = replace(crops, faces=tuple(map(labelled, crops.faces, matches)))
    options = replace(refined(), references=ReferenceOptions(diagnostics=True))
    restored, (anna, cem) = restore_crops(crops, knowing(refining), options, references)
    tokens = encode_tokens(crops, refining)
    people = [references.people[0], None]
    read = refine_tokens(tokens, RefinementOptions(2), people).tokens
    unread = refine_tokens(tokens, RefinementOptions(2)).tokens
    taken = transfer_texture(read, references).tokens
    assert not torch.equal(read.content[0], unread.content[0])
    assert torch.allclose(restored, refining.decode(taken), atol=1e-6)
    assert (
        anna.guided
        and anna.restored.refined.candidate == 0
        and cem.restored.refined.candidate == 0
        and cem.restored.diagnostics is None
    )
    # What the references did is told from a face that was refined without them.
    alike = ColourEmbedder().embed(refining.decode(unread))[0] @ references.people[0].matching_embeddings[0]
    assert (
        anna.restored.diagnostics.blind == pytest.approx(float(alike), abs=1e-5)
        and anna.restored.diagnostics.blind != anna.restored.diagnostics.after
    )


def test_the_very_picture_is_not_read_either(refining, references, scenes):
    photo = scenes.photo("anna", seed=0)[None]  # the reference itself
    blind = restore_photos(photo, knowing(refining), scenes.detect, refined())
    result = restore_photos(photo, knowing(refining), scenes.detect, refined(), references)
    assert (
        torch.equal(result.pixels, blind.pixels) and result.faces[0].restored.refined == blind.faces[0].restored.refined
    )
    assert not result.faces[0].guided and refining.given == []


def test_a_face_whose_refinement_fails_is_restored_without(refining, scenes, caplog):
    photo = scenes.photo("anna", "cem", seed=5, blur=16)[None]
    plain = restore_photos(photo, knowing(refining), scenes.detect, RestoreOptions(blend=1)).pixels
    refining.network.prior.out.bias[0] = float("nan")
    result = restore_photos(photo, knowing(refining), scenes.detect, refined())
    assert torch.allclose(result.pixels, plain, atol=2e-3)  # features kept in bfloat16
    first, second = (report.restored.refined for report in result.faces)
    assert first.candidate is None and "face 0 of photograph 0 is not finite" in first.stopped
    assert "face 1 of photograph 0 is not finite" in second.stopped and "not finite" in caplog.text


@pytest.mark.parametrize("restorer", [Stripes(), Giving()], ids=["whole faces", "no prior"])
def test_a_restorer_that_cannot_refine(restorer):
    def detect(photos):
        raise AssertionError("it is known before")

    for steps in (None, 0):
        restore_photos(soft(1, 50, 60), Models(restorer), finder(), refined(steps))
    with pytest.raises(ValueError, match=f"'{restorer.name}' has no prior over clean latents and cannot refine; use"):
        restore_photos(soft(1, 50, 60), Models(restorer), detect, refined(1))
    with pytest.raises(ValueError, match="has no prior"):
        restore_aligned(torch.rand(1, 3, 512, 512), Models(restorer), refined(1))


def test_refinement_reports_its_steps_and_can_be_stopped(refining, scenes):
    photo = scenes.photo("anna", seed=5, blur=16)[None]
    counts = []
    for steps in (1, 4):
        calls = []
        restore_photos(photo, knowing(refining), scenes.detect, refined(steps), None, lambda: calls.append(1))  # noqa: B023
        counts.append(len(calls))
    assert counts[1] - counts[0] == 3

    calls = []

    def stop():
        calls.append(1)
        if len(calls) == counts[1] - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_photos(photo, knowing(refining), scenes.detect, refined(4), None, stop)


def test_no_photographs_are_none_restored():
    result = restore_photos(torch.zeros(0, 3, 40, 50), Models(Stripes()), [])
    assert result.pixels.shape == (0, 3, 40, 50) and result.masks.shape == (0, 1, 40, 50) and result.faces == ()
