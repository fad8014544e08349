import torch
from resemblance.core.models.style_head import StyleConfig, StyleHead

STYLE = StyleConfig(
    latent=8, features=8, side=8, narrow=4, dim=32, layers=1, heads=1, squeezed=4, hidden=16, axes=6, style=12
)


def test_the_style_starts_as_the_mean_and_lies_in_its_axes():
    torch.manual_seed(0)
    head = StyleHead(STYLE).eval()
    head.mean.normal_()
    head.axes[:, :6].copy_(torch.eye(6))
    z, features = torch.randn(2, 8, 8, 8), torch.randn(2, 8, 8, 8)
    assert torch.equal(head(z, features), head.mean.expand(2, -1))
    torch.nn.init.normal_(head.out.weight)
    told = head(z, features) - head.mean
    assert told[:, :6].abs().min() > 0 and told[:, 6:].abs().max() < 1e-6
    assert not torch.allclose(head(z, features), head(z, features + 1))
    assert torch.equal(head(z, features, 0.0), head(z, features + 1, 0.0))
