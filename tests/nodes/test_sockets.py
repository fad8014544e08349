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
    sockets.schema("X", ("CodeFormer",), inputs=[])
    assert got["search_aliases"] == ["CodeFormer"] and got["node_id"] == "ResemblanceX"
    monkeypatch.undo()
    known = "search_aliases" in io.Schema.__dataclass_fields__
    aliases = getattr(nodes["ResemblanceRestoreFaces"].define_schema(), "search_aliases", None)
    assert (aliases is not None and "CodeFormer" in aliases) == known


def test_outputs_follow_the_hosts_type(run, comfy, photos, monkeypatch):
    monkeypatch.setattr(comfy.management, "intermediate_dtype", lambda: torch.float16, raising=False)
    crops, image, mask = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos.half()).args
    result, applied = run("PasteFaces", image=photos.half(), crops=crops, restored=image, strength=0.0).args
    assert {t.dtype for t in (image, mask, result, applied)} == {torch.float16}
    assert torch.equal(result, photos.half())
