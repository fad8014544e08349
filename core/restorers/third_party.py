"""Whole-face restorers that others made: GFPGAN and RestoreFormer through spandrel, ONNX files through onnxruntime.

They have no tokens: aligned faces in, aligned faces out. All of them work in [-1,1].
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..batches import face_batches
from ..devices import falls_back
from ..files.checkpoints import fingerprint, fingerprint_file
from ..geometry import TEMPLATE_SIZE

logger = logging.getLogger(__name__)
Progress = Callable[[], None]

# spandrel's own call feeds GFPGAN [0,1] and comes out grey, so the networks are called directly. GFPGAN draws fresh
# noise unless told to use its stored noise, which makes it repeatable.
CALLS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "GFPGAN": lambda network, x: network(x, return_rgb=False, randomize_noise=False)[0],
    "RestoreFormer": lambda network, x: network(x)[0],
}


# onnxruntime's names of the types a picture or a weight may have.
NUMPY = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(double)": np.float64}


class SpandrelRestorer:
    """A network that spandrel builds.

    Args:
        state: tensors by name.
        architecture: a key of `CALLS`, which is spandrel's name of the architecture.
        licence: of the published weights.
        device: where it runs.
        dtype: None is float32, in which these networks were published.

    Raises:
        ValueError: the tensors do not make this architecture.
    """

    network: nn.Module
    with_tokens = None

    def __init__(
        self,
        state: Mapping[str, Tensor],
        architecture: str,
        licence: str,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        from spandrel import MAIN_REGISTRY, ModelLoader

        self.name = architecture
        self.licence = licence
        self.fingerprint = fingerprint(state)
        try:
            descriptor = ModelLoader("cpu", MAIN_REGISTRY).load_from_state_dict(dict(state))
        except Exception as error:  # wrong shapes make its readers stumble in many ways
            reason = str(error).strip() or type(error).__name__
            raise ValueError(
                f"These weights look like {architecture}, but its network cannot take them "
                f"({reason.splitlines()[0]}); expected the published 512 px model. Download it again."
            ) from error
        self.network = descriptor.model.to(device, dtype or torch.float32).eval().requires_grad_(False)

    @falls_back
    @torch.no_grad()
    def restore(self, faces: Tensor, fidelity: float | None = None, progress: Progress | None = None) -> Tensor:
        """Restore aligned faces (see :class:`..records.Restorer`). These networks have no fidelity to set."""
        _ignore(self.name, fidelity)
        parameter = next(self.network.parameters())
        restored = [faces[:0].float()]
        with _between_layers(self.network, progress):
            for batch in face_batches(faces, parameter.device):
                result = CALLS[self.name](self.network, (batch.float() * 2 - 1).to(parameter))
                _check_shape(self.name, result, batch)
                restored.append(_to_unit(result).to(faces.device))
        return torch.cat(restored)


class OnnxRestorer:
    """A 512 px ONNX network: (1,3,512,512) in [-1,1] in and out.

    A second, scalar input is taken for the fidelity (CodeFormer's weight).

    Raises:
        ImportError: onnxruntime is not installed.
        ValueError: not an ONNX network, or one with other inputs.
    """

    network = None
    with_tokens = None
    licence = "not stated in the file; ask where you got it"

    def __init__(self, path: Path, device: torch.device) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                f"'{path}' is an ONNX network, and onnxruntime is not installed. Install it (pip install onnxruntime), "
                "or choose weights in .pth or .safetensors."
            ) from error
        self.name = path.stem
        self.fingerprint = fingerprint_file(path)
        wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
        providers = [p for p in [*wanted, "CPUExecutionProvider"] if p in onnxruntime.get_available_providers()]
        try:
            self._session = onnxruntime.InferenceSession(path, providers=providers)
        except Exception as error:  # onnxruntime's errors share no class but this one
            raise ValueError(
                f"onnxruntime cannot load '{path}' ({str(error).strip().splitlines()[0]}); expected a 512 px face "
                "restorer. Download it again."
            ) from error
        self._image, self._weight = self._inputs(path)

    def _inputs(self, path: Path) -> tuple[Any, Any]:
        inputs = self._session.get_inputs()
        known = [i for i in inputs if i.type in NUMPY]
        fits = [i for i in known if len(i.shape) == 4 and _fits(i.shape)]
        scalars = [i for i in known if i.shape in ([], [1])]
        if len(fits) != 1 or len(fits) + len(scalars) != len(inputs) or len(scalars) > 1:
            got = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise ValueError(
                f"'{path}' takes {got}; expected one picture (1, 3, {TEMPLATE_SIZE}, {TEMPLATE_SIZE}) and at most one "
                "scalar weight. Choose a 512 px face restorer."
            )
        return fits[0], scalars[0] if scalars else None

    def restore(self, faces: Tensor, fidelity: float | None = None, progress: Progress | None = None) -> Tensor:
        """Restore aligned faces (see :class:`..records.Restorer`); fidelity None is 0.5 where there is one to set."""
        feed: dict[str, np.ndarray] = {}
        if self._weight is None:
            _ignore(self.name, fidelity)
        else:
            weight = np.full(self._weight.shape, 0.5 if fidelity is None else fidelity)
            feed[self._weight.name] = weight.astype(NUMPY[self._weight.type])
        restored = [faces[:0].float()]
        for batch in face_batches(faces, torch.device("cpu")):
            feed[self._image.name] = (batch.float() * 2 - 1).cpu().numpy().astype(NUMPY[self._image.type])
            try:
                result = torch.from_numpy(self._session.run(None, feed)[0])
            except (
                Exception
            ) as error:  # onnxruntime's errors share no class but this one; nor need the result be numbers
                raise ValueError(
                    f"The ONNX network '{self.name}' failed ({str(error).strip().splitlines()[0]}); expected a face. "
                    "Choose a 512 px face restorer."
                ) from error
            _check_shape(self.name, result, batch)
            restored.append(_to_unit(result).to(faces.device))
            if progress:
                progress()
        return torch.cat(restored)


def _check_shape(name: str, result: Tensor, batch: Tensor) -> None:
    if result.shape != batch.shape:
        raise ValueError(
            f"The network '{name}' gave {tuple(result.shape)}; expected {tuple(batch.shape)}. Choose a 512 px face "
            "restorer."
        )


def _to_unit(picture: Tensor) -> Tensor:
    return ((picture.float() + 1) / 2).clamp(0, 1)


def _fits(shape: list[int | str | None]) -> bool:
    """Whether a network takes one face; names and None stand for any size."""
    face = (1, 3, TEMPLATE_SIZE, TEMPLATE_SIZE)
    return all(size == want for size, want in zip(shape, face, strict=True) if isinstance(size, int))


def _ignore(name: str, fidelity: float | None) -> None:
    if fidelity is not None:
        logger.warning("%s has no fidelity to set; the %g given is not used.", name, fidelity)


@contextmanager
def _between_layers(network: nn.Module, progress: Progress | None) -> Iterator[None]:
    """Call `progress` after every convolution, since these networks offer no other place."""
    if progress is None:
        yield
        return
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    handles = [layer.register_forward_hook(lambda *_: progress()) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
