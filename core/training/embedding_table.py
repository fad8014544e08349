"""How well the embedding network tells people apart, beside published ones, on people it was not trained on.

Of a damaged face and a clean photograph (or the mean of up to five) of the same person, the share of cosines above the
one that one stranger in a hundred reaches at that damage; and rank-1: how often a person's photographs are nearer than
those of everybody else of the group. In the wild first.

    python -m resemblance.core.training.embedding_table --work WORK
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ..faces.identity import WEIGHTS
from ..models.embedding import EmbeddingConfig, EmbeddingNet
from .judges import EdgeFace, Recognizer
from .loop import read_average
from .tables import markdown
from .trials import DAMAGES, Embed, Trials, read_trials

log = logging.getLogger(__name__)

TABLED = ("wild", "lfw")
PASSING = 0.01  # share of strangers
MOST = 5  # photographs of a person that are averaged


def network_of(path: Path) -> EmbeddingNet:
    """The embedding network of a weights file, or the average of a training's checkpoint (``.pt``), in float32."""
    from ..files.checkpoints import read

    state = read_average(path) if path.suffix == ".pt" else {k: v.float() for k, v in read(path).items()}
    net = EmbeddingNet(EmbeddingConfig.from_state(state)).eval().requires_grad_(False)
    net.load_state_dict(state)
    return net.to(memory_format=torch.channels_last)  # faster on a CPU


def means_of(clean: Tensor, person: Tensor, most: int = MOST) -> Tensor:
    """For each photograph the mean of those of its person that follow it in a circle, without itself: (P,D) unit."""
    rows = []
    for n in range(len(person)):
        mine = (person == person[n]).nonzero().flatten().tolist()
        place = mine.index(n)
        rows.append(clean[(mine[place + 1 :] + mine[:place])[:most]].sum(0))
    return F.normalize(torch.stack(rows))


def passing(damaged: Tensor, clean: Tensor, person: Tensor) -> float:
    """Share of the same people's pairs that pass where one stranger's in a hundred does."""
    cosines, same = damaged @ clean.T, person[:, None] == person
    strangers = cosines[~same]
    own = cosines[same & ~torch.eye(len(person), dtype=torch.bool)]
    return float((own >= strangers.quantile(1 - PASSING)).float().mean())


def passing_means(damaged: Tensor, means: Tensor, person: Tensor) -> float:
    """The same against means of several photographs."""
    cosines, same = damaged @ means.T, person[:, None] == person
    return float((cosines.diagonal() >= cosines[~same].quantile(1 - PASSING)).float().mean())


def first(damaged: Tensor, clean: Tensor, person: Tensor) -> float:
    """Share of faces whose person's mean (without the face's own photograph) is nearer than everybody else's."""
    everyone = torch.stack([F.normalize(clean[person == p].sum(0), dim=0) for p in range(int(person.max()) + 1)])
    scores = damaged @ everyone.T
    scores[torch.arange(len(person)), person] = (damaged * means_of(clean, person, len(person))).sum(1)
    return float((scores.argmax(1) == person).float().mean())


def row(trials: Trials, embed: Embed) -> dict[str, tuple[float, float, float]]:
    """{damage: (a pair, the mean of several, rank-1)}."""
    clean, damaged = trials.embedded(embed)
    means = means_of(clean, trials.person)
    return {
        damage: (
            passing(faces, clean, trials.person),
            passing_means(faces, means, trials.person),
            first(faces, clean, trials.person),
        )
        for damage, faces in damaged.items()
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of trials, see trials.py")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="or a training's checkpoint")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    networks: dict[str, Embed] = {
        "built-in": network_of(args.weights).embed,
        "SFace": Recognizer("sface", args.assets).embed,
        "w600k_mbf": Recognizer("arcface", args.assets).embed,
        "EdgeFace": EdgeFace(args.assets).embed,
    }
    for group in TABLED:
        trials = read_trials(args.work, group)
        people = int(trials.person.max()) + 1
        log.info(
            "\n%s: %d photographs of %d people; a pair / the mean of up to five / rank-1", group, len(trials), people
        )
        lines = []
        for name, embed in networks.items():
            found = row(trials, embed)
            lines.append([name, *(" / ".join(f"{x:.2f}" for x in found[damage]) for damage in DAMAGES)])
        log.info("%s", markdown(["network", *DAMAGES], lines))


if __name__ == "__main__":
    main()
