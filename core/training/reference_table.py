"""The table of references: damaged, no reference, the right one, a stranger's, a lookalike's, two right and one wrong.
All are named by hand, as a user would who errs: what the network doubts it takes less of.

London's validation people: the neutral photograph is restored with the smiling one as reference, and the other way
round, all on the same weights and setting. A stranger is the next person of the list, a lookalike the person whose
photograph is most alike by w600k_mbf; both show the reference's expression. The second right photograph is the first
one mirrored: there are two of each person. With `--people generated` the pairs are of people the generator drew. The
mouth is how far its 20 landmarks lie from the truth's [px of 512].
Settings are chosen on the odd half of the people and reported on the even half.

    python -m resemblance.core.training.reference_table --work WORK --json references.json --grid references.jpg
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..faces.crop import aligned_crops
from ..faces.evidence import amount
from ..faces.identity import WEIGHTS, BuiltinEmbedder, Embedders
from ..faces.measure import measure_quality
from ..geometry import TEMPLATE_SIZE
from ..models.transfer import TransferNet
from ..records import FaceTokens, Person
from ..references.matching import match_faces
from ..references.transfer import needed
from ..restorers.token_restorer import TokenRestorer
from ..restorers.tokens import encode_tokens
from .code_blending_table import choose_references
from .data import HELD_OUT, PHOTOGRAPHS, to_tensor
from .faces import open_faces
from .judges import Recognizer
from .landmarks import Landmarks
from .loop import read_average
from .scores import METRICS, Judges
from .tables import (
    SEVERITIES,
    arguments,
    change,
    damage_all,
    finish,
    level,
    markdown,
    people,
    person_of,
    references_to,
    restorer_in,
    save_grid,
)

log = logging.getLogger(__name__)

DOZEN = 12
SOMEONE = "someone"  # whom all references show
MOUTH = slice(52, 72)  # of the 106 landmarks
# What can be left out of what references give, and where it is in :class:`..records.ReferenceFeatures`.
PARTS = {
    "features": ("warped", "latent"),
    "textures": ("textures",),
    "code words": ("words",),
    "styles": ("style",),
}
ROWS = ("none", "right", "stranger", "lookalike", "two right, one wrong")
Table = dict[str, dict[str, dict[str, list[float]]]]  # {severity: {row: {metric: N numbers}}}


class ReferenceTable:
    """All rows for some faces."""

    def __init__(
        self,
        restorer: TokenRestorer,
        assets: str | None,
        doubt: bool = True,
        without: str | None = None,
        embedding: Path = WEIGHTS,
    ) -> None:
        self.restorer = restorer
        self.without = without
        self.judges = Judges(assets)
        self.landmarks = Landmarks(assets)
        self.recognizer = Recognizer("arcface", assets)
        self.embedder, self.doubt = BuiltinEmbedder(embedding), doubt

    def person(self, faces: Tensor) -> Person:
        """Photographs (R,3,512,512) as a person."""
        return person_of(SOMEONE, faces, self.restorer, self.embedder.embed)

    def sure(self, face: Tensor, person: Person) -> float | None:
        """The chance that a face (1,3,512,512) named by hand shows a person; None where nothing is doubted."""
        if not self.doubt:
            return None
        known = references_to([person], self.restorer, self.embedder)
        embedders = Embedders(self.embedder, self.embedder)
        return match_faces(aligned_crops(face), known, embedders, manual={0: SOMEONE})[0].chance

    def restore(self, damaged: Tensor, given: list[Person | None], strength: float) -> Tensor:
        """Faces (N,3,512,512) restored, each with the photographs given."""
        results = []
        for face, person in zip(damaged.split(1), given, strict=True):
            tokens = encode_tokens(aligned_crops(face), self.restorer)
            if person is not None:
                most = amount(self.sure(face, person)) * needed(measure_quality(tokens.crops)[0])
                tokens, _ = self.restorer.transfer(tokens, [person], strength, [most])
                tokens = self._ablated(tokens)
            results.append(self.restorer.decode(tokens))
        return torch.cat(results)

    def _ablated(self, tokens: FaceTokens) -> FaceTokens:
        """The tokens with a part of what was found set to 0."""
        if self.without is None or tokens.reference is None:
            return tokens
        nothing = tokens.reference.each(torch.zeros_like)
        left_out = {name: getattr(nothing, name) for name in PARTS[self.without]}
        return replace(tokens, reference=replace(tokens.reference, **left_out))

    def mouths(self, faces: Tensor, truth: Tensor) -> list[float]:
        """Mean distance of the mouth's landmarks [px]."""
        found = [
            self.landmarks((x.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy())[MOUTH]
            for x in torch.cat([faces, truth])
        ]
        here, there = np.split(np.array(found), 2)
        return np.linalg.norm(here - there, axis=-1).mean(1).tolist()

    def __call__(
        self, faces: list[np.ndarray], names: list[str], strength: float, rows: tuple[str, ...] = ROWS
    ) -> tuple[Table, dict[str, tuple[Tensor, ...]]]:
        """The table {severity: {row: {metric: N numbers}}} and pictures {severity: columns}."""
        truth = to_tensor(faces)
        with torch.inference_mode():
            alike = torch.cat([self.recognizer(x) for x in truth.split(4)])
        chosen = choose_references(names, alike)
        partner, strangers, lookalikes = (
            [rows[0] for rows in chosen[kind]] for kind in ("right", "wrong", "lookalike")
        )
        singles = [self.person(x) for x in truth.split(1)]
        given: dict[str, list[Person | None]] = {
            "none": [None] * len(faces),
            "right": [singles[p] for p in partner],
            "stranger": [singles[s] for s in strangers],
            "lookalike": [singles[s] for s in lookalikes],
        }
        if "two right, one wrong" in rows:
            given["two right, one wrong"] = [
                self.person(torch.stack([truth[p], truth[p].flip(-1), truth[s]]))
                for p, s in zip(partner, strangers, strict=True)
            ]
        table: Table = {}
        pictures: dict[str, tuple[Tensor, ...]] = {}
        for severity in SEVERITIES:
            bad = damage_all(faces, names, severity)
            damaged = to_tensor(bad)
            columns = {"degraded": damaged} | {row: self.restore(damaged, given[row], strength) for row in rows}
            table[severity] = {
                row: self.judges(column, truth) | {"mouth": self.mouths(column, truth)}
                for row, column in columns.items()
            }
            pictures[severity] = (damaged, truth[partner], *(columns[r] for r in rows if r != "lookalike"), truth)
        return table, pictures


def held_out(work: Path, half: str) -> tuple[list[np.ndarray], list[str]]:
    """Generated people who are never trained on, a dozen for each half, named as London's: here `smiling` is the other
    photograph (:mod:`.people`), in another light, pose and expression."""
    faces = open_faces(work / "generated_512.u8", 0, TEMPLATE_SIZE)
    others = open_faces(work / "references_512.u8", 0, TEMPLATE_SIZE)
    drawn = [i for i in range(len(faces) - HELD_OUT, len(faces)) if others[PHOTOGRAPHS * i, ::64].any()]
    chosen = drawn[(0 if half == "even" else 1) :: 2][:DOZEN]
    pictures = [np.array(x) for i in chosen for x in (faces[i], others[PHOTOGRAPHS * i])]
    return pictures, [f"{i}_{name}" for i in chosen for name in ("neutral", "smiling")]


def as_text(table: Table) -> str:
    """Means, and for EdgeFace the difference to no reference with its 90% bootstrap interval, in Markdown."""
    metrics = (*METRICS, "mouth")
    lines = [
        [
            severity,
            row,
            *(level(scores[metric], metric) for metric in metrics),
            change(scores["edgeface"], rows["none"]["edgeface"], "edgeface"),
        ]
        for severity, rows in table.items()
        for row, scores in rows.items()
    ]
    return markdown(("damage", "reference", *metrics, "EdgeFace minus none"), lines)


def main() -> None:
    """Print the table; save it and the grid."""
    parser = arguments(__doc__)
    parser.add_argument("--checkpoint", type=Path, help="a training's checkpoint (default: the shipped weights)")
    parser.add_argument(
        "--trust", action="store_true", help="take all references for the person's: before doubt is trained"
    )
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--people", choices=("london", "generated"), default="london")
    parser.add_argument("--without", choices=PARTS, help="an ablation: what was found, but this")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--grid", type=Path)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    restorer = restorer_in(args.weights)
    if args.checkpoint:
        transfer = TransferNet.from_state(read_average(args.checkpoint))
        restorer.network.transfer = transfer.eval().requires_grad_(False)
    faces, names = (people if args.people == "london" else held_out)(args.work, args.half)
    faces, names = faces[: args.limit], names[: args.limit]
    table, pictures = ReferenceTable(restorer, args.assets, not args.trust, args.without)(
        faces, names, args.strength, tuple(dict.fromkeys(("none", *args.rows)))
    )
    finish(args, len(faces), as_text(table), table)
    if args.grid:
        save_grid(pictures, args.grid)


if __name__ == "__main__":
    main()
