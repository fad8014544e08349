"""Weights files and networks: where ComfyUI keeps the files, and how it moves the networks.

A restorer that is loaded here carries its ComfyUI patcher as an attribute, so the two live and die together, and
whatever holds the restorer (a socket, tokens) can have it brought to the device.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comfy.model_patcher
import folder_paths
import torch
from comfy import model_management
from torch import nn

from ..core.batches import batch_size
from ..core.faces.detect import BACKENDS, Detector, available_backends, find_files, load_detector
from ..core.faces.identity import FILES, Embedder, Embedders, load_embedder
from ..core.records import Restorer
from ..core.restorers import table as restorers
from ..core.restorers.table import can_load, load_restorer

BUILT_IN = "built-in"
EXTENSIONS = {".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".onnx"}
RESTORERS = ("facerestore_models", "face_restore")
LIBRARIES = ("insightface", "facexlib", "facedetection", "facerestore_models", "face_restore")
# What a network needs beside its weights. CodeFormer's decoder holds some ten maps of 64 channels at 512 px.
FACE_MEMORY = 768 << 20
PHOTO_MEMORY = 1 << 30
EMBEDDING_MEMORY = 256 << 20


@dataclass
class Host:
    """What ComfyUI needs to know of a network.

    Attributes:
        patcher: through which ComfyUI moves it; None where there is no PyTorch network.
        steps: how often one batch of a kind of work calls back, learned from the last time.
    """

    patcher: comfy.model_patcher.ModelPatcher | None
    steps: dict[str, float] = field(default_factory=dict)


def merge_folders() -> None:
    """Add our folders to ComfyUI's, and leave what is there: entries of extra_model_paths.yaml and of other packs."""
    for name in dict.fromkeys((*RESTORERS, *LIBRARIES)):
        own = str(Path(folder_paths.models_dir) / name)
        if name in folder_paths.folder_names_and_paths:
            folder_paths.add_model_folder_path(name, own)
        else:
            folder_paths.folder_names_and_paths[name] = ([own], set(EXTENSIONS))


def restorer_names() -> list[str]:
    """The built-in restorer, then the files in ComfyUI's folders that can be loaded, by their content."""
    merge_folders()
    names = []
    for name in dict.fromkeys(name for folder in RESTORERS for name in folder_paths.get_filename_list(folder)):
        path = _find(name)
        if path and path.suffix.lower() in EXTENSIONS and _can_load(*_state(path)):
            names.append(name)
    return [BUILT_IN, *names]


def restorer_state(name: str | None) -> str:
    """Changes when the file behind a name does; a name that comes over a wire is not known yet (None)."""
    path = _find(name) if name and name != BUILT_IN else None
    return " ".join(map(str, _state(path))) if path else str(name)


def get_restorer(name: str = BUILT_IN) -> Restorer:
    """The restorer of a name in :func:`restorer_names`; read from disk once, as long as the file stays the same.

    Raises:
        FileNotFoundError: there is no such file any more.
        OSError, ValueError, ImportError: as :func:`..core.restorers.table.load_restorer`.
    """
    if name == BUILT_IN:
        built_in = restorers.BUILTIN
        return _load_restorer(*_state(built_in)) if built_in.is_file() else load_restorer()
    merge_folders()
    path = _find(name)
    if path is None:
        folders = ", ".join(str(p) for folder in RESTORERS for p in folder_paths.get_folder_paths(folder))
        raise FileNotFoundError(
            f"The file '{name}' was listed, but is no longer in {folders}. Put it back, or press R to refresh the "
            f"list and choose another, or '{BUILT_IN}'."
        )
    return _load_restorer(*_state(path))


def detector_names() -> list[str]:
    """What a detector may be chosen from."""
    return ["auto", *reversed(BACKENDS)]


def get_detector(name: str) -> Detector:
    """A detector, its network on the device; read from disk once.

    Raises:
        OSError, ValueError: as :func:`..core.faces.detect.load_detector`.
    """
    folders = _library_folders()
    detector, patcher = _load_detector(name, available_backends(folders), folders)
    if patcher:
        _bring(patcher, PHOTO_MEMORY)
    return detector


def get_embedder(name: str = "auto") -> Embedder:
    """What tells faces apart, its network on the device; read from disk once.

    Raises:
        OSError, ValueError: as :func:`..core.faces.identity.load_embedder`.
    """
    folders = _library_folders()
    embedder, patcher = _load_embedder(name, tuple(find_files(FILES, folders)), folders)
    if patcher:
        _bring(patcher, EMBEDDING_MEMORY)
    return embedder


def get_embedders(matching: str = BUILT_IN) -> Embedders:
    """The embedder of that name and the built-in one, their networks on the device; read from disk once.

    Raises:
        OSError, ValueError: as :func:`get_embedder`.
    """
    return Embedders(get_embedder(BUILT_IN), get_embedder(matching))


def bring(restorer: Restorer, faces: int) -> None:
    """Have ComfyUI bring a restorer's network to the device, and make room for that many faces."""
    patcher = host(restorer).patcher
    if patcher:
        _bring(patcher, FACE_MEMORY * max(1, min(faces, batch_size(patcher.load_device))))


def host(restorer: Restorer) -> Host:
    """What was hung on a restorer when it was loaded."""
    return restorer.host  # type: ignore[attr-defined]


def device_of(restorer: Restorer) -> torch.device:
    """Where the restorer computes."""
    patcher = host(restorer).patcher
    return patcher.load_device if patcher else torch.device("cpu")


def _library_folders() -> tuple[str, ...]:
    merge_folders()
    return tuple(dict.fromkeys(p for folder in LIBRARIES for p in folder_paths.get_folder_paths(folder)))


def _find(name: str) -> Path | None:
    for folder in RESTORERS:
        path = folder_paths.get_full_path(folder, name)
        if path:
            return Path(path)
    return None


def _state(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return str(path), stat.st_mtime_ns, stat.st_size


# The caches are small: they hold two networks beyond what ComfyUI's own cache of outputs holds, and are keyed by what
# tells that a file has changed.
@functools.lru_cache(maxsize=256)
def _can_load(path: str, changed: int, size: int) -> bool:
    return can_load(Path(path))


@functools.lru_cache(maxsize=2)
def _load_restorer(path: str, changed: int, size: int) -> Restorer:
    device = model_management.get_torch_device()
    with torch.inference_mode(False):  # so that gradients may run through it later
        if model_management.is_device_cpu(device):
            restorer = load_restorer(Path(path))
        else:
            restorer = load_restorer(Path(path), device if path.lower().endswith(".onnx") else "cpu", torch.float32)
            tokens = restorer.with_tokens
            if tokens is not None and tokens.network is not None and model_management.should_use_bf16(device):
                tokens.network.to(torch.bfloat16).to(memory_format=torch.channels_last)
    patcher = _patcher(restorer.network) if restorer.network is not None else None
    restorer.host = Host(patcher)  # type: ignore[attr-defined]
    return restorer


@functools.lru_cache(maxsize=2)
def _load_detector(
    name: str, available: tuple[str, ...], folders: tuple[str, ...]
) -> tuple[Detector, comfy.model_patcher.ModelPatcher | None]:
    # A library's network cannot be moved later; and which one auto takes is seen only when it is loaded.
    fixed = name in ("auto", "insightface")
    device = model_management.get_torch_device() if fixed else torch.device("cpu")
    with torch.inference_mode(False):
        detector = load_detector(name, folders, device)
    network = detector.backend.network
    return detector, _patcher(network) if network is not None else None


@functools.lru_cache(maxsize=3)
def _load_embedder(
    name: str, files: tuple[Path, ...], folders: tuple[str, ...]
) -> tuple[Embedder, comfy.model_patcher.ModelPatcher | None]:
    with torch.inference_mode(False):
        embedder = load_embedder(name, model_management.get_torch_device(), folders)
    return embedder, _patcher(embedder.network) if embedder.network is not None else None


def _patcher(network: nn.Module) -> comfy.model_patcher.ModelPatcher:
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    return kind(network, model_management.get_torch_device(), model_management.unet_offload_device())


def _bring(patcher: comfy.model_patcher.ModelPatcher, memory: int) -> None:
    options: dict[str, Any] = {"memory_required": memory}
    if "force_full_load" in inspect.signature(model_management.load_models_gpu).parameters:
        options["force_full_load"] = True
    with torch.inference_mode(False):  # what is moved inside it could never take part in gradients
        model_management.load_models_gpu([patcher], **options)
        # Layers that are not ComfyUI's own cannot be loaded in part: whatever it left behind comes now.
        patcher.model.to(patcher.load_device)
