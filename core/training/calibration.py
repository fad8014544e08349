"""What cosines mean: the logistic regression of :mod:`..faces.evidence`, fitted and checked; and the file is written.

Fitted on LFW people of the train split whom no network was trained on, faces damaged in all ways beside one to five
clean photographs of the same person and of strangers, both kinds counting the same. Checked on validation people: of
the pairs that are told to be of one person with such a chance, how many are.

    python -m resemblance.core.training.calibration --work WORK --export core/weights/embedding.safetensors

reads ``WORK/embedding.pt``, what :mod:`.embedding` has trained, moves it a little back to where that began, and
squeezes it (:mod:`.squeeze`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ..faces.evidence import Calibration, terms
from ..models.embedding import EmbeddingNet
from ..records import Face, FaceQuality
from ..references.sorting import one_person
from ..references.views import View
from .embedding_table import network_of
from .judges import Recognizer
from .loop import write_weights
from .sface import published_sface
from .squeeze import squeeze
from .tables import markdown
from .trials import DAMAGES, Embed, Trials, read_trials

log = logging.getLogger(__name__)

COUNTS = (1, 2, 3, 5)  # photographs a face is compared with
STRANGERS = 3  # for each of the same
RIDGE = 1e-3
# Of 0, .15, .3 and .5 the best on the validation people of LFW and London: on LFW, severe damage .670 / .760 / .654
# (a pair, the mean, rank-1) as with 0 (.673 / .764 / .652), and clean faces where SFace has them; .3 costs .04 at the
# mean.
BACK = 0.15
DRAWS = 10
RIGHT = 4  # photographs under a name that a stranger's slips among
SQUEEZED_BY = 3  # every third face: 435 of them
BINS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0)


@dataclass(frozen=True, eq=False)
class Pairs:
    """M comparisons of a damaged face with the mean of some clean photographs.

    Attributes:
        cosines: (M,).
        quality: M, of the faces.
        counts: M, how many photographs.
        same: (M,) whether they show one person.
        damage: M names.
    """

    cosines: Tensor
    quality: list[FaceQuality]
    counts: Tensor
    same: Tensor
    damage: list[str]

    def each(self, read: Callable[[Tensor, list[FaceQuality], list[int]], Tensor]) -> Tensor:
        """What a function of cosines (m,1), m measurements and one count says, (m,1,...), as (M,...)."""
        found: dict[int, Tensor] = {}
        for count in COUNTS:
            rows = (self.counts == count).nonzero().flatten().tolist()
            said = read(self.cosines[rows, None], [self.quality[row] for row in rows], [count])[:, 0]
            found |= dict(zip(rows, said, strict=True))
        return torch.stack([found[row] for row in range(len(self.counts))])


def moved_back(net: EmbeddingNet, begun: EmbeddingNet, share: float = BACK) -> EmbeddingNet:
    """A network whose weights are a part of the way back to those that its training began with.

    What was learned holds better on photographs unlike those it was learned on (WiSE-FT: Wortsman et al., CVPR 2022).
    """
    before = begun.state_dict()
    net.load_state_dict({name: torch.lerp(tensor, before[name], share) for name, tensor in net.state_dict().items()})
    return net


def pairs_of(trials: Trials, embed: Embed, damages: tuple[str, ...] = DAMAGES, seed: int = 0) -> Pairs:
    """Comparisons of each face of each damage with photographs of its own person and of strangers."""
    clean, damaged = trials.embedded(embed, damages)
    person, chance = trials.person, torch.Generator().manual_seed(seed)
    cosines, quality, counts, same, kinds = [], [], [], [], []
    for damage in damages:
        for n, face in enumerate(damaged[damage]):
            for count in COUNTS:
                own = (person == person[n]).nonzero().flatten()
                own = own[own != n]
                if len(own) < count:
                    continue
                whose = torch.unique(person[person != person[n]])
                chosen = [own[torch.randperm(len(own), generator=chance)[:count]]]
                for stranger in whose[torch.randperm(len(whose), generator=chance)][: 4 * STRANGERS].tolist():
                    theirs = (person == stranger).nonzero().flatten()
                    if len(theirs) >= count and len(chosen) <= STRANGERS:
                        chosen.append(theirs[torch.randperm(len(theirs), generator=chance)[:count]])
                for k, rows in enumerate(chosen):
                    cosines.append(F.normalize(clean[rows].sum(0), dim=0) @ face)
                    quality.append(trials.quality[damage][n])
                    counts.append(count)
                    same.append(k == 0)
                    kinds.append(damage)
    return Pairs(torch.stack(cosines), quality, torch.tensor(counts), torch.tensor(same), kinds)


def fit(pairs: Pairs) -> Calibration:
    """The regression's weights; the same and strangers count the same in all."""
    x, y = pairs.each(terms).double(), pairs.same.double()
    mean, spread = x.mean(0), x.std(0)
    mean[0], spread[spread < 1e-6] = 0, 1
    share = torch.where(pairs.same, 0.5 / y.mean(), 0.5 / (1 - y.mean())).double()
    w = torch.zeros(x.shape[1], dtype=torch.double, requires_grad=True)
    solver = torch.optim.LBFGS([w], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        missed = F.binary_cross_entropy_with_logits((x - mean) / spread @ w, y, share)
        missed = missed + RIDGE * w[1:].square().sum()
        missed.backward()
        return missed

    solver.step(loss)
    found = w.detach() / spread
    found[0] -= found @ mean
    return Calibration(tuple(round(v, 4) for v in found.tolist()))


def reliability(pairs: Pairs, evidence: Tensor) -> str:
    """How many of those told to be the same with a chance are, the same and strangers counting the same; Markdown."""
    said = torch.sigmoid(evidence)
    count = pairs.same.float().mean()
    weight = torch.where(pairs.same, 0.5 / count, 0.5 / (1 - count))
    lines = []
    for low, high in itertools.pairwise(BINS):
        inside = (said >= low) & (said < high if high < 1 else said <= high)
        if inside.any():
            total = weight[inside].sum()
            told = (said * weight)[inside].sum() / total
            true = (pairs.same * weight)[inside].sum() / total
            lines.append([f"{low:.2f} to {high:.2f}", f"{told:.3f}", f"{true:.3f}", str(int(inside.sum()))])
    return markdown(["told", "mean told", "are", "comparisons"], lines)


def slipped(trials: Trials, embed: Embed, calibration: Calibration, seed: int = 0) -> str:
    """Four photographs of each person who has them and a stranger's, under one name, ten times: what is refused."""
    clean, _ = trials.embedded(embed, [])
    chance = torch.Generator().manual_seed(seed)
    refused = found = asked = 0
    for person in trials.person.unique().repeat(DRAWS):
        own, others = ((trials.person == person) == same for same in (True, False))
        if own.sum() < RIGHT:
            continue
        chosen = [rows.nonzero().flatten() for rows in (own, others)]
        rows = [x[torch.randperm(len(x), generator=chance)[:n]] for x, n in zip(chosen, (RIGHT, 1), strict=True)]
        mixed = torch.cat(rows)[torch.randperm(RIGHT + 1, generator=chance)].tolist()
        views = [View(_face(trials.quality["clean"][n]), clean[n], clean[n], clean[n], str(n), 1.0) for n in mixed]
        kept = {int(view.source) for view in one_person(views, calibration)[0]}
        stranger = int(rows[1])
        refused += len(set(mixed) - kept - {stranger})
        found += stranger not in kept
        asked += 1
    right = asked * RIGHT
    return (
        f"of {right} right photographs {refused} are refused, of {asked} strangers among four right ones {found} found"
    )


def _face(quality: FaceQuality) -> Face:
    return Face(0, 0, (0.0, 0.0, quality.size, quality.size), 1.0, ((0.0, 0.0),) * 5, quality)


def losses(pairs: Pairs, evidence: Tensor) -> str:
    """For each damage the mean loss [nats], and the shares of the same and of strangers with evidence above 0."""
    lines = []
    for damage in dict.fromkeys(pairs.damage):
        rows = torch.tensor([kind == damage for kind in pairs.damage])
        e, y = evidence[rows], pairs.same[rows]
        lost = 0.5 * (F.softplus(-e[y]).mean() + F.softplus(e[~y]).mean())
        cells = [f"{lost:.3f}", f"{(e[y] > 0).float().mean():.3f}", f"{(e[~y] > 0).float().mean():.3f}"]
        lines.append([damage, *cells])
    return markdown(["damage", "loss", "same above 0", "strangers above 0"], lines)


def main() -> None:
    """Fit, check and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of trials and of the trained network")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--weights", type=Path, help="a weights file or checkpoint (default: WORK/embedding.pt)")
    parser.add_argument("--export", type=Path, help="write the weights, with what their cosines mean")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    net = network_of(args.weights or args.work / "embedding.pt")
    known = read_trials(args.work, "calibration")
    if not net.config.squeezed:
        net = moved_back(net, published_sface(args.assets))
        net = squeeze(net, torch.cat([known.clean, known.damaged["moderate"], known.damaged["severe"]])[::SQUEEZED_BY])
    networks: dict[str, Embed] = {"built-in": net.embed, "insightface": Recognizer("arcface", args.assets).embed}
    fitted: dict[str, Calibration] = {}
    for name, embed in networks.items():
        fitted[name] = fit(pairs_of(known, embed))
        log.info("%s: %s", name, fitted[name].weights)
        log.info("%s, calibration: %s", name, slipped(known, embed, fitted[name]))
        for group in ("lfw", "wild"):
            trials = read_trials(args.work, group)
            log.info("%s, %s: %s", name, group, slipped(trials, embed, fitted[name]))
            pairs = pairs_of(trials, embed)
            evidence = pairs.each(fitted[name].evidence)
            log.info("\n%s, %s\n%s\n\n%s", name, group, reliability(pairs, evidence), losses(pairs, evidence))
    if args.export:
        said = json.dumps({name: calibration.weights for name, calibration in fitted.items()})
        write_weights(net, args.export, "resemblance-embedding", calibration=said)
        log.info("wrote %s", args.export)


if __name__ == "__main__":
    main()
