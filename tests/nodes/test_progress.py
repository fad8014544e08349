import pytest
from by_hand import found


def test_the_user_can_interrupt_between_two_blocks(run, comfy, codeformer, refining, photos, monkeypatch):
    crops = run("CropFaces", faces=found(photos, [(0, 0), (1, 0)]), image=photos)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    many = photos.repeat(3, 1, 1, 1)
    crops6 = run("CropFaces", faces=found(many, [(5, 0)]), image=many)[0]
    woman = run("ExamplePhoto", name="woman")[2]
    read = {"references": run("EncodeReferences", image=woman, restorer=codeformer)[0]}
    faces5 = found(photos, [(0, 0), (0, 90), (0, 180), (1, 0), (1, 90)], person="person")
    named = run("CropFaces", faces=faces5, image=photos)[0]
    named = run("EncodeTokens", crops=named, restorer=codeformer)[0]
    blurred = run("EncodeTokens", crops=crops)[0]
    calls = []

    def interrupted():
        calls.append(1)
        if len(calls) == 5:
            raise comfy.management.InterruptProcessingException

    monkeypatch.setattr(comfy.management, "throw_exception_if_processing_interrupted", interrupted)
    for name, given in (
        ("RestoreCrops", {"crops": crops, "restorer": codeformer}),
        ("EncodeTokens", {"crops": crops, "restorer": codeformer}),
        ("DecodeTokens", {"tokens": tokens}),
        ("RefineLatent", {"tokens": blurred, "steps": 3}),
        ("EncodeReferences", {"image": woman, "restorer": codeformer}),
        ("MatchReferences", {"faces": found(many, [(5, 0)]), "image": many} | read),
        ("TransferTexture", {"tokens": named} | read),
        ("CompareIdentity", {"before": many, "after": many, "truth": many}),
        ("RestoreFaces", {"image": many, "detector": "built-in"}),
        ("DetectFaces", {"image": many, "detector": "built-in"}),
        ("FacesFromBoxes", {"image": many, "boxes": []}),
        ("CropFaces", {"faces": found(photos, [(0, n) for n in range(5)]), "image": photos}),
        ("PasteFaces", {"image": many, "crops": crops6, "restored": crops6.pixels.movedim(1, -1)}),
    ):
        calls.clear()
        with pytest.raises(comfy.management.InterruptProcessingException):
            run(name, **given)
        assert len(calls) == 5, name


def test_the_bar_moves_per_face_and_step(run, codeformer, refining, photos, monkeypatch):
    import comfy.utils

    shown = []
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, *_, **__: shown.append(value / total))
    crops = run("CropFaces", faces=found(photos, [(0, 0), (1, 0), (1, 90)]), image=photos)[0]
    for _ in range(2):  # the second time, the number of steps is known
        shown.clear()
        run("RestoreCrops", crops=crops, restorer=codeformer)
        assert shown == sorted(shown) and shown[-1] == 1 and len(set(shown)) > 10
    assert any(0.3 < share < 0.37 for share in shown) and any(0.63 < share < 0.7 for share in shown)
    tokens = run("EncodeTokens", crops=crops)[0]
    for _ in range(2):
        shown.clear()
        run("RefineLatent", tokens=tokens, steps=4)
    assert shown == [n * 100 // 4 / 300 for n in range(1, 12)] + [0.99, 1]
    shown.clear()
    run("RestoreFaces", image=photos, detector="built-in")
    assert shown == sorted(shown) and shown[-1] == 1
