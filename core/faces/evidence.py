"""How sure a face and photographs make us that they show one person.

The same cosine says much of a clean face and little of a ruined one. So it is turned into evidence, the logarithm of

    P(cosine | the same person) / P(cosine | somebody else),

by a logistic regression on the cosine, the measured damage and size of the face and the number of photographs
(``core/training/calibration.py``; the model card has the reliability table). Chances follow by Bayes' rule: evidence is
added to the log-odds of what was known before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..records import FaceQuality

FULL_SIZE = 126.0  # [px] between the eyes of the template: a face of that size has lost nothing to its size
SMALLEST_SIZE = 4.0
# What is less damaged or blurred counts as this much: the clean photographs that cosines were calibrated on are
# enlarged (0.63 and 0.40 in the median), and the regression says nothing of sharper ones. MODEL_CARD.md says more.
LEAST_SEVERITY, LEAST_BLUR = 0.5, 0.5
TERMS = 10
# See :func:`amount`. Tried on people of the train split (30 of LFW with three photographs, 24 of London with one;
# EdgeFace, severe damage, named by hand): right ones give LFW's faces .304 and a stranger's change London's by -.089;
# with 0.98 and 8 it is .292 and -.061. So the stricter pays where more than three in ten references are somebody
# else's.
SURE, DOUBT = 0.9, 4
# One comparison never counts for more than this, for or against: e^7 is odds of 1,100 to 1.
CERTAIN = 7.0


@dataclass(frozen=True)
class Calibration:
    """What cosines of an embedder mean.

    Attributes:
        weights: of :func:`terms`.
    """

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != TERMS:
            raise ValueError(f"The calibration has {len(self.weights)} numbers; expected {TERMS}.")

    def evidence(self, cosines: Tensor, qualities: Sequence[FaceQuality], counts: Sequence[float]) -> Tensor:
        """Evidence (N,P) that faces show people.

        Args:
            cosines: (N,P) of each face to the mean of each person's photographs.
            qualities: N, of the faces.
            counts: P, how many photographs there are of each person.
        """
        found = terms(cosines, qualities, counts) @ cosines.new_tensor(self.weights)
        return found.clamp(-CERTAIN, CERTAIN)


def terms(cosines: Tensor, qualities: Sequence[FaceQuality], counts: Sequence[float]) -> Tensor:
    """What the regression reads, (N,P,10); arguments as in :meth:`Calibration.evidence`."""
    shape = cosines.shape
    severity = cosines.new_tensor([[max(q.severity, LEAST_SEVERITY)] for q in qualities]).reshape(-1, 1).expand(shape)
    blur = cosines.new_tensor([[max(1 - q.sharpness, LEAST_BLUR)] for q in qualities]).reshape(-1, 1).expand(shape)
    small = cosines.new_tensor([[smallness(q.size)] for q in qualities]).reshape(-1, 1).expand(shape)
    few = cosines.new_tensor([1 / count for count in counts]).expand(shape)
    degraded = (severity, blur, small)
    return torch.stack(
        [torch.ones_like(cosines), cosines, *degraded, *(cosines * x for x in degraded), few, cosines * few], -1
    )


def smallness(size: float) -> float:
    """0 for a face as large as the template, 1 for each halving."""
    return math.log2(FULL_SIZE / min(max(size, SMALLEST_SIZE), FULL_SIZE))


def chance(log_odds: float) -> float:
    """The chance (0 to 1) that log-odds stand for."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0


def amount(chance: float | None) -> float:
    """How much (0 to 1) is taken of references that show the same person with a chance; None is no doubt.

    All of it from 0.9 on, a tenth at a half: somebody else's face does more harm than the right one's absence.
    """
    return 1.0 if chance is None else min(1.0, chance / SURE) ** DOUBT


def log_odds(chance: float) -> float:
    """The log-odds of a chance above 0 and below 1."""
    return math.log(chance / (1 - chance))
