"""The table of refinement: steps, guidance, with and without a reference; and the best of several candidates.

People, damage and halves are those of :mod:`.reference_table`; all rows are on the same weights and seed. Sharpness is
the energy of the gradient of the brightness, divided by the truth's. Identity guides by the built-in embedder, which
w600k_mbf taught: SFace decides. Settings are chosen on the odd half of the people and reported on the even half.

    python -m resemblance.core.training.refine_table --work WORK --json refine.json --grid refine.jpg
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..faces.crop import aligned_crops
from ..faces.evidence import amount
from ..faces.identity import WEIGHTS
from ..faces.measure import measure_quality
from ..records import FaceTokens, Person
from ..references.transfer import needed
from ..refinement import RefinementOptions, refine_tokens
from ..restorers.table import Ours, attach_prior
from ..restorers.token_restorer import TokenRestorer
from ..restorers.tokens import encode_tokens
from .data import to_tensor
from .reference_table import ReferenceTable
from .regions import gradient_energy
from .scores import METRICS, Judges
from .tables import SEVERITIES, arguments, change, damage_all, finish, level, markdown, people, restorer_in, save_grid

log = logging.getLogger(__name__)

Scores = dict[str, list[float]]
Table = dict[str, dict[str, dict[str, Scores]]]  # {severity: {reference: {row: {metric: N numbers}}}}
PICKED = 4  # steps that candidates are made with
SHOWN = ("none, 0 steps", "none, 1 steps", "none, 1 steps, identity 1", "right, 1 steps, identity 1")  # in the grid
COMPARED = ("lpips_alex", "lpips_vgg", "edgeface", "sface")
LUMA = (0.299, 0.587, 0.114)


class RefineTable:
    """All rows for some faces."""

    def __init__(
        self,
        restorer: TokenRestorer,
        assets: str | None,
        settings: list[tuple[int, float]],
        embedding: Path = WEIGHTS,
    ) -> None:
        self.restorer, self.settings = restorer, settings
        self.references = ReferenceTable(restorer, assets, embedding=embedding)
        self.judges: Judges = self.references.judges

    def judge(self, face: Tensor, truth: Tensor) -> Scores:
        """All numbers of a face (1,3,512,512)."""
        sharpness = (gradient_energy(face) / gradient_energy(truth)).tolist()
        return self.judges(face, truth) | {"sharpness": sharpness}

    def face(
        self, damaged: Tensor, truth: Tensor, person: Person, candidates: int
    ) -> tuple[dict[tuple[str, str], Scores], dict[str, Tensor]]:
        """{(reference, row): numbers} and pictures {row: (1,3,512,512)} of one face."""
        crops, chance = aligned_crops(damaged), self.references.sure(damaged, person)
        crops = replace(crops, faces=(replace(crops.faces[0], match_chance=chance),))
        blind = encode_tokens(crops, self.restorer)
        rows: dict[tuple[str, str], Scores] = {("none", "degraded"): self.judge(damaged, truth)}
        most = amount(chance) * needed(measure_quality(crops)[0])
        pictures = {}

        def add(reference: str, row: str, tokens: FaceTokens) -> None:
            if reference == "right":  # as the product does: refined first, transferred then
                tokens, _ = self.restorer.transfer(tokens, [person], 1.0, [most])
            drawn = self.restorer.decode(tokens)
            rows[reference, row] = self.judge(drawn, truth)
            pictures[f"{reference}, {row}"] = drawn

        embedder = self.references.embedder
        for reference, whose in (("none", None), ("right", [person])):
            for steps, identity in self.settings:
                refined = refine_tokens(blind, RefinementOptions(steps, identity), whose, embedder)
                add(reference, f"{steps} steps" + f", identity {identity:g}" * (identity > 0), refined.tokens)
            if candidates > 1:
                # The row of as many steps is the random pick: it starts with the noise of the first candidate.
                best = refine_tokens(blind, RefinementOptions(PICKED, candidates=candidates), whose, embedder)
                add(reference, f"{PICKED} steps, best of {candidates}", best.tokens)
        return rows, pictures

    def __call__(
        self, faces: list[np.ndarray], names: list[str], candidates: int, severities: Sequence[str]
    ) -> tuple[Table, dict[str, tuple[Tensor, ...]]]:
        """The table {severity: {reference: {row: {metric: N numbers}}}} and pictures {severity: columns}."""
        table: Table = {}
        pictures: dict[str, tuple[Tensor, ...]] = {}
        for severity in severities:
            table[severity], columns = {}, []
            for face, name in zip(faces, names, strict=True):
                damaged, clean = to_tensor(damage_all([face], [name], severity)), to_tensor([face])
                who, expression, *_ = name.split("_")
                other = f"{who}_{'smiling' if expression == 'neutral' else 'neutral'}"
                person = self.references.person(to_tensor([faces[names.index(other)]]))
                rows, drawn = self.face(damaged, clean, person, candidates)
                for (reference, row), scores in rows.items():
                    kept = table[severity].setdefault(reference, {}).setdefault(row, {})
                    for metric, numbers in scores.items():
                        kept.setdefault(metric, []).extend(numbers)
                columns.append((damaged, *(drawn[row] for row in SHOWN if row in drawn), clean))
                log.info("%s %s", severity, name)
            pictures[severity] = tuple(map(torch.cat, zip(*columns, strict=True)))
        return table, pictures


def as_text(table: Table) -> str:
    """Means, and the differences to 0 steps with their 90% bootstrap intervals, in Markdown."""
    metrics = (*METRICS, "sharpness")
    lines = []
    for severity, references in table.items():
        for reference, rows in references.items():
            for row, scores in rows.items():
                none = rows.get("0 steps", scores)
                cells = [level(scores[metric], metric) for metric in metrics]
                cells += [change(scores[metric], none[metric], metric) for metric in COMPARED]
                lines.append([severity, reference, row, *cells])
    header = ("damage", "reference", "refine", *metrics, *(f"{metric} minus 0 steps" for metric in COMPARED))
    return markdown(header, lines)


def main() -> None:
    """Print the table; save it and the grid."""
    parser = arguments(__doc__)
    parser.add_argument("--prior", type=Path, help="a prior's weights (default: the shipped ones)")
    parser.add_argument("--steps", type=int, nargs="+", default=(0, 1, 4, 8))
    parser.add_argument("--identity", type=float, nargs="+", default=(0.0, 1.0))
    parser.add_argument("--candidates", type=int, default=1)
    parser.add_argument("--severities", nargs="+", choices=SEVERITIES, default=SEVERITIES)
    parser.add_argument("--grid", type=Path)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    restorer = restorer_in(args.weights)
    if args.prior:
        assert isinstance(restorer.network, Ours), "it is ours"
        attach_prior(restorer, restorer.network, args.prior)
    faces, names = people(args.work, args.half)
    faces, names = faces[: args.limit], names[: args.limit]
    settings = [(steps, identity) for steps in args.steps for identity in args.identity if steps or not identity]
    table, pictures = RefineTable(restorer, args.assets, settings)(faces, names, args.candidates, args.severities)
    finish(args, len(faces), as_text(table), table)
    if args.grid:
        save_grid(pictures, args.grid)


if __name__ == "__main__":
    main()
