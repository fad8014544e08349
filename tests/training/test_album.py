"""Whose faces, and which references."""

import csv
import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips", "skimage"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from PIL import Image
from resemblance.core.training.album import Selection, lookalikes_for, read_album, references_for


def listed(folder: Path, rows: list[tuple[str, ...]], columns=("path", "person", "split")) -> Path:
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder


def test_folders_and_a_manifest_give_the_same_faces(family, detect, tmp_path):
    album = read_album(family, Selection(), detect)
    assert album.people == ("man", "woman", "woman")
    assert album.names == ("man/truth.jpg", "woman/reference_1.jpg", "woman/truth.jpg")
    assert album.judged == [n for n, scale in enumerate(album.scales) if scale <= 1.25] == [0, 1, 2]
    # A face is 0.52 of its template wide.
    assert replace(album, scales=(1.0, 1.04, 1.05), truth=256.0).judged == [0, 1]
    shutil.copytree(family, tmp_path, dirs_exist_ok=True)
    rows = [(name, person, "val") for name, person in zip(album.names, album.people, strict=True)]
    (tmp_path / "woman" / "black.png").write_bytes(b"")
    Image.new("RGB", (64, 64)).save(tmp_path / "woman" / "black.png")
    more = [("woman/black.png", "woman", "val"), ("man/none.jpg", "man", "val"), ("man/truth.jpg", "man", "train")]
    again = read_album(listed(tmp_path, [*reversed(rows), *more]), Selection("val"), detect)
    assert again.names == album.names
    assert all(map(np.array_equal, again.faces, album.faces))
    assert {path for path, _ in again.faults} == {"woman/black.png", "man/none.jpg"}
    only = read_album(tmp_path, Selection("val", only="woman", limit=2), detect)
    assert only.names == ("woman/reference_1.jpg",) and only.faults[0][0] == "woman/black.png"


def test_an_enlarged_face_is_no_truth(family, detect, tmp_path):
    (tmp_path / "man").mkdir()
    picture = Image.open(family / "man" / "truth.jpg")
    picture.resize((picture.width // 2, picture.height // 2)).save(tmp_path / "man" / "small.png")
    album = read_album(tmp_path, Selection(), detect)
    assert album.scales[0] == pytest.approx(2 * read_album(family, Selection(), detect).scales[0], rel=0.03)
    assert album.judged == []


def test_references_are_the_persons_others_and_a_strangers():
    chosen = references_for(("ann", "ann", "ann", "bob", "cid", "cid"))
    assert chosen["one"] == [[1], [2], [0], [], [5], [4]]
    assert chosen["three"] == chosen["five"] == [[1, 2], [2, 0], [0, 1], [], [5], [4]]
    # As many of the next person's as there are of the own, and as the stranger has.
    assert chosen["wrong"] == [[3], [3], [3], [], [1], [2]]
    many = references_for(("ann",) * 7 + ("bob",) * 7)
    assert (many["three"][0], many["five"][0], many["wrong"][0]) == ([1, 2, 3], [1, 2, 3, 4, 5], [8, 9, 10, 11, 12])
    assert references_for(("ann", "ann"))["wrong"] == [[], []]


def test_a_lookalike_is_the_person_whose_photographs_are_nearest():
    people = ("ann", "ann", "bob", "bob", "cid")
    embeddings = F.normalize(torch.tensor([[1.0, 0, 0], [1, 0.1, 0], [0, 1, 0], [0.5, 1, 0], [0, 0, 1.0]]), dim=1)
    chosen = lookalikes_for(people, embeddings, [[1], [0], [3], [2], []])
    assert chosen == [[3], [3], [1], [1], []]  # of ann's lookalike bob the nearer photograph, and the other way round
    assert lookalikes_for(("ann", "ann"), embeddings[:2], [[1], [0]]) == [[], []]
