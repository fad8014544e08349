import json
import os
import struct
from dataclasses import replace

import pytest
import torch
from resemblance.core.records import FaceQuality, References
from resemblance.core.references.encoding import person_from
from resemblance.core.references.saving import load_references, save_references
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def test_saved_and_loaded_bit_for_bit(encode, scenes, tmp_path, eve):
    found = encode({"ä.jpg": scenes.photo("anna"), "empty": scenes.photo(), "eve": scenes.photo("eve", seed=1)})
    found = encode({"b": scenes.photo("bob")}, found, person="bob")
    save_references(found, tmp_path / "people.safetensors")
    again = load_references(tmp_path / "people.safetensors")
    assert (again.restorer, again.embedder, again.refused) == (found.restorer, found.embedder, found.refused)
    assert (again.embedded_by, again.doubted) == (found.embedded_by, found.doubted)
    assert {source for source, _ in again.doubted} == {"ä.jpg", "eve"}  # either may be the wrong one
    for old, new in zip(found.people, again.people, strict=True):
        assert (old.name, old.weights, old.sources) == (new.name, new.weights, new.sources)
        assert (old.given, old.qualities) == (new.given, new.qualities) and len(new.qualities) == len(new)
        for name in ("faces", "content", "code_latent", "identity_embeddings", "matching_embeddings"):
            assert torch.equal(getattr(old, name), getattr(new, name))
        assert old.skips.keys() == new.skips.keys()
        assert all(torch.equal(old.skips[side], new.skips[side]) for side in old.skips)


def test_files_of_before_are_told_apart(encode, scenes, tmp_path):
    save_references(encode({"a": scenes.photo("anna")}), tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", "pt") as file:
        about = json.loads(file.metadata()["references"])
    del about["embedded_by"], about["doubted"]  # which it did not have
    about["format"] = "resemblance references 1"
    old = tmp_path / "old.safetensors"
    save_file(load_file(tmp_path / "new.safetensors"), old, {"references": json.dumps(about)})
    with pytest.raises(
        ValueError, match=r"old.safetensors' cannot be used: it holds 'resem.* 1'; expected '.* 4'. Encode"
    ):
        load_references(old)


def test_files_that_hold_no_references(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "weights.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("weights.safetensors", "text.safetensors"):
        with pytest.raises(ValueError, match=f"{name}' holds no references.*expected a file that was saved"):
            load_references(tmp_path / name)
    with pytest.raises(OSError, match="missing"):
        load_references(tmp_path / "missing.safetensors")


# Files that were made to do harm, or by mistake

QUALITY = {"sharpness": 0.5, "size": 9.0, "noise": 0.0, "severity": 0.5}


@pytest.fixture(scope="module")
def parts(restorer, tmp_path_factory):
    """What a file of two people holds: its tensors, and what it says of itself."""
    dice = torch.Generator().manual_seed(0)

    def somebody(name, count):
        faces, unit = torch.rand(count, 3, 512, 512, generator=dice), torch.eye(count, 4)
        sources, weights = [f"{name} {n}" for n in range(count)], [1.0] * count
        made = person_from(name, faces, restorer, unit, unit.clone(), weights, sources)
        return replace(made, given=made.weights, qualities=(FaceQuality(**QUALITY),) * count)

    people = somebody("anna", 2), somebody("bob", 1)
    told = (("a.jpg", "it has no face"),)
    path = tmp_path_factory.mktemp("saved") / "people.safetensors"
    save_references(References(people, "0" * 16, "built-in", ("c" * 16,) * 2, told, told), path)
    with safe_open(path, "pt") as file:
        return load_file(path), json.loads(file.metadata()["references"])


@pytest.fixture
def saved(parts, tmp_path):
    """Writes that file with other contents."""

    def write(change=lambda told, tensors: None):
        tensors, told = dict(parts[0]), json.loads(json.dumps(parts[1]))
        change(told, tensors)
        save_file(tensors, tmp_path / "people.safetensors", {"references": json.dumps(told)})
        return tmp_path / "people.safetensors"

    return write


def told(*keys, value):
    """Puts a value somewhere into what the file says of itself; None takes it out."""

    def change(about, tensors):
        for key in keys[:-1]:
            about = about[key]
        if value is None:
            del about[keys[-1]]
        else:
            about[keys[-1]] = value

    return change


def held(name, value):
    """Changes a tensor; None takes it out."""

    def change(about, tensors):
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value(tensors.get(name, torch.zeros(2, 2))).contiguous()

    return change


def put(x, value):
    x = x.clone()
    x.flatten()[7] = value
    return x


ANNA = ("people", 0)
NO_REFERENCES = r"holds no references \(.+\); expected a file that was saved by this program"
UNUSABLE = r"cannot be used: .+; expected .+\. Encode the photographs again"
LISTS = ("people", "refused", "doubted", "embedded_by")
OF_EACH = ("name", "weights", "given", "sources", "qualities", "sides")
NAN = float("nan")


@pytest.mark.parametrize(
    "change",
    [
        *(told(key, value=None) for key in ("format", "restorer", "embedder", *LISTS)),
        *(told(*ANNA, key, value=None) for key in OF_EACH),
        *(told(key, value=value) for key in LISTS for value in (3, "ab", {"a": 1})),
        *(told(*ANNA, key, value=value) for key in OF_EACH[1:] for value in (3, "ab", {"a": 1})),
        told(*ANNA, "qualities", value=[QUALITY | {"more": 1}, QUALITY]),
        told(*ANNA, "qualities", value=[{"size": 1}, {"size": 1}]),
        told(*ANNA, "sides", value=[[128]]),
        told(*ANNA, "sides", value=[999]),
        told("people", value=[1]),
        told("embedded_by", value=["c" * 16]),
        told("embedded_by", value=["c" * 16] * 3),
        told("refused", value=[["a"]]),
        held("0.faces", None),
        held("1.skips.64", None),
    ],
)
def test_files_without_what_is_needed(saved, change):
    with pytest.raises(ValueError, match=NO_REFERENCES):
        load_references(saved(change))


@pytest.mark.parametrize(
    "change",
    [
        *(told("restorer", value=value) for value in (3, "", "x" * 16, "A" * 16, "0" * 17, ["0" * 16])),
        told("embedded_by", value=["c" * 16, 3]),
        *(told("embedder", value=value) for value in (3, "arcface", ["built-in"])),
        *(told("refused", value=[value]) for value in ([1, 2], ["a", ""], ["a", "b" * 2000])),
        *(told(*ANNA, "name", value=value) for value in (3, "", "bob", ["anna"], "a" * 2000)),
        *(told(*ANNA, "sources", value=value) for value in (["a"], ["a", 3], ["a", ""], ["a", "b", "c"])),
        *(told(*ANNA, "weights", value=[1.0, value]) for value in (0, -1, NAN, 1e300, 1e-300, "1", True, [1])),
        *(told(*ANNA, "given", value=value) for value in ([1.0], [1.0, NAN])),
        told(*ANNA, "weights", value=[]),
        told(*ANNA, "weights", value=[1.0]),
        told(*ANNA, "weights", value=[1.0] * 9),
        told(*ANNA, "qualities", value=[QUALITY]),
        *(told(*ANNA, "qualities", value=[QUALITY, QUALITY | {key: NAN}]) for key in QUALITY),
        *(told(*ANNA, "qualities", value=[QUALITY, QUALITY | {key: -1}]) for key in QUALITY),
        told(*ANNA, "qualities", value=[QUALITY, QUALITY | {"severity": 1.5}]),
        told(*ANNA, "qualities", value=[QUALITY, QUALITY | {"size": "9"}]),
        told(*ANNA, "sides", value=["64", "32", "128"]),
        told(*ANNA, "sides", value=[32, 64]),
        held("2.faces", lambda x: x),
        held("0.more", lambda x: x),
        *(
            held(f"0.{name}", change)
            for name in ("faces", "content", "code_latent", "skips.64", "identity_embeddings", "matching_embeddings")
            for change in (
                lambda x: x[:1],
                lambda x: x[:0],
                lambda x: x[..., :0],
                lambda x: x[None],
                lambda x: x[0],
                lambda x: x.flatten(),
                lambda x: x.double(),
                lambda x: x.int(),
                lambda x: x.to(torch.float8_e4m3fn),
                lambda x: put(x, NAN) if x.numel() > 7 else x * NAN,
                lambda x: put(x, float("inf")) if x.numel() > 7 else x / 0,
            )
        ),
        held("0.faces", lambda x: x - 1),
        held("0.faces", lambda x: x * 255),
        held("0.faces", lambda x: x[..., :256]),
        held("0.faces", lambda x: x[:, :1]),
        held("0.content", lambda x: x[..., :16]),
        held("0.code_latent", lambda x: x[:, :4]),
        held("0.skips.64", lambda x: x[..., :32, :32]),
        held("0.skips.64", lambda x: x.float()),
        held("0.identity_embeddings", lambda x: x * 2),
        held("0.matching_embeddings", lambda x: x * 0),
    ],
)
def test_files_with_values_that_cannot_be(saved, change):
    with pytest.raises(ValueError, match=UNUSABLE):
        load_references(saved(change))


def test_the_file_itself_can_be_used(saved):
    assert [person.name for person in load_references(saved()).people] == ["anna", "bob"]


@pytest.mark.parametrize("side", [1 << 17, 1 << 19])  # 384 GB, and more than any computer's addresses
def test_enormous_tensors_are_not_read(tmp_path, saved, side):
    with safe_open(saved(), "pt") as file:
        about = file.metadata()
    entry = {"dtype": "F32", "shape": [2, 3, side, side], "data_offsets": [0, 24 * side * side]}
    header = json.dumps({"__metadata__": about, "0.faces": entry}).encode()
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + entry["data_offsets"][1])  # of which nothing is on the disk
    with pytest.raises(ValueError, match=r"'0.faces' has the shape .* expected 2 rows of 1 to|unable to mmap"):
        load_references(path)


def test_files_that_are_none(tmp_path, saved):
    os.mkfifo(tmp_path / "pipe.safetensors")
    for path in (tmp_path, tmp_path / "pipe.safetensors"):
        with pytest.raises(ValueError, match=r"no references \(it is a folder, a pipe or a device\); expected a file"):
            load_references(path)
    for text in ("", "[" * 10**5, "3", "null", '{"format": 3}', "\ud800"):
        save_file({"x": torch.zeros(1)}, tmp_path / "x", {"references": text.encode("utf8", "replace").decode()})
        with pytest.raises(ValueError, match=f"{NO_REFERENCES}|{UNUSABLE}"):
            load_references(tmp_path / "x")


def test_what_could_not_be_read_again_is_not_written(saved, tmp_path):
    references = load_references(saved())
    anna = references.people[0]
    for bad in (replace(anna, weights=(1.0,)), replace(anna, faces=anna.faces * 2), replace(anna, name="")):
        with pytest.raises(ValueError, match=r"The references cannot be saved: .*expected"):
            save_references(replace(references, people=(bad,)), tmp_path / "bad.safetensors")
        assert not (tmp_path / "bad.safetensors").exists()
