"""What the tables have in common: whose faces, how they are damaged, how numbers are summed up, shown and saved."""

from __future__ import annotations

import argparse
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..faces.identity import Embedder
from ..geometry import TEMPLATE_SIZE
from ..records import CodebookRestorer, Person, References
from ..references.encoding import person_from
from ..restorers.table import BUILTIN, PRIOR, TRANSFER, Ours, attach_prior, attach_transfer, load_restorer
from ..restorers.token_restorer import TokenRestorer
from .degradation import degrade
from .photographs import read_portraits

log = logging.getLogger(__name__)

SEVERITIES = ("moderate", "severe")
HALVES = ("odd", "even")  # of the people: settings are chosen on the odd ones and reported on the even ones
TWO_DIGITS = ("psnr", "lab", "iris", "iris_pair", "landmarks", "mouth")  # the other numbers get three


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that all tables of a folder of prepared faces have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder with the aligned photographs")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument(
        "--weights", type=Path, default=BUILTIN.parent, help="folder of the weights (default: the shipped ones)"
    )
    parser.add_argument("--half", choices=HALVES, default="even")
    parser.add_argument("--limit", type=int, help="only the first so many faces: a rehearsal")
    parser.add_argument("--json", type=Path)
    return parser


def finish(args: argparse.Namespace, faces: int, text: str, table: Any) -> None:
    """Show a table; save it where that was asked for."""
    log.info("%d faces, %s half\n%s", faces, args.half, text)
    if args.json:
        args.json.write_text(json.dumps(table, indent=1))


def restorer_in(weights: Path) -> TokenRestorer:
    """The restorer in a folder of weights, float32, with the parts that belong to it."""
    restorer = load_restorer(weights / BUILTIN.name, dtype=torch.float32)
    assert isinstance(restorer, TokenRestorer) and isinstance(restorer.network, Ours), "it is ours"
    attach_transfer(restorer, restorer.network, weights / TRANSFER.name)
    attach_prior(restorer, restorer.network, weights / PRIOR.name)
    return restorer


def people(work: Path, half: str) -> tuple[list[np.ndarray], list[str]]:
    """Aligned London validation faces of one half (``odd``: to choose by, ``even``: to report) and their names."""
    faces, portraits = read_portraits(work)
    chosen = [p for p in portraits if p.collection == "london" and p.split == "val"]
    wanted = half_of((p.person for p in chosen), half)
    chosen = [p for p in chosen if p.person in wanted]
    return [np.array(faces[p.row]) for p in chosen], [Path(p.path).stem for p in chosen]


def half_of(people: Iterable[str], half: str) -> set[str]:
    """Every other person in the order of their names, the first among the even ones."""
    return set(sorted(set(people))[(0 if half == "even" else 1) :: 2])


def damage_all(faces: Sequence[np.ndarray], names: Sequence[str], severity: str) -> list[np.ndarray]:
    """Damaged faces, each by a seed of its name and severity: every table sees the same ones."""
    seeds = [zlib.crc32(f"{name} {severity}".encode()) for name in names]
    return [degrade(face, severity, np.random.default_rng(seed)) for face, seed in zip(faces, seeds, strict=True)]


def person_of(name: str, faces: Tensor, restorer: CodebookRestorer, embed: Callable[[Tensor], Tensor]) -> Person:
    """Photographs (R,3,512,512), aligned already, as references to a person."""
    identity = embed(faces)
    weights, sources = [1.0] * len(faces), [str(n) for n in range(len(faces))]
    return person_from(name, faces, restorer, identity, identity, weights, sources)


def references_to(people: Sequence[Person], restorer: CodebookRestorer, embedder: Embedder) -> References:
    """People, made by :func:`person_of` with the built-in embedder, as references."""
    by = (embedder.fingerprint, embedder.fingerprint)
    return References(tuple(people), restorer.fingerprint, embedder.name, by)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Mean and 90% bootstrap interval."""
    x = np.array(values)
    means = x[np.random.default_rng(0).integers(0, len(x), (2000, len(x)))].mean(1)
    return {"mean": float(x.mean()), "low": float(np.quantile(means, 0.05)), "high": float(np.quantile(means, 0.95))}


def level(values: Sequence[float], metric: str) -> str:
    """The mean of a number, as a cell."""
    return f"{np.mean(values):.{_digits(metric)}f}"


def level_and_spread(values: Sequence[float], metric: str) -> str:
    """The mean of a number and half the width of its interval, as a cell."""
    s = summary(values)
    return f"{level(values, metric)} ± {(s['high'] - s['low']) / 2:.{_digits(metric)}f}"


def change(values: Sequence[float], than: Sequence[float], metric: str) -> str:
    """How much larger the mean of a number is than that of another row of the same faces, with its interval."""
    s, digits = summary((np.array(values) - np.array(than)).tolist()), _digits(metric)
    return f"{s['mean']:+.{digits}f} ({s['low']:+.{digits}f} to {s['high']:+.{digits}f})"


def _digits(metric: str) -> int:
    return 2 if metric in TWO_DIGITS else 3


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(cells) for cells in (header, *rows)]
    return "\n".join([f"| {lines[0]} |", "|" + "---|" * len(header), *(f"| {line} |" for line in lines[1:])])


def save_grid(pictures: dict[str, tuple[Tensor, ...]], path: Path, rows: int = 6, side: int = 256) -> None:
    """The columns (N,3,512,512) of each severity beside each other: `rows` people of each."""
    blocks = []
    for columns in pictures.values():
        step = max(1, len(columns[0]) // rows)
        block = [torch.cat(list(column[::step][:rows]), 1) for column in columns]
        blocks.append(torch.cat(block, 2))
    grid = (torch.cat(blocks, 2).clamp(0, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    scale = side / TEMPLATE_SIZE
    Image.fromarray(grid).resize(
        (round(grid.shape[1] * scale), round(grid.shape[0] * scale)), Image.Resampling.LANCZOS
    ).save(path, quality=92)
