"""Networks filled with the tensors of a file, or one clear error where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def filled(
    build: Callable[[Mapping[str, Tensor]], Network],
    state: Mapping[str, Tensor],
    name: str,
    attempt: Callable[[Network], object] | None = None,
    device: str = "meta",
) -> Network:
    """Build the network that some tensors are of, and give it them, in their own precision, to be used, not trained.

    Args:
        build: makes the network by the shapes of the tensors.
        state: the tensors by name; all that the network has, and no others.
        name: of the network, for the error.
        attempt: uses the network once, before it is filled: shapes that fit one by one may not fit each other.
        device: where it is built. On PyTorch's "meta" device no time and no memory go into random weights that are
            replaced at once, nor into the attempt; but a network that computes tables when it is made needs a "cpu".

    Raises:
        ValueError: the tensors do not make the network.
    """
    try:
        with torch.device(device), torch.no_grad():
            network = build(state)
            network.eval().requires_grad_(False)
            if attempt:
                attempt(network)
        for key, own in network.state_dict().items():
            if key in state and state[key].is_floating_point() != own.is_floating_point():
                raise TypeError(f"'{key}' is {state[key].dtype}, in place of {own.dtype}")
        network.load_state_dict(dict(state), assign=True)
    except MemoryError:
        raise
    except Exception as error:  # wrong shapes make builders stumble in as many ways as there are layers
        reason = (
            f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:300].rstrip(".")
        )
        raise ValueError(
            f"The weights of {name} do not fit: {reason or type(error).__name__}. Download them again."
        ) from error
    return network.requires_grad_(False)
