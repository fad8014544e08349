import json

import torch
from by_hand import found


def test_pictures_given_take_the_place_of_the_crops_own(run, codeformer, photos):
    crops, image, _ = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos).args
    own = run("RestoreCrops", crops=crops, restorer=codeformer)[0]
    # Equal pixels that lie otherwise in memory may go another way through a CPU.
    again = run("RestoreCrops", crops=crops, restorer=codeformer, image=image)[0]
    torch.testing.assert_close(again, own, atol=1e-3, rtol=0)
    other = run("RestoreCrops", crops=crops, restorer=codeformer, image=1 - image)[0]
    assert not torch.equal(other, own)
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer, image=1 - image)[0]
    torch.testing.assert_close(run("DecodeTokens", tokens=tokens)[0], other, atol=1 / 255, rtol=0)
    assert torch.equal(
        run("RestoreCrops", crops=crops, restorer=codeformer, image=1 - image, strength=0.0)[0], 1 - image
    )


def test_restore_crops_with_references_is_the_chain(run, codeformer, known, two_people):
    crops = run("CropFaces", faces=two_people.faces, image=two_people.damaged)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    tokens = run("TransferTexture", tokens=tokens, references=known.references, strength=0.6)[0]
    given = {"crops": crops, "restorer": codeformer, "references": known.references}
    restored, report = run("RestoreCrops", **given, reference_strength=0.6).args
    assert torch.equal(restored, run("DecodeTokens", tokens=tokens)[0])
    assert [face["person"] for face in json.loads(report)] == ["anna", "bob"]
    blind = run("RestoreCrops", crops=crops, restorer=codeformer)[0]
    assert torch.equal(run("RestoreCrops", **given, reference_strength=0.0)[0], blind)
