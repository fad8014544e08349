"""Devices that lack an operator: mps, DirectML and older CUDA have fewer than a CPU. The step is done there instead."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import nn

log = logging.getLogger(__name__)
SETTLED = ("cpu", "meta")  # from these nothing falls back: tensors on "meta" have no numbers
Given = ParamSpec("Given")
Result = TypeVar("Result")

# How PyTorch's backends say that they cannot do a step at all; there is no class of errors for it.
MISSING = re.compile(r"MPS|DirectML|privateuse|not (currently )?(implemented|supported)|no kernel image", re.IGNORECASE)


def retried(step: Callable[[], Result], *networks: nn.Module | None) -> Result:
    """Do a step; where the networks' device cannot, move them to the CPU, say so, and do it again there.

    Raises:
        NotImplementedError: the CPU cannot do it either.
        RuntimeError: what the step raises otherwise, too little memory included.
    """
    try:
        return step()
    except (NotImplementedError, RuntimeError) as error:
        away = [network for network in networks if network is not None and _device(network).type not in SETTLED]
        missing = isinstance(error, NotImplementedError) or MISSING.search(str(error))
        if not away or not missing or isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).strip().splitlines()[0]
        log.warning("The device '%s' cannot do a step (%s). It goes on on the CPU.", _device(away[0]), reason)
    for network in away:
        network.to("cpu")
    return step()


def falls_back(method: Callable[Given, Result]) -> Callable[Given, Result]:
    """A method of something with a `network`, done as :func:`retried` does steps."""

    @functools.wraps(method)
    def done(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        owner: Any = args[0]
        return retried(lambda: method(*args, **kwargs), owner.network)

    return done


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
