import json

import pytest
import torch
from resemblance.core.references.saving import load_references, save_references


def test_saved_and_loaded_bit_for_bit(encode, scenes, tmp_path, eve):
    found = encode({"ä.jpg": scenes.photo("anna"), "empty": scenes.photo(), "eve": scenes.photo("eve", seed=1)})
    found = encode({"b": scenes.photo("bob")}, found, person="bob")
    save_references(found, tmp_path / "people.safetensors")
    again = load_references(tmp_path / "people.safetensors")
    assert (again.restorer, again.embedder, again.refused) == (found.restorer, found.embedder, found.refused)
    assert (again.embedded_by, again.doubted) == (found.embedded_by, found.doubted)
    assert {source for source, _ in again.doubted} == {"ä.jpg", "eve"}  # either may be the wrong one
    for old, new in zip(found.people, again.people, strict=True):
        assert (old.name, old.weights, old.sources) == (new.name, new.weights, new.sources)
        assert (old.given, old.qualities) == (new.given, new.qualities) and len(new.qualities) == len(new)
        for name in ("faces", "content", "code_latent", "identity_embeddings", "matching_embeddings"):
            assert torch.equal(getattr(old, name), getattr(new, name))
        assert old.skips.keys() == new.skips.keys()
        assert all(torch.equal(old.skips[side], new.skips[side]) for side in old.skips)


def test_files_of_before_are_told_apart(encode, scenes, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    save_references(encode({"a": scenes.photo("anna")}), tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", "pt") as file:
        about = json.loads(file.metadata()["references"])
    del about["embedded_by"], about["doubted"]  # which it did not have
    about["format"] = "resemblance references 1"
    old = tmp_path / "old.safetensors"
    save_file(load_file(tmp_path / "new.safetensors"), old, {"references": json.dumps(about)})
    with pytest.raises(ValueError, match=r"old.safetensors' holds 'resemblance references 1'; expected '.* 4'. Encode"):
        load_references(old)


def test_files_that_hold_no_references(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "weights.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("weights.safetensors", "text.safetensors"):
        with pytest.raises(ValueError, match=f"{name}' holds no references.*expected a file that was saved"):
            load_references(tmp_path / name)
    with pytest.raises(OSError, match="missing"):
        load_references(tmp_path / "missing.safetensors")
