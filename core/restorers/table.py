"""The restorers behind one interface, and the table by which a weights file finds its own.

A file is known by the names and shapes of its tensors, never by its name.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..files.checkpoints import Checkpoint, about, fingerprint, inspect, read
from ..files.networks import filled
from ..geometry import TEMPLATE_SIZE
from ..models.codeformer import CodeFormer, config_from_state
from ..models.generative import GenerativeNet
from ..models.prior import Prior, PriorConfig
from ..models.restorer import ResemblanceNet, RestorerConfig
from ..models.transfer import TransferConfig, TransferNet
from ..records import Restorer
from .third_party import OnnxRestorer, SpandrelRestorer
from .token_restorer import TokenRestorer

log = logging.getLogger(__name__)

Progress = Callable[[], None]
Ours = ResemblanceNet | GenerativeNet
Codebook = TypeVar("Codebook", bound=nn.Module)
SMALLEST_ONNX = 20 << 20  # [bytes] smaller ones are face detectors and the like
OTHER_SIDES = re.compile(r"(?<!\d)(128|256|1024|2048)(?!\d)")  # GPEN-BFR-1024.onnx and its kin
BUILTIN = Path(__file__).parents[1] / "weights" / "restorer.safetensors"
TRANSFER = BUILTIN.with_name("transfer.safetensors")
PRIOR = BUILTIN.with_name("prior.safetensors")
EMBEDDING = BUILTIN.with_name("embedding.safetensors")


Load = Callable[["Family", Mapping[str, Tensor], torch.device, torch.dtype | None], Restorer]


@dataclass(frozen=True)
class Family:
    """A row of the table.

    Attributes:
        name: shown to users.
        licence: of the published weights.
        names: tensors that all of its files have, and files of the rows below it have not.
        load: makes the restorer of (family, tensors, device, dtype).
    """

    name: str
    licence: str
    names: tuple[str, ...]
    load: Load


def _token_restorer(
    family: Family,
    state: Mapping[str, Tensor],
    build: Callable[[Mapping[str, Tensor]], Codebook],
    device: torch.device,
    dtype: torch.dtype | None,
) -> tuple[Restorer, Codebook]:
    own = fingerprint(state)
    # What ships was tried, and is small: random weights take it less time than PyTorch takes to import "meta".
    if TRANSFER.is_file() and own == about(TRANSFER).get("restorer"):
        network = filled(build, state, family.name, device="cpu")
    else:
        network = filled(build, state, family.name, _restores_a_face)
    dtype = dtype or faster_dtype(device)
    network.to(device, dtype)
    if dtype == torch.bfloat16:
        # Faster still. Not in float32: there a CPU's channels-last GroupNorm loses digits, 3e-4 in CodeFormer's output.
        network.to(memory_format=torch.channels_last)
    return TokenRestorer(network, family.name, family.licence, own), network


def _restores_a_face(network: nn.Module) -> None:
    """Send a face through a network, to see whether its layers fit each other."""
    faces = torch.empty(1, 3, TEMPLATE_SIZE, TEMPLATE_SIZE, device="meta")
    restored = TokenRestorer(network, "", "", "").restore(faces)
    if restored.shape != faces.shape:
        raise ValueError(f"it makes {tuple(restored.shape)} of {tuple(faces.shape)}")


def _ours(build: Callable[[Mapping[str, Tensor]], Ours]) -> Load:
    """How a restorer of ours is loaded, with the parts that belong to it."""

    def load(family: Family, state: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype | None) -> Restorer:
        restorer, network = _token_restorer(family, state, build, device, dtype)
        attach_transfer(restorer, network)
        attach_prior(restorer, network)
        return restorer

    return load


def attach_transfer(restorer: Restorer, network: Ours, path: Path = TRANSFER) -> None:
    """Give a restorer the part that reads references, where the weights in `path` were trained on this very restorer
    and read the embedding network that lies beside them.

    Raises:
        OSError, ValueError: the file is damaged.
    """
    embedding = path.with_name(EMBEDDING.name)
    beside = about(embedding).get("fingerprint") if embedding.is_file() else "none"
    if path.is_file() and about(path).get("embedder") != beside:
        log.warning(
            "'%s' was made for another '%s': it is left out. Put the two that belong together.", path, embedding
        )
        return
    transfer = _part(path, restorer, network, lambda state: TransferNet(TransferConfig.from_state(state)))
    if transfer is not None:
        faster = network.embedding.dtype == torch.bfloat16
        network.transfer = transfer.to(memory_format=torch.channels_last) if faster else transfer


def attach_prior(restorer: Restorer, network: Ours, path: Path = PRIOR) -> None:
    """Give a restorer its prior over clean latents, where the weights in `path` were trained on this very restorer.

    Raises:
        OSError, ValueError: the file is damaged.
    """
    prior = _part(path, restorer, network, lambda state: Prior(PriorConfig.from_state(state)))
    if prior is not None:
        network.prior = prior


def _part(
    path: Path, restorer: Restorer, network: Ours, build: Callable[[Mapping[str, Tensor]], nn.Module]
) -> nn.Module | None:
    """A part with its weights, beside the network; None without a file, or if trained with another restorer."""
    if not path.is_file():
        return None
    if about(path).get("restorer") != restorer.fingerprint:
        return None
    part = filled(build, read(path), f"'{path}'", device="cpu")
    return part.to(network.embedding.device, network.embedding.dtype)


def _load_codeformer(
    family: Family, state: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype | None
) -> Restorer:
    return _token_restorer(family, state, _codeformer, device, dtype)[0]


def _codeformer(state: Mapping[str, Tensor]) -> CodeFormer:
    config = config_from_state({name: tuple(tensor.shape) for name, tensor in state.items()})
    if config.image_size != TEMPLATE_SIZE:
        raise ValueError(f"it is for faces of {config.image_size} px; expected {TEMPLATE_SIZE} px")
    return CodeFormer(config)


def _load_spandrel(
    family: Family, state: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype | None
) -> Restorer:
    return SpandrelRestorer(state, family.name, family.licence, device, dtype)


def _refuse_plus_plus(
    family: Family, state: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype | None
) -> Restorer:
    raise ValueError(
        "This is RestoreFormer++, which is supported as an ONNX file only; got PyTorch weights. "
        "Use RestoreFormer_PP.onnx, RestoreFormer, or the built-in restorer."
    )


_RESEMBLANCE = ("embedding", "gate.0.weight", "encoder.level0.0.conv1.weight", "transformer.proj_in.weight")
_RESTOREFORMER = ("quant_conv.weight", "encoder.down.0.block.0.norm1.weight", "decoder.conv_out.weight")

# Tried in this order; the first whose names are all there is taken.
FAMILIES = (
    Family("Resemblance", "see MODEL_CARD.md", (*_RESEMBLANCE, "style.axes", "place"), _ours(GenerativeNet.from_state)),
    Family(
        "Resemblance",
        "see MODEL_CARD.md",
        _RESEMBLANCE,
        _ours(lambda state: ResemblanceNet(RestorerConfig.from_state(state))),
    ),
    Family(
        "CodeFormer",
        "S-Lab License 1.0, non-commercial",
        (
            "position_emb",
            "quantize.embedding.weight",
            "feat_emb.weight",
            "idx_pred_layer.1.weight",
            "generator.blocks.0.bias",
        ),
        _load_codeformer,
    ),
    Family(
        "GFPGAN",
        "Apache-2.0, with NVIDIA parts that are non-commercial",
        ("conv_body_first.weight", "toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight"),
        _load_spandrel,
    ),
    Family("RestoreFormer++", "Apache-2.0", (*_RESTOREFORMER, "decoder.up.4.attn.0.q.weight"), _refuse_plus_plus),
    Family("RestoreFormer", "Apache-2.0", _RESTOREFORMER, _load_spandrel),
)


def find_family(checkpoint: Checkpoint) -> Family | None:
    """The first row of the table that the file fits; None for ONNX files and for anything else."""
    return next((f for f in FAMILIES if all(name in checkpoint.tensors for name in f.names)), None)


@dataclass(frozen=True)
class Description:
    """What is known of a weights file without loading it.

    Attributes:
        path: the file.
        architecture: a family's name, ``"ONNX"``, or None where it is no restorer that is known.
        licence: of the published weights of that family.
        parameters: how many; None for ONNX.
        tensors: how many; None for ONNX.
        dtypes: of the tensors.
        size: of the file [bytes].
    """

    path: Path
    architecture: str | None
    licence: str
    parameters: int | None
    tensors: int | None
    dtypes: tuple[str, ...]
    size: int


def describe(path: Path | None = None) -> Description:
    """Describe a weights file (None: the built-in one) from its header.

    Raises:
        OSError, ValueError: as :func:`..files.checkpoints.inspect`.
    """
    checkpoint = inspect(path or BUILTIN)
    if checkpoint.format == "onnx":
        return Description(checkpoint.path, "ONNX", OnnxRestorer.licence, None, None, (), checkpoint.size)
    family = find_family(checkpoint)
    return Description(
        path=checkpoint.path,
        architecture=family.name if family else None,
        licence=family.licence if family else "unknown",
        parameters=checkpoint.parameters,
        tensors=len(checkpoint.tensors),
        dtypes=tuple(sorted({tensor.dtype for tensor in checkpoint.tensors.values()})),
        size=checkpoint.size,
    )


def can_load(path: Path) -> bool:
    """Whether a file is a restorer that :func:`load_restorer` knows, judged from its header, without loading it.

    An ONNX file has no header to judge by; it counts where onnxruntime is installed and its size and name are those of
    a 512 px face restorer.
    """
    try:
        checkpoint = inspect(path)
    except (OSError, ValueError, MemoryError):
        return False
    if checkpoint.format == "onnx":
        installed = importlib.util.find_spec("onnxruntime") is not None
        return installed and checkpoint.size >= SMALLEST_ONNX and not OTHER_SIDES.search(path.stem)
    family = find_family(checkpoint)
    return family is not None and family.load is not _refuse_plus_plus


def load_restorer(
    path: Path | None = None, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> Restorer:
    """Load the restorer in a weights file.

    Args:
        path: .pth, .pt, .safetensors or .onnx; None is the built-in restorer.
        device: where it is to run.
        dtype: float32 or bfloat16; None takes, for networks with tokens, what the device is faster with.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is no restorer that is known, damaged, or refused; or another dtype was asked for.
        ImportError: it needs a package that is not installed.
    """
    if dtype not in (None, torch.float32, torch.bfloat16):
        raise ValueError(f"A restorer was asked to run in {dtype}; expected float32 or bfloat16 (float16 overflows).")
    device = torch.device(device)
    if path is None and not BUILTIN.is_file():
        raise FileNotFoundError(
            f"The built-in weights '{BUILTIN}' are missing; install Resemblance again or name a file."
        )
    checkpoint = inspect(path or BUILTIN)
    if checkpoint.format == "onnx":
        return OnnxRestorer(checkpoint.path, device)
    family = find_family(checkpoint)
    if family is None:
        some = ", ".join(list(checkpoint.tensors)[:3])
        raise ValueError(
            f"'{checkpoint.path}' holds {len(checkpoint.tensors)} tensors ({some}, …) of no restorer that is known; "
            f"expected {', '.join(f.name for f in FAMILIES)} or an ONNX file. Choose another file."
        )
    return family.load(family, read(checkpoint.path), device, dtype)


def builtin_restorer(device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> TokenRestorer:
    """The restorer that ships with the project."""
    restorer = load_restorer(None, device, dtype)
    assert isinstance(restorer, TokenRestorer), "its weights have a codebook"
    return restorer


def faster_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float32.

    Looked up rather than timed: on a busy machine a timing is slow and picks by chance. A CPU needs AVX512-BF16 or AMX
    (without, bfloat16 is emulated and slower), an NVIDIA GPU compute capability 8; on others pass the dtype.
    """
    if device.type == "cpu":
        # Not public, and some are missing before PyTorch 2.6: float32 is then right, only slower.
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        gains = any(getattr(torch.cpu, check, bool)() for check in checks)
    else:
        gains = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if gains else torch.float32
