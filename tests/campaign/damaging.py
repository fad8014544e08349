"""Ways in which files and tensors come damaged, or were made to do harm. All chance comes from the dice given."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import random
import struct
import zipfile

import torch

HOSTILE = (
    *(None, True, 0, -1, 1, 2, 3, 7, 1 << 31, 1 << 62, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "a", "F32", "F99", "0" * 16, "none", "\x00", "\n", "ä" * 3000, [], [[]], [0], {}, {"a": 1}, "../../etc"),
)


def bytes_changed(data: bytes, dice: random.Random) -> bytes:
    """Some bytes set, left out, put in or cut off; most of them near an end, where headers lie."""
    data = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8, 30))):
        if not data:
            break
        reach = dice.choice((8, 64, 600, len(data)))
        at = dice.randrange(min(reach, len(data)))
        at = len(data) - 1 - at if dice.random() < 0.3 else at
        kind = dice.randrange(5)
        if kind == 0:
            del data[at : at + dice.choice((1, 4, 40))]
        elif kind == 1:
            data[at:at] = dice.randbytes(dice.choice((1, 4, 40)))
        elif kind == 2 and dice.random() < 0.2:
            del data[at:]
        else:
            data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    return bytes(data)


def tree_changed(tree: object, dice: random.Random) -> object:
    """A copy of JSON's lists and dicts in which a few values are others, are missing, or are there twice."""
    tree = json.loads(json.dumps(tree))
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        at = tree
        while isinstance(at, dict | list) and at:
            key = dice.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if isinstance(at[key], dict | list) and at[key] and dice.random() < 0.8:
                at = at[key]
                continue
            kind = dice.randrange(4)
            if kind == 0:
                del at[key]
            elif kind == 1 and isinstance(at, list):
                at.append(at[key])
            elif kind == 1:
                at[f"{key}x"] = at[key]
            else:
                at[key] = dice.choice(HOSTILE)
            break
    return tree


def header_changed(data: bytes, dice: random.Random) -> bytes:
    """A .safetensors file with other values in its header, whose length is right."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.dumps(tree_changed(json.loads(data[8 : 8 + length]), dice)).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def archive_changed(data: bytes, dice: random.Random) -> bytes:
    """A zip archive with other parts, all of its sums right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    n = dice.randrange(len(parts))
    kind = dice.randrange(6)
    if kind == 0:
        del parts[n]
    elif kind == 1:
        parts.append((dice.choice(("x/data.pkl", "x/data/0", "constants.pkl", "data.pkl")), parts[n][1]))
    elif kind == 2:
        parts[n] = (parts[n][0], bytes_changed(parts[n][1], dice))
    else:  # the index, most of the time
        parts = [(name, bytes_changed(part, dice) if name.endswith("data.pkl") else part) for name, part in parts]
    file = io.BytesIO()
    method = dice.choice((zipfile.ZIP_STORED,) * 9 + (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, part in parts:
            archive.writestr(name, part)
    return file.getvalue()


def program(dice: random.Random) -> bytes:
    """A pickle of any instructions at all, most of them ones that PyTorch writes."""
    usual = b"}]()K\x01q\x00h\x00X\x01\x00\x00\x00a(tsu.R\x85\x86\x87N\x88\x89Qb"
    codes = [code.code.encode("latin1") for code in pickletools.opcodes]
    steps = [
        dice.choice(codes) if dice.random() < 0.2 else bytes([dice.choice(usual)]) for _ in range(dice.randrange(60))
    ]
    return b"\x80\x02" + b"".join(steps) + dice.choice((b".", b"", dice.randbytes(9) + b"."))


def archive_of(index: bytes) -> bytes:
    """A PyTorch file with that index."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/data.pkl", index)
        archive.writestr("x/data/0", bytes(24))
    return file.getvalue()


def legacy_of(index: bytes) -> bytes:
    """The same as PyTorch wrote it before version 1.6."""
    start = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return b"".join(pickle.dumps(x, 2) for x in start) + index + pickle.dumps(["0"], 2) + bytes(32)


def tensor_changed(x: torch.Tensor, dice: random.Random) -> torch.Tensor:
    """A tensor of another shape, another kind or other values."""
    shape = [*x.shape, 1, 2]
    bad = x.clone()
    if bad.numel() and bad.is_floating_point():
        bad.view(-1)[dice.randrange(bad.numel())] = dice.choice((float("nan"), float("inf"), -float("inf"), 1e30, -5.0))
    changes = [
        lambda: bad,
        lambda: x[:0],
        lambda: x[None],
        lambda: x.flatten(),
        lambda: x[..., : dice.randrange(3)] if x.ndim else x,
        lambda: torch.cat([x, x]) if x.ndim else x,
        lambda: x.mT if x.ndim > 1 else x,
        lambda: torch.zeros(dice.sample(shape, min(len(shape), dice.randrange(6)))).clamp_max(1),
        lambda: x.to(dice.choice((torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool))),
        lambda: x * dice.choice((0, -1, 1e-30, 1e30, 255)),
    ]
    return dice.choice(changes)().contiguous()


def tensors_changed(tensors: dict[str, torch.Tensor], dice: random.Random) -> dict[str, torch.Tensor]:
    """Some tensors others, missing, or under another name."""
    tensors = dict(tensors)
    for _ in range(dice.choice((1, 1, 2, 5))):
        name = dice.choice(sorted(tensors))
        kind = dice.randrange(8)
        if kind == 0 and len(tensors) > 1:
            del tensors[name]
        elif kind == 1:
            tensors[dice.choice((name + "x", "0.faces", "9.faces", "a\nb"))] = tensors[name].clone()
        else:
            tensors[name] = tensor_changed(tensors[name], dice)
    return tensors


def any_tensor(dice: random.Random, *wanted: int) -> torch.Tensor:
    """A tensor of about the shape that is wanted, or of any other, of any kind, with any values."""
    shape = list(wanted)
    if dice.random() < 0.5:
        for _ in range(dice.choice((1, 1, 2))):
            kind = dice.randrange(3)
            if kind == 0 and shape:
                shape[dice.randrange(len(shape))] = dice.choice((0, 1, 2, 3, 4, 17, 64))
            elif kind == 1 and shape:
                del shape[dice.randrange(len(shape))]
            else:
                shape.insert(dice.randrange(len(shape) + 1), dice.choice((0, 1, 2, 3)))
    x = torch.rand(shape, generator=torch.Generator().manual_seed(dice.randrange(1 << 30)))
    for _ in range(dice.choice((0, 0, 1, 2))):
        x = dice.choice(
            (
                lambda x: x * float("nan"),
                lambda x: x / 0,
                lambda x: x * 255,
                lambda x: x.float() - 3,
                lambda x: x * 0,
                lambda x: x[:1].expand(x.shape) if x.ndim and len(x) else x,
                lambda x: x.mT if x.ndim > 1 else x,
                lambda x: x.to(dice.choice((torch.float16, torch.bfloat16, torch.float64))),
                lambda x: x.nan_to_num().to(dice.choice((torch.uint8, torch.int64, torch.bool))),
            )
        )(x)
    return x


def any_number(dice: random.Random) -> float:
    """A coordinate: most of the time one in a photograph, else far away, tiny, or none."""
    kind = dice.randrange(12)
    if kind < 7:
        return dice.uniform(-20, 120)
    if kind < 10:
        return dice.uniform(-1, 1) * 10 ** dice.uniform(-6, 9)
    return dice.choice((0.0, -0.0, 1e-300, 1e18, -1e300, float("nan"), float("inf")))
