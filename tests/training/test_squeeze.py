from dataclasses import replace

import pytest
import torch
from resemblance.core.models.embedding import EmbeddingConfig, EmbeddingNet

TINY = EmbeddingConfig(4, (8, 8, 8, 12, 12, 16, 16, 16, 16, 16, 16, 24, 24), dim=12)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    net = EmbeddingNet(TINY).eval()
    for parameter in net.parameters():  # as they begin, biases drown what a face shows
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)
        elif parameter.min() < 0:
            torch.nn.init.zeros_(parameter)
    return net


def test_a_squeezed_network_says_the_same_where_channels_are_few(tiny):
    squeeze = pytest.importorskip("resemblance.core.training.squeeze")
    crops = torch.rand(40, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    whole = tiny.embed(crops).detach()
    same = squeeze.squeeze(tiny, crops, channels=24)
    torch.testing.assert_close(same.embed(crops), whole, atol=1e-4, rtol=0)
    fewer = squeeze.squeeze(tiny, crops, channels=12)
    assert fewer.squeeze.weight.shape == (12, 24, 1, 1) and fewer.out.weight.shape == (12, 12 * 49)
    assert EmbeddingConfig.from_state(fewer.state_dict()) == replace(TINY, squeezed=12)
    # What is kept is what counts for these crops: any other twelve channels say less of it.
    chance = torch.Generator().manual_seed(2)
    other = EmbeddingNet(replace(TINY, squeezed=12)).eval()
    keep = torch.linalg.qr(torch.randn(24, 12, generator=chance))[0]
    weight = tiny.out.weight.detach().unflatten(1, (24, 49))
    state = fewer.state_dict() | {
        "squeeze.weight": keep.T[:, :, None, None],
        "out.weight": torch.einsum("ocp,ck->okp", weight, keep).flatten(1),
    }
    other.load_state_dict(state)
    agree, least = ((net.embed(crops) * whole).sum(1).mean().item() for net in (fewer, other))
    assert least < agree - 0.01 and agree > 0.9
    with pytest.raises(ValueError, match="squeezed to 12 channels already"):
        squeeze.squeeze(fewer, crops)
