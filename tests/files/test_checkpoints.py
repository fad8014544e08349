import json
import os
import pickle
import random
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from resemblance.core.files.checkpoints import TensorInfo, about, fingerprint, inspect, read
from resemblance.core.restorers.table import can_load, describe, load_restorer
from safetensors.torch import save_file

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
INFO = {"a.weight": TensorInfo((2, 3), "float32"), "b": TensorInfo((4,), "bfloat16")}


class Evil:
    """What a hostile file holds: loading it makes a folder."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def save(path, content, legacy=False):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: {"params": {"wrong": torch.ones(1)}, "params_ema": t},
        lambda t: {"params": t},
        lambda t: {"state_dict": t, "epoch": 3, "note": "x"},
        lambda t: {"state_dict": {"loss.net": torch.ones(9)} | {f"vqvae.{name}": v for name, v in t.items()}},
        lambda t: OrderedDict((name, torch.nn.Parameter(v)) for name, v in t.items()),
    ],
)
def test_pytorch_files_of_every_shape(tmp_path, wrap, legacy):
    path = save(tmp_path / "x.pth", wrap(TENSORS), legacy)
    checkpoint = inspect(path)
    assert dict(checkpoint.tensors) == INFO
    assert (checkpoint.format, checkpoint.size, checkpoint.parameters) == ("pytorch", path.stat().st_size, 10)
    tensors = read(path)
    assert set(tensors) == set(TENSORS)
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_safetensors(tmp_path):
    path = tmp_path / "weights.bin"  # the name says nothing
    save_file(TENSORS, path, metadata={"format": "pt"})
    checkpoint = inspect(path)
    assert dict(checkpoint.tensors) == INFO
    assert (checkpoint.format, checkpoint.parameters) == ("safetensors", 10)
    assert torch.equal(read(path)["a.weight"], TENSORS["a.weight"])


def test_a_module_state_with_metadata(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.GroupNorm(2, 4))
    path = save(tmp_path / "x.pt", module.state_dict())
    assert inspect(path).shapes == {"0.weight": (4, 3, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,)}


def test_inspecting_reads_no_weights(tmp_path):
    """A file whose tensor data are nothing but zeros of a sparse file inspects as fast and as well."""
    path = tmp_path / "big.safetensors"
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 16, 1 << 18], "data_offsets": [0, 1 << 36]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + (1 << 36))  # 64 GiB, of which none is on the disk
    assert inspect(path).parameters == 1 << 34


@pytest.mark.parametrize("legacy", [False, True, None])
def test_hostile_pickles_do_not_run(tmp_path, legacy):
    marker = tmp_path / "ran"
    path = tmp_path / "evil.pth"
    content = {"params_ema": {**TENSORS, "x": Evil(marker)}}
    if legacy is None:
        path.write_bytes(pickle.dumps(content))
    else:
        save(path, content, legacy)
    for function in (inspect, read, load_restorer):
        with pytest.raises(ValueError, match="expected") as caught:
            function(path)
        assert str(path) in str(caught.value)
    assert not marker.exists()
    if legacy is None:
        pickle.loads(path.read_bytes())
        assert marker.exists()  # so the file was indeed hostile


def test_a_refusal_names_the_code(tmp_path):
    path = save(tmp_path / "evil.pth", {"a": TENSORS["b"], "x": Evil(tmp_path / "ran")})
    with pytest.raises(ValueError, match=r"nothing in it was run: besides tensors it names (posix|nt).mkdir"):
        inspect(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "a JPEG picture"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "a PNG picture"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "a Git LFS pointer"),
        (b"Not Found: the file has moved, sorry.", "text"),
        (bytes(range(256)), "something else"),
        (pickle.dumps([1, 2]), "a pickle that PyTorch did not write"),
    ],
)
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.onnx"])
def test_other_files_are_named(tmp_path, content, what, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=what) as caught:
        read(path)
    assert str(path) in str(caught.value) and "expected weights" in str(caught.value)


def test_archives_without_weights(tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="zip archive without PyTorch weights"):
        inspect(path)
    with zipfile.ZipFile(path, "w") as archive:  # the layout of torch.jit.save
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"net/{name}", pickle.dumps({}))
    with pytest.raises(ValueError, match="TorchScript program"):
        inspect(path)
    with pytest.raises(ValueError, match="holds no tensors"):
        inspect(save(path, {"epoch": 1}))
    with pytest.raises(ValueError, match="holds no tensors"):
        inspect(save(path, torch.ones(3)))


def write(path, kind):
    if kind == "safetensors":
        save_file(TENSORS, path)
    else:
        save(path, TENSORS, legacy=kind == "legacy")


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_truncated_files(tmp_path, kind):
    path = tmp_path / "x"
    write(path, kind)
    whole = path.read_bytes()
    for length in range(20, len(whole) - 1, max(1, len(whole) // 50)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"truncated|damaged|not a weights file"):
            read(path)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_damaged_files_raise_nothing_but_clear_errors(tmp_path, kind):
    path = tmp_path / "x"
    write(path, kind)
    whole = path.read_bytes()
    dice = random.Random(0)
    failed = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            damaged[dice.randrange(min(len(damaged), 600))] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except (ValueError, OSError) as error:
            assert str(path) in str(error)
            failed += 1
    assert failed > 100


def test_missing_folder_and_unreadable(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*nothing\.pth'.*Check the path"):
        inspect(tmp_path / "nothing.pth")
    with pytest.raises(IsADirectoryError, match=r"is a folder; expected weights"):
        inspect(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/mem cannot be read at 0, even by root")
def test_unreadable():
    with pytest.raises(OSError, match=r"Cannot read '/proc/self/mem': .*Check the file and its permissions") as caught:
        inspect(Path("/proc/self/mem"))
    assert isinstance(caught.value.__cause__, OSError)


def test_fingerprints(tmp_path):
    base = fingerprint(TENSORS)
    assert len(base) == 16 and int(base, 16) >= 0
    assert fingerprint(dict(reversed(TENSORS.items()))) == base
    save_file(TENSORS, tmp_path / "x.safetensors")
    assert fingerprint(read(tmp_path / "x.safetensors")) == base
    assert fingerprint(read(save(tmp_path / "x.pth", {"params_ema": TENSORS}, legacy=True))) == base
    changed = {**TENSORS, "b": torch.tensor([1, 1, 1, 2], dtype=torch.bfloat16)}
    assert fingerprint(changed) != base
    assert fingerprint({"c": TENSORS["b"], "a.weight": TENSORS["a.weight"]}) != base


def test_fingerprint_of_known_bytes():
    # sha256 of the bytes of "x" and of one little-endian float32 1.0, by hashlib and struct alone
    import hashlib

    assert fingerprint({"x": torch.tensor(1.0)}) == hashlib.sha256(b"x" + struct.pack("<f", 1.0)).hexdigest()[:16]


def test_what_a_file_says_of_itself(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "told.safetensors", {"fingerprint": "abc"})
    save_file({"x": torch.zeros(1)}, tmp_path / "silent.safetensors")
    assert about(tmp_path / "told.safetensors") == {"fingerprint": "abc"}
    assert about(tmp_path / "silent.safetensors") == {}
    with pytest.raises(OSError, match="missing"):
        about(tmp_path / "missing.safetensors")


# Hostile files


def safetensors(path, header, data=b""):
    header = json.dumps(header).encode() if not isinstance(header, bytes) else header
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": None},
        {"dtype": 5},
        {"dtype": ["F32"]},
        {"shape": None},
        {"shape": "2"},
        {"shape": [2.0]},
        {"shape": [True, 2]},
        {"shape": [-2, -1]},
        {"shape": [3]},
        {"shape": [10**400]},
        {"data_offsets": [0, 8, 8]},
        {"data_offsets": [8, 0]},
        {"data_offsets": [0.0, 8.0]},
        {"data_offsets": None},
        {"more": 1},
    ],
)
def test_headers_that_make_no_sense(tmp_path, change):
    path = safetensors(tmp_path / "x.safetensors", {"x": {**ENTRY, **change}}, bytes(8))
    for function in (inspect, read, about, describe):
        with pytest.raises(ValueError, match=r"The header of '.*' is truncated or damaged \(.+\); download it again"):
            function(path)
    assert not can_load(path)


def test_headers_that_are_none(tmp_path):
    for header in (b"{", b"{}", b'{"x": 3}', b'{"a":' + b"[" * 10**5, b'{"__metadata__": {}}'):
        with pytest.raises(ValueError, match=r"truncated or damaged|no tensors by name"):
            inspect(safetensors(tmp_path / "x", header))
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 1 << 30) + b"{")
        file.truncate(1 << 31)  # of which nearly nothing is on the disk
    with pytest.raises(ValueError, match=r"header of '.*large' has 1073741824 bytes; expected at most 8388608"):
        inspect(path)
    with pytest.raises(ValueError, match=r"names a tensor 'a\\nb'; expected names that can be read"):
        inspect(safetensors(path, {"a\nb": ENTRY}, bytes(8)))


def test_numbers_that_are_none(tmp_path):
    for bad in (float("nan"), float("inf")):
        for name, store in (("x.safetensors", save_file), ("x.pth", torch.save)):
            store({"good": torch.ones(3), "bad": torch.tensor([1.0, bad])}, tmp_path / name)
            assert len(inspect(tmp_path / name).tensors) == 2
            with pytest.raises(ValueError, match=r"'bad' of '.*' holds NaN or infinite values; expected finite"):
                read(tmp_path / name)
    save_file({"x": torch.ones(3).to(torch.float8_e4m3fn)}, tmp_path / "x.safetensors")
    assert describe(tmp_path / "x.safetensors").dtypes == ("F8_E4M3",)
    with pytest.raises(ValueError, match=r"'x' of '.*' is torch.float8_e4m3fn; expected one of float32"):
        read(tmp_path / "x.safetensors")


def rezip(path, change=lambda name, data: data, method=zipfile.ZIP_STORED, more=()):
    """The archive with other parts."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in (*parts.items(), *more):
            archive.writestr(name, change(name, data))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_were_compressed(tmp_path, method):
    """Of 400 bytes a compressed index would become 64 MB of empty lists, and these four gigabytes."""
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + b"]" * (1 << 22) + b".")
    assert path.stat().st_size < 1 << 13
    with pytest.raises(ValueError, match=r"PyTorch did not write: .*compressed parts; expected one index and nothing"):
        inspect(path)
    path = rezip(save(tmp_path / "x.pth", TENSORS), method=method)
    assert not can_load(path)
    with pytest.raises(ValueError, match="compressed parts"):
        read(path)


def test_archives_with_two_indices(tmp_path):
    path = rezip(save(tmp_path / "x.pth", TENSORS), more=[("y/data.pkl", pickle.dumps({}))])
    with pytest.raises(ValueError, match="it holds 2 indices"):
        inspect(path)


def test_indices_that_are_too_large(tmp_path):
    path = rezip(save(tmp_path / "x.pth", TENSORS), lambda name, data: data + bytes(3 << 20))
    with pytest.raises(ValueError, match=r"The index of '.*' has \d+ bytes; expected at most 2097152"):
        inspect(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_storages_that_are_not_there(tmp_path, legacy):
    path = save(tmp_path / "x.pth", {"x": torch.ones(1000)}, legacy)
    larger = b"J\x00\x00\x00\x10"  # 268,435,456 in place of 1,000
    if legacy:
        path.write_bytes(path.read_bytes().replace(b"M\xe8\x03", larger))
    else:
        rezip(path, lambda name, data: data.replace(b"M\xe8\x03", larger) if name.endswith("data.pkl") else data)
    for function in (inspect, read):
        with pytest.raises(ValueError, match=r"is truncated: of 1073741824 bytes of the storage \S+ it has \d+; down"):
            function(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_that_are_larger_than_their_file(tmp_path, legacy):
    path = save(tmp_path / "x.pth", {"x": torch.ones(1).expand(1 << 20, 1 << 20)}, legacy)
    with pytest.raises(ValueError, match=r"its tensor 'x' has 4398046511104 bytes, the whole file \d+; download"):
        read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes on the disk")
def test_what_is_no_file_on_the_disk(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path / "pipe.pth", Path("/dev/zero")):
        for function in (inspect, read, about, describe, load_restorer):
            with pytest.raises(ValueError, match=r"is a pipe or a device; expected weights .* Name a file on the disk"):
                function(path)
        assert not can_load(path)
