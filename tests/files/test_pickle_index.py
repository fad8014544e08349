import io
import pickle
import time
import tracemalloc
import zipfile

import pytest
import torch
from resemblance.core.files.pickle_index import ForbiddenError, TensorInfo, read_index


def index_of(content):
    file = io.BytesIO()
    torch.save(content, file)
    archive = zipfile.ZipFile(file)
    return io.BytesIO(archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl"))))


def test_what_torch_writes():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.GroupNorm(2, 4))
    content, storages = read_index(
        index_of({"net": net.state_dict(), "step": 10**6, "rate": 0.5, "done": (True, None)})
    )
    assert content["net"]["0.weight"] == TensorInfo((4, 3, 3, 3), "float32")
    assert (content["step"], content["rate"], content["done"]) == (10**6, 0.5, (True, None))
    assert storages == {"0": 4 * 108, "1": 16, "2": 16, "3": 16}
    (info,) = read_index(index_of([torch.zeros(5, 2, dtype=torch.bool)]))[0]
    assert info == TensorInfo((5, 2), "bool") and info.size == 10 and info.values == 10


def test_several_in_one_stream():
    stream = io.BytesIO(pickle.dumps({"a": 1}, 2) + pickle.dumps([2], 2))
    assert read_index(stream)[0] == {"a": 1} and read_index(stream)[0] == [2]


@pytest.mark.parametrize("content", [pickle.dumps(print, 2), pickle.dumps(zipfile.ZipFile, 4), b"cos\nsystem\n."])
def test_code_is_named_and_not_run(content):
    with pytest.raises(ForbiddenError, match=r"print|zipfile.ZipFile|os.system"):
        read_index(io.BytesIO(content))


# Two tuples that name each other's last one twice: 2^60 steps to hash, in three bytes a level.
NESTED = b"\x80\x02)q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(60))
DEEP = b"\x80\x02)" + b"\x85" * 10**5


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(b"\x80\x02}r\x00\x00\x00\x10.", id="a memo of gigabytes"),
        pytest.param(b"\x80\x05\x96\x00\x00\x00\x00\x02\x00\x00\x00.", id="a bytearray of gigabytes"),
        pytest.param(b"\x80\x04\x8d\x00\x00\x00\x00\x00\x00\x01\x00.", id="a text of terabytes"),
        pytest.param(b"\x80\x02}" + NESTED[2:] + b"Ns.", id="a key that takes for ever to hash"),
        pytest.param(b"\x80\x02}" + DEEP[2:] + b"Ns.", id="a key that is too deep to hash"),
        pytest.param(b"\x80\x04\x8f(" + NESTED[2:] + b"\x90.", id="a set"),
        pytest.param(b"\x80\x02(" + NESTED[2:] + b"Nd.", id="a dict in one go"),
        pytest.param(b"\x80\x02ccollections\nOrderedDict\n](" + NESTED[2:] + b"N\x86e\x85R.", id="a dict of pairs"),
        pytest.param(b"I" + b"9" * 10**6 + b"\n.", id="a number of a million digits"),
    ],
)
def test_a_few_bytes_cost_neither_memory_nor_time(hostile):
    started = time.perf_counter()
    tracemalloc.start()
    try:
        value = read_index(io.BytesIO(hostile))  # a large number in place of an address is harmless
        assert value == ({}, {})
    except ForbiddenError:
        raise
    except Exception as error:
        assert not isinstance(error, MemoryError)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 100 << 20 and time.perf_counter() - started < 10


def changed(**parts):
    """A tensor's instructions with other arguments."""
    given = {"kind": "storage", "numel": 6, "shape": (2, 3), **parts}
    return (given["kind"], given["numel"], given["shape"])


@pytest.mark.parametrize("part", [{"kind": "x"}, {"numel": -1}, {"numel": "6"}, {"shape": (-1,)}, {"shape": (2.5,)}])
def test_tensors_that_are_none(part):
    kind, numel, shape = changed(**part)

    class Storage:
        pass

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, shape, (3, 1), False, None)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return (kind, torch.FloatStorage, "0", "cpu", numel) if isinstance(obj, Storage) else None

    file = io.BytesIO()
    Pickler(file, 2).dump({"a": Tensor()})
    with pytest.raises(pickle.UnpicklingError, match=r"a storage of|a tensor without"):
        read_index(io.BytesIO(file.getvalue()))
