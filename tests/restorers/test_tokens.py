import dataclasses
import math

import pytest
import torch
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.records import Crops, Face, Lookup, ReferenceFeatures
from resemblance.core.restorers.token_restorer import TokenRestorer
from resemblance.core.restorers.tokens import code_use, decode_tokens, encode_tokens, invention_map, restore_tokens


def crops_of(pixels, margin=0.0):
    n, size = len(pixels), pixels.shape[-1]
    points = ((1.0, 1.0), (3.0, 1.0), (2.0, 2.0), (1.0, 3.0), (3.0, 3.0))
    faces = tuple(Face(0, i, (0, 0, 4, 4), 1.0, points) for i in range(n))
    affines = torch.eye(2, 3, dtype=torch.float64).expand(n, 2, 3)
    return Crops(pixels, torch.ones(n, 1, size, size), affines, margin, faces, ((size, size),))


@pytest.fixture(scope="module")
def codeformer(tiny_codeformer):
    return TokenRestorer(tiny_codeformer, "CodeFormer", "", "0" * 16)


@pytest.fixture(scope="module")
def shipped():
    torch.manual_seed(0)
    network = ResemblanceNet(RestorerConfig(widths=(8, 8, 8), latent=8, codes=16, dim=32, layers=1, heads=1))
    for parameter in network.parameters():  # some begin at zero, and would hide what they weigh
        torch.nn.init.normal_(parameter, std=0.1)
    return TokenRestorer(network.eval().requires_grad_(False), "Resemblance", "", "0" * 16)


@pytest.fixture(scope="module")
def crops():
    return crops_of(torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(3)))


# Steps


def test_the_steps_are_the_restorer(codeformer, crops):
    tokens = encode_tokens(crops, codeformer)
    assert len(tokens) == 2 and tokens.content_weight == 0.5 and tokens.quality_weight == 1
    assert tokens.content.shape == tokens.code_latent.shape == (2, 32, 16, 16)
    assert tokens.logits.shape == (2, 256, 16) and tokens.confidence.shape == (2, 1, 16, 16)
    assert set(tokens.skips) == {32, 64} and tokens.skips[32].dtype == torch.bfloat16
    assert tokens.crops is crops and tokens.restorer is codeformer
    # without encoder features the same numbers; with them, as exact as bfloat16 keeps them
    assert torch.equal(decode_tokens(restore_tokens(tokens, 0.0)), codeformer.restore(crops.pixels, 0.0))
    drawn, restored = decode_tokens(tokens), codeformer.restore(crops.pixels)
    assert (drawn - restored).abs().mean() < 0.02 * restored.std()
    assert drawn.dtype == torch.float32 and drawn.min() >= 0 and drawn.max() <= 1


def test_records_are_not_changed(codeformer, crops):
    tokens = encode_tokens(crops, codeformer)
    other = restore_tokens(tokens, 0.25)
    assert (tokens.content_weight, other.content_weight, other.quality_weight) == (0.5, 0.25, 1)
    assert other.content is tokens.content and other.skips is tokens.skips
    assert restore_tokens(other).content_weight == 0.5


@pytest.mark.parametrize(
    ("weights", "message"),
    [((1.1, 1), "content weight was 1.1"), ((0.5, -0.1), "quality weight was -0.1"), ((math.nan, 1), "content weight")],
)
def test_weights_out_of_range(codeformer, crops, weights, message):
    tokens = encode_tokens(crops_of(crops.pixels[:0]), codeformer)
    with pytest.raises(ValueError, match=message):
        restore_tokens(tokens, *weights)


def test_adain_can_be_chosen(codeformer, crops):
    one = crops_of(crops.pixels[:1])
    default, on, off = (encode_tokens(one, codeformer, Lookup(adain=choice)) for choice in (None, True, False))
    assert torch.equal(default.code_latent, on.code_latent) and not torch.equal(on.code_latent, off.code_latent)
    codes = off.code_latent[0].flatten(1).mT
    assert all((codeformer.network.codebook() == code).all(1).any() for code in codes)  # plain words of the codebook
    torch.testing.assert_close(on.code_latent.mean((2, 3)), on.content.mean((2, 3)))


@pytest.mark.parametrize("name", ["codeformer", "shipped"])
def test_at_content_0_equal_codes_draw_equal_faces(request, crops, name):
    restorer = request.getfixturevalue(name)
    tokens = encode_tokens(crops, restorer, Lookup(adain=False))
    same = dataclasses.replace(tokens, code_latent=tokens.code_latent[:1].expand_as(tokens.code_latent))
    first, second = decode_tokens(restore_tokens(same, 0.0))
    assert torch.equal(first, second)
    first, second = decode_tokens(restore_tokens(same, 0.5))
    assert (first - second).abs().max() > 0.01


def test_at_quality_0_the_codes_change_nothing(shipped, crops):
    tokens = encode_tokens(crops, shipped)
    other = dataclasses.replace(tokens, code_latent=tokens.code_latent.flip(1))
    drawn = [decode_tokens(restore_tokens(t, 0.7, 0.0)) for t in (tokens, other)]
    assert torch.equal(*drawn)
    drawn = [decode_tokens(restore_tokens(t, 0.7, 0.5)) for t in (tokens, other)]
    assert not torch.equal(*drawn)


def test_codeformer_refuses_a_quality_weight(codeformer, crops):
    tokens = encode_tokens(crops_of(crops.pixels[:1]), codeformer)
    with pytest.raises(ValueError, match="use the built-in restorer"):
        decode_tokens(restore_tokens(tokens, 0.5, 0.5))


def test_crops_with_a_margin_keep_their_geometry(codeformer):
    pixels = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(5))
    crops = crops_of(pixels, margin=0.25)
    drawn = decode_tokens(encode_tokens(crops, codeformer))
    assert drawn.shape == pixels.shape
    # The template fills the middle 1/1.5 of the crop: 16 px on each side are margin, which stays as it was.
    assert torch.equal(drawn[..., :15, :], pixels[..., :15, :]) and torch.equal(drawn[..., :, 81:], pixels[..., :, 81:])
    assert (drawn - pixels)[..., 30:60, 30:60].abs().mean() > 0.05


def test_no_faces(codeformer, shipped):
    for restorer in (codeformer, shipped):
        tokens = encode_tokens(crops_of(torch.zeros(0, 3, 512, 512)), restorer)
        assert len(tokens) == 0 and tokens.logits.shape[-1] == 16
        assert decode_tokens(restore_tokens(tokens, 1.0)).shape == (0, 3, 512, 512)
        assert code_use(tokens).distinct == 0


def test_progress_reaches_the_network(codeformer, crops):
    calls = []
    tokens = encode_tokens(crops, codeformer, progress=lambda: calls.append(1))
    encoded = len(calls)
    decode_tokens(tokens, progress=lambda: calls.append(1))
    assert encoded > 20 and len(calls) > encoded + 20


def test_whole_face_restorers_have_no_tokens(crops):
    class Whole:
        name, fingerprint, licence, network = "GFPGAN", "", "", None
        with_tokens = None

        def restore(self, faces, fidelity=None, progress=None):
            return faces

    with pytest.raises(ValueError, match="'GFPGAN' restores whole faces and has no tokens; expected a restorer with"):
        encode_tokens(crops, Whole())


def test_code_use_by_hand(codeformer):
    tokens = encode_tokens(crops_of(torch.rand(1, 3, 512, 512)), codeformer)
    logits = torch.zeros(1, 256, 16)
    logits[0, :128, 3] = 1  # half of the positions take word 3, a quarter word 5, a quarter word 7
    logits[0, 128:192, 5] = 1
    logits[0, 192:, 7] = 1
    use = code_use(dataclasses.replace(tokens, logits=logits, confidence=torch.tensor([[[[0.2, 0.4]]]])))
    assert (use.distinct, use.codes) == (3, 16)
    assert use.perplexity == pytest.approx(2**1.5)  # entropy 1/2 + 2/4 + 2/4 bits
    assert use.confidence == pytest.approx(0.3)


def test_invention_by_hand(codeformer):
    tokens = encode_tokens(crops_of(torch.rand(1, 3, 768, 768), margin=0.25), codeformer)
    content = torch.zeros(1, 2, 2, 2)
    content[:, 0] = 2.0
    quality = torch.zeros(1, 2, 2, 2)
    quality[0, :, 0, 0] = torch.tensor([5.0, 0.0])  # the same direction: agrees
    quality[0, :, 0, 1] = torch.tensor([1.0, 1.0])  # 45 degrees
    quality[0, :, 1, 0] = torch.tensor([0.0, 1.0])  # 90 degrees
    quality[0, :, 1, 1] = torch.tensor([-1.0, 0.0])  # the opposite, which is no more than not agreeing
    tokens = dataclasses.replace(tokens, content=content, code_latent=quality, content_weight=0.5, quality_weight=0.8)

    def corners(tokens):
        """Near the template's corners, at 128 and 639 px, each place's own value."""
        found = invention_map(tokens)
        assert found.shape == (1, 1, 768, 768)
        assert not found[0, 0, :126].any() and not found[0, 0, :, 642:].any()
        return [float(found[0, 0, y, x]) for y in (140, 627) for x in (140, 627)]

    sure = dataclasses.replace(tokens, confidence=torch.ones(1, 1, 2, 2))
    # the cosines are 1, root of 1/2, 0 and below; their roots count
    by_agreement = [0.8 * 0.5, 0.8 * (1 - 0.5 * 0.5**0.25), 0.8, 0.8]
    assert corners(sure) == pytest.approx(by_agreement, abs=1e-5)
    unsure = dataclasses.replace(sure, confidence=torch.tensor([[[[0.25, 0.0], [0.25, 1.0]]]]))
    assert corners(unsure) == pytest.approx([0.8 * 0.75, 0.8, 0.8, 0.8], abs=1e-5)
    # what references gave is not invented: gates of 0, 1/2, 1 and 1/4
    gates = {2: torch.tensor([[[[0.0, 0.5], [1.0, 0.25]]]]), 4: torch.zeros(1, 1, 4, 4)}
    none = torch.zeros(1)
    guided = dataclasses.replace(sure, reference=ReferenceFeatures({}, none, {}, {}, gates, none, none))
    assert corners(guided) == pytest.approx([by_agreement[0], by_agreement[1] / 2, 0, 0.6], abs=1e-5)
    assert not invention_map(restore_tokens(sure, 0.5, 0.0)).any()
    assert (invention_map(restore_tokens(sure, 0.0))[0, 0, 140:627, 140:627] == 1).all()
    assert invention_map(encode_tokens(crops_of(torch.rand(0, 3, 64, 64)), codeformer)).shape == (0, 1, 64, 64)
