import json

import pytest
import torch
from by_hand import found


def test_the_chain_gives_what_core_gives(run, codeformer, photos):
    from resemblance.core.faces.crop import crop_faces
    from resemblance.core.faces.paste import paste_faces

    faces = found(photos, [(0, 0), (0, 200), (1, 90)])
    crops, image, mask = run("CropFaces", faces=faces, image=photos).args
    assert image.shape == (3, 512, 512, 3) and mask.shape == (3, 512, 512)
    restored = run("RestoreCrops", crops=crops, restorer=codeformer)[0]
    result, applied = run("PasteFaces", image=photos, crops=crops, restored=restored).args

    pixels = photos.movedim(-1, 1)
    core = crop_faces(pixels, faces.faces)
    again = codeformer.restore(core.pixels)
    expected, expected_mask = paste_faces(pixels, core, again)
    assert torch.equal(image, core.pixels.movedim(1, -1)) and torch.equal(mask, core.masks[:, 0])
    assert torch.equal(restored, again.movedim(1, -1))
    assert torch.equal(result, expected.movedim(1, -1)) and torch.equal(applied, expected_mask[:, 0])
    assert torch.equal(result[applied == 0], photos[applied == 0]) and not torch.equal(result, photos)


def test_restore_faces_reports_and_works_in_chunks(run, nodes, monkeypatch):
    from resemblance.nodes import restore

    damaged = run("ExamplePhoto", name="woman")[0]
    grey = torch.full_like(damaged, 0.5)
    batch = torch.cat([damaged, grey, damaged.flip(2)])
    monkeypatch.setattr(restore, "CHUNK", 2 * damaged[0, ..., 0].numel())
    sizes, whole = [], restore.restore_photos

    def counted(given, *args, **settings):
        sizes.append(len(given))
        return whole(given, *args, **settings)

    monkeypatch.setattr(restore, "restore_photos", counted)
    before = batch.clone()
    image, mask, report = run("RestoreFaces", image=batch, detector="built-in", strength=1.0).args
    assert sizes == [2, 1]
    assert torch.equal(batch, before) and image.shape == batch.shape and mask.shape == batch.shape[:3]
    assert torch.equal(image[mask == 0], batch[mask == 0]) and torch.equal(image[1], grey[0])
    entries = json.loads(report)
    assert entries["detector"] == "built-in" and entries["restorer"]["name"] == "Resemblance"
    assert [e["image"] for e in entries["images"]] == [0, 1, 2]
    assert [len(e["faces"]) for e in entries["images"]] == [1, 0, 1]
    assert [e["said"] for e in entries["images"]] == [
        ["Face 1: badly damaged, restored in full."],
        ["No face was found."],
        ["Face 1: badly damaged, restored in full."],
    ]
    assert entries["images"][0]["faces"][0]["strength"] == 1.0
    alone = run("RestoreFaces", image=batch[2:], detector="built-in", strength=1.0)
    assert torch.equal(alone[0], image[2:]) and torch.equal(alone[1], mask[2:])


def test_a_sharp_face_is_left_almost_alone_by_default(run):
    damaged, truth, *_ = run("ExamplePhoto", name="woman").args
    strengths, changes = [], []
    for image in (truth, damaged):
        restored, _, report = run("RestoreFaces", image=image, detector="built-in").args
        strengths.append(json.loads(report)["images"][0]["faces"][0]["strength"])
        changes.append(float((restored - image).abs().mean()))
    assert strengths[0] < 0.2 and strengths[1] == 1
    assert changes[0] < 0.1 * changes[1]


def test_restore_faces_takes_references_or_photographs(run, codeformer, known, two_people):
    given = {"image": two_people.damaged, "restorer": codeformer, "detector": "built-in", "strength": 1.0}
    blind = run("RestoreFaces", **given)[0]
    guided, mask, report = run("RestoreFaces", **given, references=known.references).args
    faces = json.loads(report)["images"][0]["faces"]
    assert [face["person"] for face in faces] == ["anna", "bob"] and all(face["with_references"] for face in faces)
    assert all(set(face["identity_to_references"]) >= {"before", "restored_with"} for face in faces)
    assert not torch.equal(guided, blind) and torch.equal(guided[mask == 0], two_people.damaged[mask == 0])
    assert torch.equal(run("RestoreFaces", **given, references=known.references, reference_strength=0.0)[0], blind)
    one = run("RestoreFaces", **given, references=known.references, manual="1=none")[0]
    assert torch.equal(one[:, :, :544], blind[:, :, :544]) and torch.equal(one[:, :, 640:], guided[:, :, 640:])
    # A photograph of one of the two: the other is restored as without.
    one, mask, report = run("RestoreFaces", **given, reference_image=two_people.references[0]).args
    faces = json.loads(report)["images"][0]["faces"]
    assert [face["person"] for face in faces] == ["person", None] and "needed" in faces[1]["match"]["reason"]
    # Beyond this column [px] nothing of the first face's crop is left.
    assert not torch.equal(one[:, :, :640], blind[:, :, :640]) and torch.equal(one[:, :, 640:], blind[:, :, 640:])


def test_one_setting_refines_in_restore_crops_and_restore_faces(run, person):
    given = {"crops": person.crops, "references": person.references}
    tokens = run("RefineLatent", tokens=person.tokens, steps=1, references=person.references)[0]
    tokens = run("TransferTexture", tokens=tokens, references=person.references)[0]
    restored, report = run("RestoreCrops", **given, refine=1).args
    assert torch.allclose(restored, run("DecodeTokens", tokens=tokens)[0], atol=1e-6)
    (face,) = json.loads(report)
    assert face["refined"]["candidate"] == 0 and face["with_references"]
    given = {"image": person.damaged, "detector": "built-in", "strength": 1.0}
    plain = run("RestoreFaces", **given, refine=0)
    assert torch.equal(plain[0], run("RestoreFaces", **given)[0]) and "refined" not in plain[2]
    image, mask, report = run("RestoreFaces", **given, refine=1).args
    assert torch.equal(mask, plain[1]) and not torch.equal(image, plain[0])
    assert json.loads(report)["images"][0]["faces"][0]["refined"]["candidate"] == 0


def test_restore_faces_restores_what_a_mask_calls_damage_on_a_sharp_face(run):
    _, truth, *_ = run("ExamplePhoto", name="man").args
    mask = torch.zeros(truth.shape[:3])
    mask[:, truth.shape[1] // 2 :][:, :4] = 1
    folded = torch.where(mask[..., None] > 0, 0.95, truth)
    blind, _, _ = run("RestoreFaces", image=folded, detector="built-in", mend=False).args
    found, _, _ = run("RestoreFaces", image=folded, detector="built-in").args
    told, where, report = run("RestoreFaces", image=folded, detector="built-in", damage_mask=mask).args
    seen = (where > 0.5) & (mask > 0)
    assert seen.sum() > 300
    assert (told - truth).abs()[seen].mean() < 0.3 * (blind - truth).abs()[seen].mean()
    assert (found - truth).abs()[seen].mean() < 0.5 * (blind - truth).abs()[seen].mean(), "most is found by itself"
    (face,) = json.loads(report)["images"][0]["faces"]
    assert face["left_alone"] is None


@pytest.mark.parametrize(
    ("manual", "words"),
    [
        ("hello", "expected numbers of faces, from 1, and names"),
        ("1=zoe", "'zoe' is not among the people of the references; expected one of person"),
        ("7=person", "7=person names no face: expected one of the faces 1"),
    ],
)
def test_wrong_names_by_hand_are_told_before_photographs_are_read(run, monkeypatch, manual, words):
    from resemblance.nodes import restore

    damaged, _, reference, *_ = run("ExamplePhoto", name="woman").args
    given = {"image": damaged, "detector": "built-in", "manual": manual}
    if "7" not in manual:
        monkeypatch.setattr(restore, "encode", lambda *_, **__: pytest.fail("the photographs were read"))
    with pytest.raises(ValueError, match=words):
        run("RestoreFaces", **given, reference_image=reference)
    if "=" in manual:
        with pytest.raises(ValueError, match="but there are no references"):
            run("RestoreFaces", **given)


def test_photographs_come_through_several_sockets(run, person):
    damaged, _, *references = run("ExamplePhoto", name="woman").args
    several = {f"image_{number}": picture for number, picture in enumerate(references[1:], 2)}
    one = run("EncodeReferences", image=references[0])[0]
    all_of_them = run("EncodeReferences", image=references[0], **several)[0]
    listed = run("EncodeReferences", image=references)[0]
    assert len(one.people[0]) == 1 < len(all_of_them.people[0]) == len(listed.people[0]) == len(references)
    assert all_of_them.people[0].sources == listed.people[0].sources
    given = {"image": damaged, "detector": "built-in", "strength": 1.0}
    report = run(
        "RestoreFaces", **given, reference_image=references[0], reference_image_2=references[1], reference_image_5=None
    )[2]
    (face,) = json.loads(report)["images"][0]["faces"]
    assert set(face["taken"]) == {"person 1", "person 2"}


def test_lists_of_photographs_and_of_references(run, nodes, monkeypatch):
    """Each photograph is restored with all references, which are read once."""
    from resemblance.nodes import restore

    damaged, _, *references = run("ExamplePhoto", name="woman").args
    encoded, encode = [], restore.encode
    monkeypatch.setattr(restore, "encode", lambda *a, **k: encoded.append(a) or encode(*a, **k))
    given = {"detector": "built-in", "strength": [1.0, 0.5], "reference_image": references}
    smaller = damaged[:, 20:-20, 10:-10]
    images, masks, reports = run("RestoreFaces", image=[damaged, smaller, damaged], **given).args
    assert len(encoded) == 1 and len(encoded[0][0]) == len(references)
    assert [i.shape for i in images] == [damaged.shape, smaller.shape, damaged.shape]
    assert [m.shape for m in masks] == [i.shape[:3] for i in images]
    (faces,) = zip(*(json.loads(report)["images"][0]["faces"] for report in reports), strict=True)
    assert [face["strength"] for face in faces] == [1.0, 0.5, 0.5]  # the last of a short list goes on
    assert all(set(face["taken"]) == {f"person {n}" for n in range(1, len(references) + 1)} for face in faces)
    alone = run("RestoreFaces", image=damaged, detector="built-in", strength=0.5, reference_image=references)[0]
    assert torch.equal(images[2], alone)
    with pytest.raises(ValueError, match="empty list"):
        run("RestoreFaces", image=[])


def test_what_was_done_is_shown_and_logged(run, caplog):
    damaged = run("ExamplePhoto", name="woman")[0]
    with caplog.at_level("INFO"):
        output = run("RestoreFaces", image=damaged, detector="built-in")
    assert "Image 0. Face 1: badly damaged, restored in full." in caplog.text and "took" in caplog.text
    assert len(output.ui.as_dict()["images"]) == 1
