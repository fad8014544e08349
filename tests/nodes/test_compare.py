import json

import torch


def test_identity_is_compared_before_and_after(run, known, two_people):
    given = {"before": two_people.damaged, "after": two_people.truth}
    scores, picture = run("CompareIdentity", **given, references=known.references).args
    scores = json.loads(scores)
    assert [face["person"] for face in scores["faces"]] == ["anna", "bob"]
    assert all(face["gain"] > 0 and face["sure"] > 0.5 for face in scores["faces"])
    assert "same_from" not in scores and not any("same" in face for face in scores["faces"])
    assert picture.shape == (1, 512, 1024, 3)  # two rows: before, after, and two references
    scores = json.loads(run("CompareIdentity", **given, truth=two_people.truth)[0])
    assert [face["after"] for face in scores["faces"]] == [1, 1] and all(face["before"] < 1 for face in scores["faces"])
    assert all(0.9 < face["sure"] <= 1 for face in scores["faces"])
    blank = torch.full((1, 96, 128, 3), 0.5)
    scores, picture = run("CompareIdentity", before=blank, after=blank, truth=blank).args
    assert json.loads(scores)["faces"] == [] and picture.shape == (1, 256, 256, 3)
