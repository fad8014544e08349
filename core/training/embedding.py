"""The embedding network: SFace's published weights trained on, to say of a damaged face what they say of the clean one.

A damaged view of a photograph is to have the embedding that SFace gives the clean photograph, and is to find the same
person's *other* photographs among those of everybody (cross-entropy over all of them: Oord et al., 2018; with several
that are right as in SupCon, Khosla et al., NeurIPS 2020). Clean views are among the damaged ones, so that clean faces
stay where they were. The photographs' embeddings are SFace's own and never move.

    python -m resemblance.core.training.embedding --work WORK --minutes 90

:mod:`.calibration` finds out what its cosines mean, and writes it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from ..models.embedding import SAMPLED, EmbeddingNet
from .data import HELD_OUT, prefetch, to_tensor
from .degradation import age, degrade
from .faces import open_faces
from .loop import Stage, arguments, start
from .photographs import FACE, read_portraits
from .sface import published_sface
from .wear import occlude, wear
from .wears import COPIES, PRINTS

log = logging.getLogger(__name__)

SIDE = 160  # px: recognition reads 125 px of it, and damage is cheap
SHARES = {"lfw": 0.6, "members": 0.1, "congress": 0.1, "portraits": 0.04, "london": 0.06, "generated": 0.1}
DAMAGES = {"clean": 0.14, "light": 0.08, "moderate": 0.22, "severe": 0.4, "small": 0.1, "worn": 0.06}
CALIBRATION = 8  # every eighth LFW person of the train split is kept for :mod:`.calibration`
FOUND = 0.4  # weight of the loss of finding the person
TEMPERATURE = 0.07
OCCLUDED = 0.06
MISTAKEN = 0.25  # cosine; SFace has .65 in the mean of the same people and .13 of strangers
# The last layer reads 50,176 numbers by weights of 0.0015: at the rate of the rest it would be lost within minutes.
RATES = {"out": 0.03}


def for_calibration(person: str) -> bool:
    """Whether a person of the train split is never trained on here."""
    return person.startswith("lfw-") and int(person.removeprefix("lfw-")) % CALIBRATION == 0


@dataclass(frozen=True, eq=False)
class Views:
    """Damaged views (N,3,160,160) in [0,1], and which photographs (N,) of the pool they show."""

    pixels: Tensor
    photographs: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


class PeoplePool:
    """Photographs of the train split and drawn faces: M of them, each with the number of its person.

    Attributes:
        person: (M,) numbers.
    """

    def __init__(self, work: Path) -> None:
        photographs, portraits = read_portraits(work)
        self._faces: list[tuple[np.ndarray, int]] = []
        names: list[str] = []
        self._kinds: dict[str, list[int]] = {name: [] for name in SHARES}
        for p in portraits:
            if p.split == "train" and p.collection in SHARES and not for_calibration(p.person):
                self._kinds[p.collection].append(len(names))
                self._faces.append((photographs, p.row))
                names.append(p.person)
        path = work / "generated_512.u8"
        if path.is_file():
            drawn = open_faces(path, 0, 512)
            for row in np.flatnonzero(drawn[:-HELD_OUT, ::64].any((1, 2, 3))):
                self._kinds["generated"].append(len(names))
                self._faces.append((drawn, int(row)))
                names.append(f"generated-{row}")
        known = {name: n for n, name in enumerate(dict.fromkeys(names))}
        self.person = torch.tensor([known[name] for name in names])
        shares = np.array([share if self._kinds[name] else 0 for name, share in SHARES.items()])
        self._shares = shares / shares.sum()
        log.info("%s", {name: len(rows) for name, rows in self._kinds.items()})

    def __len__(self) -> int:
        return len(self._faces)

    def leave_out(self, mistaken: Tensor) -> None:
        """Never draw the photographs (M,) that are marked, and count them as nobody else's."""
        for name, rows in self._kinds.items():
            self._kinds[name] = [row for row in rows if not mistaken[row]]
        self.person[mistaken] = int(self.person.max()) + 1 + torch.arange(int(mistaken.sum()))

    def face(self, number: int) -> np.ndarray:
        """A photograph (512,512,3) uint8."""
        faces, row = self._faces[number]
        return np.array(faces[row])

    def views(self, rng: np.random.Generator, count: int) -> Views:
        """`count` damaged views."""
        rows = [int(rng.choice(self._kinds[str(rng.choice(list(SHARES), p=self._shares))])) for _ in range(count)]
        return Views(to_tensor([self._view(row, rng) for row in rows]), torch.tensor(rows))

    def _view(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """A photograph, mirrored or not, as somebody's damaged copy of it would be cut out."""
        damage = str(rng.choice(list(DAMAGES), p=list(DAMAGES.values())))
        face = self.face(number)
        if damage == "worn":  # screens and scratches have their size at 512 px
            face = wear(face, PRINTS if rng.random() < 0.6 else COPIES, rng)
        face = cv2.resize(face, (SAMPLED, SAMPLED), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:
            face = np.ascontiguousarray(face[:, ::-1])
        # The worse a face is, the worse a detector sets its landmarks.
        loose = 2.0 if damage in ("severe", "small") else 1.0
        centre = (SAMPLED - 1) / 2
        turn, grow = rng.normal(0, 2.0 * loose), np.exp(rng.normal(0, 0.025 * loose))
        matrix = cv2.getRotationMatrix2D((centre, centre), turn, grow * SIDE / SAMPLED)
        matrix[:, 2] += (SIDE - SAMPLED) / 2 + rng.normal(0, 1.2 * loose, 2)
        face = cv2.warpAffine(face, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        levels = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.75, 1.35) * rng.uniform(0.85, 1.15, 3)
        face = age(cv2.LUT(face, (255 * levels).clip(0, 255).astype(np.uint8)[:, None]), rng)
        if rng.random() < OCCLUDED:
            other = cv2.resize(self.face(int(rng.integers(len(self)))), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            face = occlude(face, other, rng)
        if damage == "small":
            return small(face, rng)
        return face if damage in ("clean", "worn") else degrade(face, damage, rng, SIDE / 512)


def small(face: np.ndarray, rng: np.random.Generator, back: bool = True) -> np.ndarray:
    """A face of 16 to 60 px, compressed as photographs are; enlarged again where it is to go `back`."""
    side = round(rng.uniform(16, 60) / FACE)
    picture = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    picture += rng.standard_normal(picture.shape, np.float32) * rng.uniform(0, 8)
    picture = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(50, 96))])
    picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    if not back:
        return picture
    method = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
    return cv2.resize(picture, face.shape[:2], interpolation=method)


@torch.no_grad()
def anchors(pool: PeoplePool, net: EmbeddingNet, kept: Path) -> Tensor:
    """What a network says of all photographs of the pool, clean: (M,128) of length 1.

    They are kept in a file, and read from it where it holds as many.
    """
    if kept.is_file() and len(stored := load_file(kept)["anchors"]) == len(pool):
        return stored
    rows = []
    for start_at in range(0, len(pool), 16):
        faces = [pool.face(n) for n in range(start_at, min(start_at + 16, len(pool)))]
        halves = to_tensor([cv2.resize(f, (SAMPLED, SAMPLED), interpolation=cv2.INTER_AREA) for f in faces])
        rows.append(net(halves))
    found = torch.cat(rows)
    save_file({"anchors": found}, kept)
    return found


def mistaken(bank: Tensor, person: Tensor) -> Tensor:
    """Which photographs (M,) are not like their person's others: another face of the picture was taken."""
    same = (person[:, None] == person).float() - torch.eye(len(person))
    mean = F.normalize(same @ bank, dim=1)
    return (same.sum(1) > 0) & ((mean * bank).sum(1) < MISTAKEN)


def finding(embeddings: Tensor, photographs: Tensor, bank: Tensor, person: Tensor) -> Tensor:
    """How hard it is to find a person's other photographs among those of everybody, a number for each of N views.

    Each of them competes with the other people's alone. Of a person with a single photograph it is that one.

    Args:
        embeddings: (N,D) of length 1.
        photographs: (N,) which of the bank each shows.
        bank: (M,D) of length 1.
        person: (M,) whose each is.
    """
    scores = embeddings @ bank.T / TEMPERATURE
    same = person[photographs][:, None] == person
    right = same.clone()
    right[torch.arange(len(right)), photographs] = right.sum(1) == 1
    others = scores.masked_fill(same, -torch.inf).logsumexp(1, keepdim=True)
    misses = F.softplus(others - scores)
    return (misses * right).sum(1) / right.sum(1)


def main() -> None:
    """Train the embedding network."""
    parser = arguments(__doc__.splitlines()[0], minutes=90, lr=2e-4)
    parser.set_defaults(batch=32)
    options = parser.parse_args()
    start(options)
    pool = PeoplePool(options.work)
    net = published_sface(options.assets).to(memory_format=torch.channels_last)
    bank = anchors(pool, net, options.work / "anchors.safetensors")
    pool.leave_out(wrong := mistaken(bank, pool.person))
    log.info("%d photographs are left out: they are not like their person's others", wrong.sum())
    bank = bank.to(options.device)
    person = pool.person.to(options.device)
    stage = Stage("embedding", net.to(options.device), options, RATES)

    def loss(batch: object, part: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(batch, Views)
        photographs = batch.photographs.to(options.device)
        embeddings = net(batch.pixels.to(options.device))
        away = 1 - (embeddings * bank[photographs]).sum(1).mean()
        found = finding(embeddings, photographs, bank, person).mean()
        return away + FOUND * found, {"away": away.item(), "found": found.item()}

    stage.run(prefetch(lambda rng, i: pool.views(rng, options.batch), options.seed + 5, stage.step), loss)


if __name__ == "__main__":
    main()
