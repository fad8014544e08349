"""Weights files, read so that nothing in them can run: PyTorch (zip and legacy), safetensors, and ONNX by its looks.

`inspect` reads a header only and is cheap; `read` reads the tensors. What a file is follows from its content, not its
name (ONNX excepted: protocol buffers have no signature).
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..finite import is_finite
from .pickle_index import BYTES, ForbiddenError, TensorInfo, read_index

# Where training programs put the weights worth using, best first.
CONTAINERS = ("params_ema", "params", "state_dict")
# RestoreFormer's training program keeps the network under this prefix, beside its losses.
PREFIX = "vqvae."
# torch.save before version 1.6 opened its files with this pickled number (torch/serialization.py, MAGIC_NUMBER).
LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
# Far above the headers and indices of face restorers (0.2 MB), far below what would fill the memory: read into Python's
# objects, a byte may take a hundred.
HEADER_LIMIT = 8 << 20
INDEX_LIMIT = 2 << 20

SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
LOOKS_LIKE = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"version https://git-lfs", "a Git LFS pointer, which stands for a file that was not fetched"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"GGUF", "a GGUF language model"),
    (b"\x80", "a pickle that PyTorch did not write"),
)
EXPECTED = "expected weights as PyTorch (.pth, .pt), safetensors or ONNX"
AGAIN = "download it again"


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds, without the weights.

    Attributes:
        path: the file.
        format: ``"safetensors"``, ``"pytorch"`` or ``"onnx"``.
        size: of the file [bytes].
        tensors: by name, containers and prefixes removed; empty for ONNX, whose names are not read.
    """

    path: Path
    format: str
    size: int
    tensors: Mapping[str, TensorInfo] = field(repr=False)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by name."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    @property
    def parameters(self) -> int:
        """Numbers in all tensors together."""
        return sum(tensor.values for tensor in self.tensors.values())


def inspect(path: Path) -> Checkpoint:
    """Names, shapes and dtypes of a weights file, from its header.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: the file is something else, truncated, damaged, or names code that is not part of plain weights.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"'{path}' is a folder; {EXPECTED}. Name the file in it.")
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # reading a pipe would wait for ever
            raise ValueError(f"'{path}' is a pipe or a device; {EXPECTED}. Name a file on the disk.")
        size = state.st_size
        with path.open("rb") as file:
            head = file.read(512)
            file.seek(0)
            kind = _format(path, head, size)
            if kind == "onnx":
                return Checkpoint(path, kind, size, {})
            if kind == "safetensors":
                tensors = _safetensors_header(path, file, size)
            else:
                tensors = _pytorch_header(path, file, size, legacy=head.startswith(LEGACY_MAGIC))
                kind = "pytorch"
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no file '{path}'; {EXPECTED}. Check the path.") from error
    except OSError as error:
        raise OSError(
            f"Cannot read '{path}': {error.strerror or error}; {EXPECTED}. Check the file and its permissions."
        ) from error
    return Checkpoint(path, kind, size, tensors)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch or safetensors file by name, on the CPU, as `inspect` names them.

    Pickles are read with ``weights_only=True``, after `inspect` found nothing but tensors in them.

    Raises:
        OSError, ValueError: as :func:`inspect`; also where the data are damaged, where numbers are not finite, and for
            ONNX, which is run, not read.
    """
    checkpoint = inspect(path)
    if checkpoint.format == "onnx":
        raise ValueError(
            f"'{path}' is an ONNX network, which has no tensors to load; {EXPECTED.replace(' or ONNX', '')}."
        )
    with _damage(path, "weights"):
        if checkpoint.format == "safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    tensors = _plain(content, Tensor)
    for name, tensor in tensors.items():
        if str(tensor.dtype).removeprefix("torch.") not in BYTES:
            raise ValueError(f"'{name}' of '{path}' is {tensor.dtype}; expected one of {', '.join(BYTES)}.")
        if not is_finite(tensor):
            raise ValueError(f"'{name}' of '{path}' holds NaN or infinite values; expected finite weights: {AGAIN}.")
    return tensors


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits that stand for these weights: sha256 over the sorted names and the bytes of the tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def about(path: Path) -> dict[str, str]:
    """What a .safetensors file says of itself in its header.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is something else, or damaged.
    """
    inspect(path)
    with _damage(path, "header"), safe_open(path, "pt") as file:
        return file.metadata() or {}


def fingerprint_file(path: Path) -> str:
    """Sixteen hex digits of the sha256 over a file, for files whose tensors are not read."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()[:16]


def _format(path: Path, head: bytes, size: int) -> str:
    if not size:
        raise ValueError(f"'{path}' is empty (0 bytes); {EXPECTED}. Its download probably failed: {AGAIN}.")
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(LEGACY_MAGIC):
        return "legacy"
    if head[8:9] == b"{" and head[4:8] == b"\0\0\0\0":  # length of the header (below 4 GiB), then JSON
        return "safetensors"
    if path.suffix.lower() == ".onnx" and head[0] == 0x08:  # the first field of an ONNX model is its version
        return "onnx"
    kind = next((name for start, name in LOOKS_LIKE if head.startswith(start)), "")
    if not kind and head.lstrip().startswith(b"<"):
        kind = "a web page or XML"
    if not kind:
        kind = "text" if not any(byte < 9 for byte in head) else "something else"
    raise ValueError(
        f"'{path}' is not a weights file but {kind} ({size} bytes); {EXPECTED}: get the file itself again."
    )


def _safetensors_header(path: Path, file: BinaryIO, size: int) -> dict[str, TensorInfo]:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > size - 8:
        raise ValueError(f"'{path}' is truncated: its header has {length} bytes, the whole file {size}; {AGAIN}.")
    if length > HEADER_LIMIT:
        raise ValueError(f"The header of '{path}' has {length} bytes; expected at most {HEADER_LIMIT}: {AGAIN}.")
    with _damage(path, "header"):
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors = {name: _entry(name, **entry) for name, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if 8 + length + end != size:
        raise ValueError(f"'{path}' is truncated: it has {size} bytes of {8 + length + end}; {AGAIN}.")
    return _named(path, tensors, size)


def _entry(name: str, dtype: str, shape: list[int], data_offsets: list[int]) -> TensorInfo:
    """What the header of a .safetensors file says of a tensor."""
    begin, end = data_offsets
    if not all(type(n) is int and 0 <= n < 1 << 48 for n in (*shape, begin, end)) or not isinstance(dtype, str):
        raise ValueError(f"'{name}' is {dtype} of shape {shape} at {data_offsets}")
    info = TensorInfo(tuple(shape), SAFETENSORS.get(dtype, dtype))
    if info.dtype in BYTES and info.size != end - begin:
        raise ValueError(f"'{name}' is {dtype} of shape {shape} in {end - begin} bytes")
    return info


def _pytorch_header(path: Path, file: BinaryIO, size: int, legacy: bool) -> dict[str, TensorInfo]:
    index, stored = (io.BytesIO(file.read(INDEX_LIMIT)), {}) if legacy else _zip_index(path, file)
    try:
        with _damage(path, "index"):
            for _ in range(3 if legacy else 0):  # magic number, protocol, and what machine wrote it
                read_index(index)
            content, storages = read_index(index)
            if legacy and not all(isinstance(key, str) for key in read_index(index)[0]):  # in which order they follow
                raise ValueError("a storage without a name")
    except ForbiddenError as error:
        raise ValueError(
            f"'{path}' was refused and nothing in it was run: besides tensors it names {error}, which can be code; "
            "expected plain weights. Use a copy saved as safetensors, from a source you trust."
        ) from error
    for key, needed in storages.items():
        there = size if legacy else stored.get(key, 0)
        if needed > there:
            raise ValueError(f"'{path}' is truncated: of {needed} bytes of the storage {key} it has {there}; {AGAIN}.")
    return _named(path, _plain(content, TensorInfo), size)


def _zip_index(path: Path, file: BinaryIO) -> tuple[BinaryIO, dict[str, int]]:
    """The index of a zip archive, and the size of each of its storages [bytes]."""
    with _damage(path, "archive"):
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
    indices = [member for member in members if member.filename.rpartition("/")[2] == "data.pkl"]
    if not indices:
        raise ValueError(f"'{path}' is a zip archive without PyTorch weights in it; {EXPECTED}.")
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise ValueError(f"'{path}' is a TorchScript program, not plain weights; {EXPECTED}.")
    if len(indices) > 1 or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError(
            f"'{path}' is a zip archive that PyTorch did not write: it holds {len(indices)} indices or compressed "
            f"parts; expected one index and nothing compressed: {AGAIN}."
        )
    if indices[0].file_size > INDEX_LIMIT:
        raise ValueError(
            f"The index of '{path}' has {indices[0].file_size} bytes; expected at most {INDEX_LIMIT}: {AGAIN}."
        )
    storages = {member.filename.rpartition("/data/")[2]: member.file_size for member in members}
    with _damage(path, "archive"):
        return io.BytesIO(archive.read(indices[0])), storages


@contextmanager
def _damage(path: Path, part: str) -> Iterator[None]:
    """Give every way in which damaged bytes make a parser stumble one name.

    Parsers promise no list of their errors (the documentation of pickle says so), and such bytes do raise many.
    """
    try:
        yield
    except (OSError, MemoryError, ForbiddenError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"The {part} of '{path}' is truncated or damaged ({reason}); {AGAIN}.") from error


def _named(path: Path, tensors: Mapping[str, TensorInfo], size: int) -> dict[str, TensorInfo]:
    """The tensors, where there are any and each has a name and room in a file of that size."""
    if not tensors:
        raise ValueError(f"'{path}' holds no tensors by name; expected the weights of a face restorer.")
    for name, tensor in tensors.items():
        if not name.isprintable():
            raise ValueError(f"'{path}' names a tensor {name!r}; expected names that can be read: {AGAIN}.")
        if tensor.size > size:
            raise ValueError(
                f"'{path}' is truncated: its tensor '{name}' has {tensor.size} bytes, the whole file {size}; {AGAIN}."
            )
    return dict(tensors)


def _plain(content: object, kind: type) -> dict[str, Any]:
    """The tensors by name, out of whatever training program's container they lie in."""
    if not isinstance(content, Mapping):
        return {}
    content = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), content)
    tensors = {str(name): value for name, value in content.items() if isinstance(value, kind)}
    inner = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    return inner or tensors
