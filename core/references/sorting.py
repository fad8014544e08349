"""Which face of each photograph is the person's own, and which photographs are somebody else's.

Whom the user names is believed: a photograph given under a name is that person's unless the evidence against it is
strong (:mod:`..faces.evidence`). One that is doubtful is used, counts for less, and is told of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..faces.evidence import Calibration, chance, log_odds
from .views import Refusal, View, area_of

MOST = 8  # photographs of a person that are used; more brought nothing in ReF-LDM (0.65 with five, 0.66 with eight)
OUTSTANDING = 2.0  # how many times the area of the next face's box the largest must have to be taken for the one meant
# Before a photograph is looked at, whoever gave it under a name is believed by this much: evidence of 9 to 1 against it
# outweighs that.
GIVEN = log_odds(0.9)
REFUSED = 0.5  # chance below which it is not used
DOUBTFUL = 0.8  # and below which it counts for less


def own_faces(
    photographs: list[list[View]], known: list[View], calibration: Calibration
) -> tuple[list[View], list[Refusal], list[Refusal]]:
    """A person's own face in each photograph, the best of them; which are refused, which count for less, and why."""
    refused: list[Refusal] = []
    alone = known + [views[0] for views in photographs if len(views) == 1 and not views[0].fault]
    kept = list(known)
    for views in photographs:
        own = views[0]
        if len(views) > 1 and alone:
            own = max(views, key=lambda view: _evidence(view, alone, calibration))
            sure = chance(_evidence(own, alone, calibration))
            if sure < 0.5:
                reason = f"none of its {len(views)} faces is like the one in the other photographs of this person"
                refused.append((own.source, f"{reason} (the likeliest: {sure:.0%})"))
                continue
        elif len(views) > 1 and area_of(own.face) < OUTSTANDING * area_of(views[1].face):
            reason = f"it shows {len(views)} faces and nothing says whose is meant; crop it, or add one of them alone"
            refused.append((own.source, reason))
            continue
        if own.fault:
            refused.append((own.source, own.fault))
        else:
            kept.append(own)
    kept, strangers = one_person(kept, calibration)
    refused += strangers
    best = sorted(kept, key=lambda view: (-view.weight * (1 - view.severity), -view.side))
    refused += [(view.source, f"the {MOST} best of {len(kept)} are used") for view in best[MOST:]]
    kept = [view for view in kept if view in best[:MOST]]
    doubted: list[Refusal] = []
    result = []
    for n, view in enumerate(kept):
        sure = chance(_evidence(view, kept[:n] + kept[n + 1 :], calibration) + GIVEN) if len(kept) > 1 else 1.0
        if sure < DOUBTFUL:
            doubted.append((view.source, f"it may show somebody else than the others ({sure:.0%} sure)"))
            view = replace(view, identity_confidence=sure)
        result.append(view)
    return result, refused, doubted


def one_person(views: list[View], calibration: Calibration) -> tuple[list[View], list[Refusal]]:
    """The photographs of most of a name's people, and why the others are refused.

    Photographs are joined, the likeliest first, as long as what is joined is likelier one person than not. Of the
    groups that are left the one that counts most is taken, of two that count the same the first.
    """
    groups = {n: [view] for n, view in enumerate(views)}

    def odds(a: int, b: int) -> float:
        looks = torch.cat(
            [_evidences(groups[a], groups[b], calibration), _evidences(groups[b], groups[a], calibration)]
        )
        return float(looks.mean())

    joined = {(a, b): odds(a, b) for a in groups for b in groups if a < b}
    while joined:
        (a, b), best = max(joined.items(), key=lambda item: (item[1], (-item[0][0], -item[0][1])))
        if chance(best + GIVEN) < REFUSED:
            break
        groups[a] += groups.pop(b)
        joined = {pair: value for pair, value in joined.items() if not {a, b} & set(pair)}
        joined |= {(min(a, c), max(a, c)): odds(a, c) for c in groups if c != a}
    ranked = sorted(groups.values(), key=lambda group: -sum(view.weight for view in group))  # of equals the first
    refused = []
    for group in ranked[1:]:
        for view in group:
            sure = chance(_evidence(view, ranked[0], calibration) + GIVEN)
            others = "the others" if len(ranked[0]) > len(group) else "the first one"
            reason = f"it shows somebody else than {others} ({sure:.0%} likely to be the same)"
            refused.append((view.source, f"{reason}; if not, give it a name of its own"))
    return [view for view in views if ranked and any(view is kept for kept in ranked[0])], refused


def _evidence(view: View, others: Sequence[View], calibration: Calibration) -> float:
    """Evidence that a photograph shows the person of some others."""
    return float(_evidences([view], others, calibration)[0])


def _evidences(views: Sequence[View], others: Sequence[View], calibration: Calibration) -> Tensor:
    """The same of several (N,); by the built-in embedder, which is calibrated for all kinds of faces."""
    mean = torch.stack([other.weight * other.identity_embedding for other in others]).sum(0)
    cosines = F.cosine_similarity(torch.stack([view.identity_embedding for view in views]), mean[None], dim=1)
    return calibration.evidence(cosines[:, None], [view.quality for view in views], [len(others)])[:, 0]
