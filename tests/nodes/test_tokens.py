import logging

import pytest
import torch
from by_hand import found


def test_tokens_taken_apart_give_what_restoring_whole_gives(run, codeformer, photos):
    faces = found(photos, [(0, 0), (1, 150)])
    crops = run("CropFaces", faces=faces, image=photos, size=448, margin=0.25)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    mixed, invented = run("RestoreTokens", tokens=tokens, content=0.7).args
    assert (tokens.content_weight, mixed.content_weight) == (0.5, 0.7)
    decoded = run("DecodeTokens", tokens=mixed)[0]
    whole = run("RestoreCrops", crops=crops, restorer=codeformer, fidelity=0.7)[0]
    # Tokens carry encoder features in bfloat16: equal where the network runs in that, else to a level of 8 bits.
    torch.testing.assert_close(decoded, whole, atol=1 / 255, rtol=0)
    assert decoded.shape == (2, 448, 448, 3)
    # The margin is the photograph's own; nothing is invented there.
    assert torch.equal(decoded[:, :60], crops.pixels.movedim(1, -1)[:, :60])
    assert invented.shape == (2, 448, 448) and not invented[:, :60].any() and invented[:, 224, 224].min() > 0


def test_what_is_invented_grows_as_content_falls(run, codeformer, photos):
    crops = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    maps = [run("RestoreTokens", tokens=tokens, content=c)[1] for c in (0.0, 0.5, 1.0)]
    assert (maps[0] == 1).all() and (maps[0] >= maps[1]).all() and (maps[1] >= maps[2]).all()
    assert maps[0].mean() > maps[1].mean() + 0.01
    assert not run("RestoreTokens", tokens=tokens, quality=0.0)[1].any()


def test_a_restorer_without_tokens_is_refused_in_one_sentence(run, photos, codeformer):
    class Whole:
        name, fingerprint, licence, network = "GFPGAN", "0" * 16, "", None
        with_tokens = None
        host = codeformer.host

    crops = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0]
    with pytest.raises(ValueError, match="'GFPGAN' restores whole faces and has no tokens; expected a restorer with"):
        run("EncodeTokens", crops=crops, restorer=Whole())


def test_tokens_that_would_not_fit_are_refused(run, comfy, codeformer, photos, monkeypatch):
    crops = run("CropFaces", faces=found(photos, [(0, 0), (1, 0), (1, 90)]), image=photos)[0]
    monkeypatch.setattr(comfy.management, "get_free_memory", lambda device: 60 << 20)
    with pytest.raises(ValueError, match=r"tokens of 3 faces may need 0.1 GiB, .*; use Restore Crops or Restore Faces"):
        run("EncodeTokens", crops=crops, restorer=codeformer)
    monkeypatch.setattr(comfy.management, "get_free_memory", lambda device: 80 << 20)
    assert len(run("EncodeTokens", crops=crops, restorer=codeformer)[0]) == 3


def test_too_little_memory_halves_the_batch_and_says_so(run, codeformer, photos, monkeypatch, caplog):
    from resemblance.core.restorers import token_restorer

    crops = run("CropFaces", faces=found(photos, [(0, 0), (0, 60), (0, 120), (1, 0), (1, 60)]), image=photos)[0]
    expected = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    monkeypatch.setattr(token_restorer, "batch_size", lambda device: 4)
    network, sizes = codeformer.network, []
    encode = type(network).encode

    def limited(self, faces, *args, **kwargs):
        sizes.append(len(faces))
        if len(faces) > 1:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return encode(self, faces, *args, **kwargs)

    monkeypatch.setattr(type(network), "encode", limited)
    with caplog.at_level(logging.WARNING):
        tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    assert sizes == [4, 2, 1, 1, 1, 1, 1] and torch.equal(tokens.content, expected.content)
    assert "going on with 1 faces" in caplog.text
    assert len(run("RestoreCrops", crops=crops, restorer=codeformer)[0]) == 5
