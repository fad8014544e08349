"""The embedding network: taught by w600k_mbf to say who it is, of clean faces and of damaged ones.

The teacher sees a clean face, the student the same one clean, moderately damaged and severely damaged. It learns the
teacher's embedding, how that compares with those of the faces before it (SEED, Fang et al., ICLR 2021), and, through
layers that are thrown away, the teacher's maps on the way (FitNets, Romero et al., ICLR 2015).

    python -m resemblance.core.training.embedding --work WORK --minutes 45 --export core/weights/embedding.safetensors
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.detector import fold
from ..models.embedding import SAMPLED, EmbeddingConfig, EmbeddingNet
from .data import HELD_OUT, PHOTOGRAPHS, prefetch, to_tensor
from .degradation import age, degrade
from .faces import open_faces
from .judges import Recognizer
from .loop import Stage, arguments, start, write_weights
from .photographs import read_portraits

log = logging.getLogger(__name__)

SHARES = {"generated": 0.62, "london": 0.08, "portraits": 0.12, "members": 0.18}
MAPS, COMPARED = 1.0, 0.1
BANK = 2048  # faces that a face is compared with
TEMPERATURE = 0.07
TEACHER_MAPS = (128, 256, 256, 64)  # channels of its trunk at 28, 14 and 7 px and of its last map


class PeoplePool:
    """Faces of many people: generated ones, their other photographs, and the photographs of the train split."""

    def __init__(self, work: Path) -> None:
        path = work / "generated_512.u8"
        people = open_faces(path, path.stat().st_size // (512 * 512 * 3), 512)
        count = len(people) - HELD_OUT
        photographs, portraits = read_portraits(work)
        self.faces = {
            name: [(photographs, p.row) for p in portraits if p.split == "train" and p.collection == name]
            for name in ("london", "portraits", "members")
        }
        self.faces["generated"] = [(people, row) for row in range(count)]
        path = work / "references_512.u8"
        if path.is_file():
            others = open_faces(path, PHOTOGRAPHS * count, 512)[: PHOTOGRAPHS * count]
            drawn = np.flatnonzero(others[:, ::64, ::8].any((1, 2, 3)))
            self.faces["generated"] += [(others, int(row)) for row in drawn]

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One face (256,256,3) uint8: half of them mirrored, all of them moved and lit a little otherwise."""
        kind = self.faces[rng.choice(list(SHARES), p=list(SHARES.values()))]
        faces, row = kind[rng.integers(len(kind))]
        face = cv2.resize(faces[row], (SAMPLED, SAMPLED), interpolation=cv2.INTER_AREA)
        centre = (SAMPLED - 1) / 2
        matrix = cv2.getRotationMatrix2D((centre, centre), rng.uniform(-5, 5), rng.uniform(0.92, 1.08))
        matrix[:, 2] += rng.uniform(-5, 5, 2)
        if rng.random() < 0.5:
            matrix[:, 2] += matrix[:, 0] * (SAMPLED - 1)
            matrix[:, 0] *= -1
        face = cv2.warpAffine(face, matrix, (SAMPLED, SAMPLED), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        levels = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.7, 1.4) * rng.uniform(0.8, 1.2, 3)
        return age(cv2.LUT(face, (255 * levels).clip(0, 255).astype(np.uint8)[:, None]), rng)

    def views(self, rng: np.random.Generator, count: int) -> Tensor:
        """`count` people, clean, then the same moderately damaged, then severely, (3·count,3,256,256)."""
        views: dict[str, list[np.ndarray]] = {"clean": [], "moderate": [], "severe": []}
        for _ in range(count):
            face = self.draw(rng)
            views["clean"].append(face)
            mild = "light" if rng.random() < 0.3 else "moderate"
            views["moderate"].append(degrade(face, mild, rng, SAMPLED / 512))
            # What severe damage leaves fits into half the side, where blurring costs a fifth.
            half = cv2.resize(face, (SAMPLED // 2, SAMPLED // 2), interpolation=cv2.INTER_AREA)
            half = degrade(half, "severe", rng, SAMPLED / 1024)
            views["severe"].append(cv2.resize(half, (SAMPLED, SAMPLED), interpolation=cv2.INTER_LINEAR))
        return to_tensor([view for kind in views.values() for view in kind])


class Student(nn.Module):
    """The network and the layers that bring its maps to the teacher's."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.net = EmbeddingNet(config)
        widths = (*config.widths[1:], config.features)
        self.to_teacher = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(widths, TEACHER_MAPS, strict=True))

    def forward(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N,3,S,S) to embeddings (N,512) and maps (N,C,r,r) with the channels of ``TEACHER_MAPS``."""
        maps = self.net.maps(faces)
        brought = [layer(x) for layer, x in zip(self.to_teacher, maps[1:], strict=True)]
        return self.net.embed(maps[-1]), brought


class Teacher(Recognizer):
    """w600k_mbf with its maps."""

    @torch.no_grad()
    def forward(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:  # type: ignore[override]
        """(N,3,S,S) to unit embeddings (N,512) and maps, each channel of mean 0 and variance 1 in the batch."""
        embeddings, maps = self.network.with_maps(self.crop(faces) * 2 - 1)
        dims = (0, 2, 3)
        maps = [(x - x.mean(dims, keepdim=True)) / (x.std(dims, keepdim=True) + 1e-3) for x in map(Tensor.float, maps)]
        return F.normalize(embeddings.float()), maps


class Bank:
    """Embeddings of the faces seen last."""

    def __init__(self) -> None:
        self.rows = torch.empty(0)

    def compare(self, embeddings: Tensor, wanted: Tensor) -> Tensor:
        """How far (3,N,512) lie from the faces in the bank otherwise than `wanted` (N,512) do, which join it."""
        rows = torch.cat([wanted, self.rows.to(wanted)])[:BANK] if len(self.rows) else wanted
        aim = (wanted @ rows.T / TEMPERATURE).log_softmax(-1).expand(3, -1, -1)
        self.rows = rows
        return F.kl_div((embeddings @ rows.T / TEMPERATURE).log_softmax(-1), aim, log_target=True, reduction="sum") / (
            3 * len(wanted)
        )


def export(student: Student, path: Path) -> None:
    """Write the network alone, batch normalisation folded in, in half precision."""
    write_weights(fold(student.net), path, "resemblance-embedding")


def main() -> None:
    """Train the embedding network and write its weights."""
    parser = arguments(__doc__.splitlines()[0], minutes=45, lr=2e-3)
    parser.add_argument("--export", type=Path, help="write the averaged weights here when done")
    parser.set_defaults(batch=16)
    options = parser.parse_args()
    start(options)
    student = Student(replace(EmbeddingConfig(), normalise=True))
    stage = Stage("embedding", student.to(options.device).to(memory_format=torch.channels_last), options)
    teacher = Teacher("arcface", options.assets).to(options.device).to(memory_format=torch.channels_last)
    pool = PeoplePool(options.work)
    log.info("%s", {name: len(faces) for name, faces in pool.faces.items()})
    bank = Bank()

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Tensor)
        views = batch.to(options.device)
        wanted, wanted_maps = teacher(views[: len(views) // 3])
        embeddings, maps = student(views)
        embeddings = embeddings.unflatten(0, (3, -1))
        cosines = (embeddings * wanted).sum(-1).mean(1)
        compared = bank.compare(embeddings, wanted)
        # Severe damage leaves nothing of what the maps show.
        pairs = zip(maps, wanted_maps, strict=True)
        mapped = torch.stack([F.mse_loss(x.float().unflatten(0, (3, -1))[:2], y.expand(2, *y.shape)) for x, y in pairs])
        numbers = dict(zip(("clean", "moderate", "severe"), cosines.tolist(), strict=True))
        numbers |= {f"map{i}": value for i, value in enumerate(mapped.tolist())}
        return 1 - cosines.mean() + COMPARED * compared + MAPS * mapped.mean(), numbers | {"compared": compared.item()}

    stage.run(prefetch(lambda rng, i: pool.views(rng, options.batch), options.seed + 5, stage.step), loss)
    if options.export:
        export(stage.average, options.export)
        log.info("wrote %s", options.export)


if __name__ == "__main__":
    main()
