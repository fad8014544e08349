"""The standing table: damaged faces, the best classical filter, and a restorer with no, right and wrong references.

Photographs are aligned, damaged with a seed of their own (as ReF-LDM damages), restored and judged at 512 px. "As the
product decides" is what a user meets (:mod:`.decisions`): five photographs of one person are given, and detection,
refusals, matching and gates do what they do; "wrong, as the product decides" is the same with five of a stranger. All
other rows restore the aligned face (:func:`..pipeline.restore_crops`) and blend it in whole; "by damage" blends it in
by as much as it is damaged, as the product does. There references are named by hand: "one", "three" and "five" are
other photographs of the same person, "wrong" is five of a stranger's, and "lookalike" those of whoever is most alike.
Settings are chosen on the people in odd places of the list and reported on those in even places. Intervals are 90%
bootstraps over faces.

    resemblance evaluate DATA --json table.json --grid grid.jpg
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..faces.crop import aligned_crops, pick_crops
from ..faces.measure import measure_quality
from ..loading import Models
from ..pipeline import RestoreOptions, blend_for, restore_crops
from ..records import References, Restorer
from ..references.matching import labelled, match_faces
from ..refinement import RefinementOptions
from .album import Album, lookalikes_for, references_for
from .data import to_tensor
from .decisions import Decider
from .scores import Inception, Judges, kid
from .tables import damage_all, person_of, references_to

log = logging.getLogger(__name__)

REFERENCES = ("none", "one", "three", "five", "wrong", "lookalike", "decided", "decided-wrong")
# Where the product decides: what the row is called, and what it is given.
DECIDED = {
    "decided": ("as the product decides", "five"),
    "decided-wrong": ("wrong, as the product decides", "wrong"),
}
ENOUGH = 50  # faces from which KID says something
PART = 4  # faces drawn at once
SHOWN = 6  # people in the grid


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the table.

    Attributes:
        faces: which of the judged faces have it.
        prepare: some of these → what draws them, (n,3,512,512) in [0,1]; only the drawing is timed.
    """

    faces: list[int]
    prepare: Callable[[list[int]], Callable[[], Tensor]]


@dataclass(frozen=True, eq=False)
class Scored:
    """What a row came to.

    Attributes:
        faces: which of the judged faces it is about.
        scores: {metric: a number for each of them}.
        seconds: that drawing a face took, the shortest time: it depends least on what else the machine does.
        kid: of all of them; None where they are too few or the network is missing.
        pictures: {face: (3,512,512)} of those that the grid shows.
        guided, accepted: where the product decides, of each face whether references were used, and which share of them.
    """

    faces: list[int]
    scores: dict[str, list[float]]
    seconds: float
    kid: float | None
    pictures: dict[int, Tensor]
    guided: tuple[bool, ...] = ()
    accepted: tuple[float, ...] = ()


def classical_filters() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What can be had without learning, on (512,512,3) uint8. The damaged face is already enlarged bilinearly."""
    return {
        "bicubic": lambda x: cv2.resize(
            cv2.resize(x, (128, 128), interpolation=cv2.INTER_AREA), (512, 512), interpolation=cv2.INTER_CUBIC
        ),
        "bilateral": lambda x: cv2.bilateralFilter(x, 9, 30, 7),
        "non-local means": lambda x: cv2.fastNlMeansDenoisingColored(x, None, 5, 5, 7, 15),
    }


def strengths(damaged: Tensor) -> Tensor:
    """How much of the restored face the product blends in, (N,1,1,1), for faces that fill the template."""
    measured = measure_quality(aligned_crops(damaged))
    return torch.tensor([blend_for(quality.severity) for quality in measured]).view(-1, 1, 1, 1)


class Evaluation:
    """All rows for the faces of an album.

    Args:
        album: the faces; those that are truth at full size are judged.
        models: the restorer whose references are tried, and the embedders.
        others: {name: restorer} of further rows, without references.
        judges: of all metrics.
        references: which of ``REFERENCES``; ``none`` is always among the rows, the others are compared with it.
        decider: the product, for the rows in which it decides; None leaves them out.
        refine: steps of refinement of `restorer`; None is its own choice.
        inception: None leaves KID out.

    Raises:
        ValueError: no face is truth at full size, or refinement by a restorer that has no prior.
    """

    def __init__(
        self,
        album: Album,
        models: Models,
        others: Mapping[str, Restorer],
        judges: Judges,
        references: Sequence[str] = REFERENCES,
        decider: Decider | None = None,
        refine: int | None = None,
        inception: Inception | None = None,
    ) -> None:
        self.album, self.models, self.others = album, models, others
        self.judges, self.inception, self.decider = judges, inception, decider
        self.embedder = models.telling_apart.identity
        self.options = RestoreOptions(refinement=RefinementOptions(refine)).resolved(models.restorer)
        self.judged = album.judged
        if not self.judged:
            raise ValueError(
                f"None of the {len(album.faces)} faces is large enough to be the truth at 512 px; expected faces that "
                f"are {album.truth:.0f} px wide or more in the photograph."
            )
        names = [Path(album.names[n]).stem for n in self.judged]
        self._damaged: Callable[[str], list[np.ndarray]] = lambda severity: damage_all(
            [album.faces[n] for n in self.judged], names, severity
        )
        chosen = references_for(album.people)
        if "lookalike" in references:
            alike = torch.cat([self.embedder.embed(to_tensor([face])) for face in album.faces])
            chosen["lookalike"] = lookalikes_for(album.people, alike, chosen["five"])
        self.references = {kind: [chosen[kind][n] for n in self.judged] for kind in references if kind in chosen}
        given = dict(DECIDED[kind] for kind in references if kind in DECIDED)
        self.decided = {row: [chosen[kind][n] for n in self.judged] for row, kind in given.items()} if decider else {}
        self.shown = list(range(0, len(self.judged), max(1, len(self.judged) // SHOWN)))[:SHOWN]
        self.counted = inception is not None and len(self.judged) >= ENOUGH  # whether there is any KID
        self._true_features: Tensor | None = None

    def truth(self, faces: list[int]) -> Tensor:
        """Judged faces (n,3,512,512), undamaged."""
        return self.photographs([self.judged[n] for n in faces])

    def photographs(self, numbers: list[int]) -> Tensor:
        """Faces (n,3,512,512) by their numbers in the album."""
        return to_tensor([self.album.faces[n] for n in numbers])

    def __call__(self, severity: str) -> dict[str, Scored]:
        """All rows at one severity."""
        bad = self._damaged(severity)
        results = {}
        for name, row in self._rows(bad).items():
            results[name] = self._score(row)
            if name in self._told:
                guided, accepted = zip(*self._told[name], strict=True)
                results[name] = replace(results[name], guided=guided, accepted=accepted)
            log.info("%s, %s: %d faces, %.2f s a face", severity, name, len(row.faces), results[name].seconds)
        return results

    def _rows(self, bad: list[np.ndarray]) -> dict[str, Row]:
        everyone = list(range(len(bad)))

        def damaged(part: list[int]) -> Tensor:
            return to_tensor([bad[n] for n in part])

        def by_damage(faces: Tensor) -> Tensor:
            return torch.lerp(faces, self._restored(faces), strengths(faces))

        def guided(chosen: list[list[int]], part: list[int]) -> Callable[[], Tensor]:
            references, names = self._references([chosen[n] for n in part])
            return partial(self._restored, damaged(part), references, names)

        def decided(name: str, part: list[int]) -> Callable[[], Tensor]:
            def draw() -> Tensor:
                assert self.decider, "there are such rows only with it"
                found = [self.decider(damaged([n])[0], self.decided[name][n]) for n in part]
                self._told.setdefault(name, []).extend((one.guided, one.accepted) for one in found)
                return torch.stack([one.picture for one in found])

            return draw

        rows = {"degraded": Row(everyone, lambda part: partial(damaged, part))}
        if "lpips_alex" in self.judges.metrics:
            best, filtered = self._best_filter(bad)
            rows[f"classical: {best}"] = Row(everyone, lambda part: lambda: to_tensor([filtered(bad[n]) for n in part]))
        rows["none"] = Row(everyone, lambda part: partial(self._restored, damaged(part)))
        rows["none, by damage"] = Row(everyone, lambda part: partial(by_damage, damaged(part)))
        self._told: dict[str, list[tuple[bool, float]]] = {}
        for name, given in self.decided.items():
            faces = [n for n in everyone if given[n]]
            if faces:
                rows[name] = Row(faces, partial(decided, name))
        for kind, chosen in self.references.items():
            faces = [n for n in everyone if chosen[n]]
            fewer = {"three": "one", "five": "three"}.get(kind, "")
            if faces and chosen != self.references.get(fewer):
                rows[kind] = Row(faces, partial(guided, chosen))
        for name, other in self.others.items():
            rows[name] = Row(everyone, lambda part, other=other: partial(other.restore, damaged(part)))  # type: ignore[misc]
        return rows

    def _best_filter(self, bad: list[np.ndarray]) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
        """The filter with the lowest mean LPIPS."""
        filters = classical_filters()
        parts = [list(range(len(bad)))[i : i + PART] for i in range(0, len(bad), PART)]
        lost = {
            name: sum(len(p) * self.judges.perceived(to_tensor([one(bad[n]) for n in p]), self.truth(p)) for p in parts)
            for name, one in filters.items()
        }
        best = min(lost, key=lambda name: lost[name])
        return best, filters[best]

    def _references(self, numbers: list[list[int]]) -> tuple[References, list[str]]:
        """The photographs of these numbers for each face, and what to call the people they show."""
        restorer = self.models.restorer.with_tokens
        assert restorer is not None, "only such restorers read references"
        people = tuple(
            person_of(str(n), self.photographs(own), restorer, self.embedder.embed) for n, own in enumerate(numbers)
        )
        return references_to(people, restorer, self.embedder), [person.name for person in people]

    def _restored(self, faces: Tensor, references: References | None = None, people: Sequence[str] = ()) -> Tensor:
        """Faces (n,3,512,512) restored, with references each as one of these people, named by hand."""
        crops = aligned_crops(faces)
        if references:
            embedders = self.models.telling_apart
            named = [
                match_faces(pick_crops(crops, [n]), references, embedders, manual={0: name})[0]
                for n, name in enumerate(people)
            ]
            crops = replace(crops, faces=tuple(map(labelled, crops.faces, named)))
        return restore_crops(crops, self.models, self.options, references)[0]

    def _score(self, row: Row) -> Scored:
        scores: dict[str, list[float]] = {metric: [] for metric in self.judges.metrics}
        features: list[Tensor] = []
        pictures: dict[int, Tensor] = {}
        seconds = float("inf")
        counted = self.inception is not None and len(row.faces) >= ENOUGH
        for start in range(0, len(row.faces), PART):
            part = row.faces[start : start + PART]
            draw = row.prepare(part)
            begun = time.perf_counter()
            drawn = draw()
            seconds = min(seconds, (time.perf_counter() - begun) / len(part))
            for metric, numbers in self.judges(drawn, self.truth(part)).items():
                scores[metric] += numbers
            if counted and self.inception:
                features.append(self.inception(drawn))
            pictures |= {n: picture for n, picture in zip(part, drawn, strict=True) if n in self.shown}
        distance = kid(torch.cat(features), self._features_of_truth()[row.faces]) if features else None
        return Scored(row.faces, scores, seconds, distance, pictures)

    def _features_of_truth(self) -> Tensor:
        if self._true_features is None:
            assert self.inception, "features are counted only with it"
            everyone = list(range(len(self.judged)))
            parts = [everyone[i : i + PART] for i in range(0, len(everyone), PART)]
            self._true_features = torch.cat([self.inception(self.truth(part)) for part in parts])
        return self._true_features
