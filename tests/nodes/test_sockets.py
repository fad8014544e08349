from types import SimpleNamespace

import pytest
import torch
from by_hand import found


def test_search_aliases_are_given_where_the_host_knows_them(nodes, monkeypatch):
    from comfy_api.latest import io
    from resemblance.nodes import sockets

    got = {}

    def schema(**settings):
        got.update(settings)

    schema.__dataclass_fields__ = {"search_aliases": None}
    monkeypatch.setattr(sockets.io, "Schema", schema)
    sockets.schema("X", sockets.TOKENS, ("CodeFormer",), inputs=[])
    assert got["search_aliases"] == ["CodeFormer"] and got["node_id"] == "ResemblanceX"
    assert got["category"] == "Resemblance/Tokens"
    monkeypatch.undo()
    known = "search_aliases" in io.Schema.__dataclass_fields__
    aliases = getattr(nodes["ResemblanceRestoreFaces"].define_schema(), "search_aliases", None)
    assert (aliases is not None and "CodeFormer" in aliases) == known


def test_restore_faces_is_among_the_essentials_where_the_host_has_any(monkeypatch, nodes):
    from resemblance.nodes import sockets

    given = []

    def schema(**settings):
        given.append(settings.get("essentials_category"))

    monkeypatch.setattr(sockets.io, "Schema", schema)
    for fields in ({"essentials_category": None}, {}):
        schema.__dataclass_fields__ = fields
        for name in ("RestoreFaces", "PasteFaces"):
            sockets.schema(name, sockets.FACES, inputs=[])
    assert given == ["Image Tools", None, None, None]


def test_widgets_are_folded_away_where_the_host_can(nodes, monkeypatch):
    from resemblance.nodes import sockets

    class Entry:  # as hosts have them that know of it
        advanced = None

        def __init__(self, name):
            self.id = name

    known, other, old = Entry("detector"), Entry("fidelity"), SimpleNamespace(id="detector")
    fake = SimpleNamespace(__dataclass_fields__={})
    monkeypatch.setattr(sockets.io, "Schema", type("Schema", (), {**vars(fake), "__init__": lambda self, **_: None}))
    sockets.schema("X", sockets.FACES, (), ("detector",), inputs=[known, other, old])
    assert known.advanced is True and other.advanced is None and not hasattr(old, "advanced")
    monkeypatch.undo()
    entries = nodes["ResemblanceRestoreFaces"].define_schema().inputs
    folded = {entry.id for entry in entries if getattr(entry, "advanced", None)}
    assert folded in (set(), {"detector", "min_size", "min_sharpness", "manual", "refine"})


def test_outputs_follow_the_hosts_type(run, comfy, photos, monkeypatch):
    monkeypatch.setattr(comfy.management, "intermediate_dtype", lambda: torch.float16, raising=False)
    crops, image, mask = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos.half()).args
    result, applied = run("PasteFaces", image=photos.half(), crops=crops, restored=image, strength=0.0).args
    assert {t.dtype for t in (image, mask, result, applied)} == {torch.float16}
    assert torch.equal(result, photos.half())


def test_grey_images_become_three_channels(run, photos):
    from resemblance.nodes.sockets import photos_of

    grey = photos.mean(-1, keepdim=True)
    assert torch.equal(photos_of(grey), grey.movedim(-1, 1).expand(-1, 3, -1, -1))
    crops, image, _ = run("CropFaces", faces=found(grey, [(0, 0)]), image=grey).args
    result, _ = run("PasteFaces", image=grey, crops=crops, restored=image.mean(-1, keepdim=True), strength=0.0).args
    assert torch.equal(result, grey.expand(-1, -1, -1, 3))
    whole, masks, _ = run("RestoreFaces", image=grey, threshold=0.99).args
    assert whole.shape == photos.shape and masks.shape == photos.shape[:3]
    with pytest.raises(ValueError, match=r"expected an IMAGE \(batch, height, width, 1, 3 or 4"):
        photos_of(photos[..., :2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_frame_with_nan_is_named(run, dtype):
    frames = torch.full((4, 64, 64, 3), 0.5, dtype=dtype)
    frames[2, 5, 5, 1] = torch.nan
    for node in ("DetectFaces", "RestoreFaces"):
        with pytest.raises(ValueError, match=r"Frame 2 of the image holds NaN or infinite values; expected 0 to 1"):
            run(node, image=frames)
