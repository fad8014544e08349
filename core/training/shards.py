"""A network in several files, each small enough to come back from a lent machine."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

SHARD = 15 << 20  # bytes


def save_shards(folder: Path, name: str, tensors: dict[str, Tensor], about: dict[str, str], limit: int = SHARD) -> int:
    """Write tensors in half precision as ``name-0.safetensors`` and so on, each below `limit` bytes; how many."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, tensor in tensors.items():
        half = (tensor.detach().half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        if size + half.nbytes > limit and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][key] = half
        size += half.nbytes
    folder.mkdir(parents=True, exist_ok=True)
    for i, shard in enumerate(shards):
        fresh = folder / f"{name}-{i}.tmp"
        save_file(shard, fresh, about | {"shards": str(len(shards))})
        fresh.replace(folder / f"{name}-{i}.safetensors")
    return len(shards)


def load_shards(folder: Path, name: str) -> dict[str, Tensor]:
    """The tensors in float32 that :func:`save_shards` wrote; none where nothing was written."""
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob(f"{name}-*.safetensors")):
        found |= {key: t.float() if t.is_floating_point() else t for key, t in load_file(path).items()}
    return found
