"""The scratch network and its training."""

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def training():
    pytest.importorskip("lpips")
    return pytest.importorskip("resemblance.core.training.scratches")


class Faces:
    """Noise in place of faces."""

    def draw(self, rng):
        return rng.integers(0, 256, (512, 512, 3), np.uint8)


def test_a_piece_knows_where_on_its_face_it_lies(training, monkeypatch):
    monkeypatch.setattr(training, "SHIFT", 0)
    columns = np.repeat(np.arange(512)[None, :, None], 512, 0).repeat(3, 2)
    face = (columns // 2).astype(np.uint8)  # each column tells its place
    said, shown = [], []
    for seed in range(40):
        piece, (left, top, right, bottom) = training.piece_of(face, np.random.default_rng(seed))
        assert piece.shape == (training.SIDE, training.SIDE, 3) and piece.dtype == np.float32
        assert max(-left, right) <= 1 and bottom - top == pytest.approx(right - left)
        mirrored = piece[:, -8:].mean() < piece[:, :8].mean()
        said.append(-(left + right) / 2 if mirrored else (left + right) / 2)  # a mirrored piece is of a mirrored face
        shown.append(piece[..., 0].mean())
    assert np.corrcoef(said, shown)[0, 1] > 0.8, "all but the pale ones agree"


def test_pieces_come_with_what_damage_changed(training):
    batch = training.marked(Faces(), np.random.default_rng(0), 8)
    assert len(batch) == 8 and batch.pictures.shape == (8, 3, 256, 256) and batch.windows.shape == (8, 4)
    damaged = batch.change.flatten(1).any(1)
    assert 0 < int(damaged.sum()) < 8
    again = training.marked(Faces(), np.random.default_rng(0), 8)
    assert torch.equal(batch.pictures, again.pictures) and torch.equal(batch.change, again.change)


def test_faint_changes_do_not_count(training):
    change = torch.zeros(1, 1, 32, 32)
    change[..., 0, 0], change[..., 8, 8] = 0.5, 0.08
    damaged, counts = training.targets(change)
    assert damaged.sum() == 1 and damaged[0, 0, 0, 0] == 1
    assert (counts == 0).sum() == 1 and counts[0, 0, 2, 2] == 0
    right = torch.full((1, 1, 8, 8), -20.0)
    right[0, 0, 0, 0] = 20
    entropy, missing = training.loss_of(right, change)
    assert entropy < 1e-6 and missing < 1e-6
    right[0, 0, 2, 2] = 20
    assert training.loss_of(right, change)[0] < 1e-6
    right[0, 0, 4, 4] = 20
    assert training.loss_of(right, change)[0] > 0.1


def test_the_table_tells_what_is_found_and_on_how_many_undamaged_faces(training):
    class Nothing(torch.nn.Module):
        def forward(self, faces):
            return torch.full((len(faces), 1, 128, 128), -9.0)

    rng = np.random.default_rng(0)
    faces = [rng.integers(0, 256, (512, 512, 3), np.uint8) for _ in range(2)]
    text = training.table(Nothing(), faces)
    assert "| undamaged |  |  | 0.00 |" in text and "| drawn here | 0.00 | 0.00 | 0.00 |" in text

    class Everything(torch.nn.Module):
        def forward(self, faces):
            return torch.full((len(faces), 1, 128, 128), 9.0)

    (row,) = (line for line in training.table(Everything(), faces).splitlines() if line.startswith("| scratches"))
    _, _, found, right, touched, _ = (part.strip() for part in row.split("|"))
    assert found == touched == "1.00" and 0 < float(right) < 0.9
