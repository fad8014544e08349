"""What code blending (:mod:`..references.code_blending`) gives: no, the right and a wrong reference beside each other.

Photographs of the London set's validation people, damaged as for all tables; the reference is the person's other
photograph (a neutral face for a smiling one, and the other way round), the same of the next person, that of the nearest
lookalike, or the right and the next person's together. "codes of the truth" puts the truth's own code words in: no
reference could give more. The table has the damaged faces restored blind, and then what each reference changes, with
the 90% bootstrap over people. Strengths are chosen on the odd half, reported on the even one.

    python -m resemblance.core.training.code_blending_table --work WORK --strengths 1
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..faces.crop import aligned_crops
from ..records import CodebookRestorer, FaceTokens, Lookup, Person
from ..references.code_blending import blend_codes
from ..restorers.table import load_restorer
from ..restorers.tokens import decode_tokens, encode_tokens, restore_tokens
from .data import to_tensor
from .judges import Recognizer
from .scores import BATCH, Judges
from .tables import SEVERITIES, arguments, damage_all, finish, markdown, people, summary

log = logging.getLogger(__name__)

METRICS = ("psnr", "lpips_alex", "edgeface")
Scores = dict[str, Tensor]


def choose_references(names: list[str], embeddings: Tensor) -> dict[str, list[list[int]]]:
    """{kind: for each face the rows of its references}, from names such as "003_neutral" and unit embeddings (N,D)."""
    who, how = zip(*(name.split("_") for name in names), strict=True)
    chosen: dict[str, list[list[int]]] = {"right": [], "wrong": [], "lookalike": [], "right and wrong": []}
    count = len(names)
    for i, likeness in enumerate(embeddings @ embeddings.T):
        # All references have the other expression, the wrong ones too, or they would differ in more than the person.
        others = [j % count for j in range(i + 1, i + count) if how[j % count] != how[i]]
        right = next(j for j in others if who[j] == who[i])
        strangers = [j for j in others if j != right]
        chosen["right"].append([right])
        chosen["wrong"].append([strangers[0]])
        chosen["lookalike"].append([max(strangers, key=lambda j: float(likeness[j]))])
        chosen["right and wrong"].append([right, strangers[0]])
    return chosen


def table(
    faces: list[np.ndarray],
    names: list[str],
    restorer: CodebookRestorer,
    strengths: list[float],
    fidelity: float | None,
    assets: str | None,
) -> dict[str, dict[str, Scores]]:
    """{severity: {row: {metric: a number for each face}}}; all rows but the first are differences to it."""
    truth = to_tensor(faces)
    judges = Judges(assets, METRICS)
    arcface = Recognizer("arcface", assets)
    with torch.inference_mode():
        embeddings = torch.cat([arcface(x) for x in truth.split(BATCH)])
    content, code_latent, *_ = restorer.encode(truth, Lookup())
    chosen = choose_references(names, embeddings)

    def person(rows: list[int]) -> Person:
        weights, sources = (1.0,) * len(rows), tuple(names[row] for row in rows)
        e = embeddings[rows]
        return Person("", truth[rows], content[rows], code_latent[rows], {}, e, e, weights, sources)

    def judged(tokens: FaceTokens) -> Scores:
        found = judges(decode_tokens(restore_tokens(tokens, fidelity)), truth)
        return {metric: torch.tensor(numbers) for metric, numbers in found.items()}

    result: dict[str, dict[str, Scores]] = {}
    for severity in SEVERITIES:
        bad = damage_all(faces, names, severity)
        tokens = encode_tokens(aligned_crops(to_tensor(bad)), restorer)
        blind = judged(tokens)
        rows = {"codes of the truth": judged(replace(tokens, code_latent=code_latent))}
        for strength in strengths:
            for kind, references in chosen.items():
                moved, _ = blend_codes(tokens, [person(r) for r in references], strength)
                rows[f"{kind}, strength {strength:g}"] = judged(moved)
                log.info("%s, %s, strength %g", severity, kind, strength)
        differences = {row: {m: v - blind[m] for m, v in scores.items()} for row, scores in rows.items()}
        result[severity] = {"none": blind} | differences
    return result


def as_text(result: dict[str, dict[str, Scores]], names: list[str]) -> str:
    """The table in Markdown, with the bootstrap over people: two faces of one are not two trials."""
    who = [name.split("_")[0] for name in names]
    lines = []
    for severity, rows in result.items():
        for row, scores in rows.items():
            cells = []
            for metric in METRICS:
                of_person: dict[str, list[float]] = {}
                for name, value in zip(who, scores[metric].tolist(), strict=True):
                    of_person.setdefault(name, []).append(value)
                s = summary([float(np.mean(values)) for values in of_person.values()])
                sign = "" if row == "none" else "+"
                cells.append(f"{s['mean']:{sign}.3f} ({s['low']:{sign}.3f} to {s['high']:{sign}.3f})")
            lines.append([severity, row, *cells])
    return markdown(("damage", "reference", *METRICS), lines)


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--weights", type=Path, help="a restorer with a codebook (default: the shipped one)")
    parser.add_argument("--fidelity", type=float, help="content weight (default: the restorer's own)")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 1.0])
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    restorer = load_restorer(args.weights, dtype=torch.float32)
    able = restorer.with_tokens
    if able is None:
        parser.error(f"{restorer.name} has no codebook; expected CodeFormer or the shipped restorer")
    faces, names = people(args.work, args.half)
    faces, names = faces[: args.limit], names[: args.limit]
    result = table(faces, names, able, args.strengths, args.fidelity, args.assets)
    numbers = {s: {row: {m: x.tolist() for m, x in v.items()} for row, v in rows.items()} for s, rows in result.items()}
    finish(args, len(faces), as_text(result, names), numbers)


if __name__ == "__main__":
    main()
