"""The index of a PyTorch file, read as plain data: nothing in it runs, and it costs no more than its size.

The index is a pickle, which is a program for a small machine. Here the machine knows only what `torch.save` writes, and
none of the instructions by which a few bytes take gigabytes or run for ever.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

DTYPES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
BYTES = {
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float64": 8,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
INSTRUCTIONS = (
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1"),
    *("BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING", "SHORT_BINBYTES", "BINGET", "LONG_BINGET"),
    *("BINPUT", "LONG_BINPUT", "MEMOIZE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST"),
    *("APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    "BINPERSID",
)


@dataclass(frozen=True)
class TensorInfo:
    """Shape and dtype (as PyTorch names it) of a tensor in a file."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def values(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """How large it is [bytes]; 0 where the dtype is not known."""
        return self.values * BYTES.get(self.dtype, 0)


class ForbiddenError(Exception):
    """The index names something that is not part of plain weights."""


def read_index(stream: BinaryIO) -> tuple[Any, dict[str, int]]:
    """Read one pickle.

    Args:
        stream: its position moves behind what was read.

    Returns:
        What the pickle holds, with `TensorInfo` in place of tensors; and the size of each storage it names [bytes].

    Raises:
        ForbiddenError: it names code.
        pickle.UnpicklingError: it holds what `torch.save` does not write. Where its bytes are damaged, nearly any other
            error may come: pickle promises no list.
    """
    reader = _Reader(stream)
    return reader.load(), reader.storages


class _Names(dict[Any, Any]):
    """A dict whose keys are names or numbers: nested tuples would take for ever to hash."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()

    def __setitem__(self, key: object, value: object) -> None:
        if not isinstance(key, str | int):
            raise pickle.UnpicklingError(f"a {type(key).__name__} in place of a name")
        super().__setitem__(key, value)

    def __setstate__(self, state: object) -> None:
        """An ordered dict of a network carries versions of its layers, which nothing here needs."""


def _refuse(reader: Any) -> None:
    raise pickle.UnpicklingError("an instruction that weights do not need")


def _empty_dictionary(reader: Any) -> None:
    """In place of pickle's own: this one checks its keys."""
    reader.append(_Names())


def _instructions() -> dict[int, Callable[[Any], None]]:
    known = {getattr(pickle, name)[0] for name in INSTRUCTIONS}
    steps = {code: step for code, step in pickle._Unpickler.dispatch.items() if code in known}
    return {**dict.fromkeys(range(256), _refuse), **steps, pickle.EMPTY_DICT[0]: _empty_dictionary}


class _Reader(pickle._Unpickler):
    """Python's own machine in Python: the one in C reserves memory for whatever number it reads."""

    dispatch = _instructions()

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Called by pickle for every name of code in the stream."""
        if (module, name) == ("collections", "OrderedDict"):
            return _Names
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor_info
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _parameter_info
        raise ForbiddenError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        """Called by pickle for every storage: ("storage", type, key, device, length); gives its dtype."""
        kind, dtype, key, _, length = pid[:5]
        if kind != "storage" or dtype not in BYTES or not isinstance(length, int) or length < 0:
            raise pickle.UnpicklingError(f"a storage of {length} {dtype}")
        self.storages[str(key)] = length * BYTES[dtype]
        return dtype


def _tensor_info(dtype: str, offset: int, shape: tuple[int, ...], *rest: object) -> TensorInfo:
    if dtype not in BYTES or len(shape) > 16 or not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in shape):
        raise pickle.UnpicklingError("a tensor without a shape or a dtype")
    return TensorInfo(tuple(shape), dtype)


def _parameter_info(info: TensorInfo, *rest: object) -> TensorInfo:
    return info
