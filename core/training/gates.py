"""What a stage must have reached before the next one is worth its time: the gates of :mod:`.ladder`.

Each gate measures what a stage has just learned, on people who are never trained on and not reported on either: the odd
half of London's validation people, or the odd half of the generated people held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..faces.identity import WEIGHTS
from ..faces.measure import WEIGHTS as DAMAGE
from ..faces.measure import damage_network
from ..models.restorer import ResemblanceNet, RestorerConfig
from ..models.transfer import TransferConfig, TransferNet
from ..restorers.token_restorer import TokenRestorer
from .codes import code_losses, load_tokenizer, nearest_error
from .damage import differences
from .data import to_tensor
from .embedding_table import network_of, passing
from .flow import colour_error, frozen_restorer, matches, place_error
from .judges import lpips
from .landmarks import Landmarks
from .loop import read_average
from .pairs import SIDE, Trial
from .reference_table import ReferenceTable, held_out
from .refine_table import RefineTable
from .scores import Judges
from .tables import SEVERITIES, damage_all, people, restorer_in, summary
from .trials import read_trials

HALF = "odd"
RECONSTRUCTED = 26.0  # dB; 27 was wanted at first, the shipped tokenizer has 26.5 and does not hold the rest back
CODES_USED = 0.6  # of all code words, on a dozen people
LPIPS_LEFT = 0.4  # of the damaged face's; the shipped weights had .31 and .33, a third is wanted in the end
DAMAGE_OFF = 0.08  # of LPIPS, in the mean of all kinds of damage
TAKEN_FOR_DAMAGED = 0.06  # of LPIPS; up to 0.072 the product leaves a face alone
TOLD_APART = 0.5  # of the same people's severely damaged faces; SFace as published has about .3
FLOW_LEFT = 0.9  # of what there is without a flow; the shipped flow had .77 and .75
RIGHT_GAIN = 0.04  # of EdgeFace's cosine, from which gates may learn to close
WRONG_LOSS = -0.02  # likewise, at any severity


@dataclass(frozen=True)
class Check:
    """A number of a gate: what it is, what it came to, and the least (where not `at_least`: the most) it may be."""

    what: str
    measured: float
    bound: float
    at_least: bool = True

    @property
    def passed(self) -> bool:
        """Whether the bound is kept; what is no number does not keep it."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        return f"{self.what} {self.measured:.3g} (wanted: {'≥' if self.at_least else '≤'} {self.bound:.3g})"


@dataclass(frozen=True)
class Bench:
    """What gates measure on.

    Attributes:
        work: folder of faces and checkpoints.
        weights: folder of the weights written so far.
        assets: folder of the asset packages, see :mod:`.assets`.
        limit: only the first so many faces: a rehearsal.
    """

    work: Path
    weights: Path
    assets: str | None
    limit: int | None = None

    def faces(self) -> tuple[list[np.ndarray], list[str]]:
        """London's faces and their names."""
        faces, names = people(self.work, HALF)
        return faces[: self.limit], names[: self.limit]

    def restorer(self) -> TokenRestorer:
        """The restorer written so far, with the parts that belong to it."""
        return restorer_in(self.weights)


@torch.inference_mode()
def tokenizer(bench: Bench) -> list[Check]:
    """Clean faces come back from code words alone, and not from a few of them."""
    stage = load_tokenizer(bench.work, "cpu")
    errors, used = [], set()
    for face in to_tensor(bench.faces()[0]).split(1):
        h, _ = stage.net.encode(face)
        words, codes = stage.nearest(h)
        y = stage.net.decode(h, words, {face.shape[-1]: face}, content_weight=0.0).clamp(0, 1)
        errors.append((y - face).square().mean().item())
        used.update(codes.flatten().tolist())
    psnr = float(np.mean(-10 * np.log10(errors)))
    return [
        Check("PSNR of faces from codes [dB]", psnr, RECONSTRUCTED),
        Check("codes used", len(used) / len(stage.counts), CODES_USED),
    ]


@torch.inference_mode()
def codes(bench: Bench) -> list[Check]:
    """What the transformer says of a damaged face lies nearer to the clean one than its own nearest code words."""
    stage = load_tokenizer(bench.work, "cpu")
    state = read_average(bench.work / "codes.pt")
    net = ResemblanceNet(RestorerConfig.from_state(state)).eval()
    net.load_state_dict(state)
    faces, names = bench.faces()
    checks = []
    for severity in SEVERITIES:
        soft, nearest = [], []
        for clean, damaged in zip(faces, damage_all(faces, names, severity), strict=True):
            target, _ = stage.net.encode(to_tensor([clean]))
            h, _ = net.encode(to_tensor([damaged]))
            soft.append(code_losses(net, h, net.predict(h), target, stage.nearest(target)[1])[2]["soft"])
            nearest.append(nearest_error(stage, h, target))
        checks.append(Check(f"{severity}: soft lookup's error", np.mean(soft).item(), np.mean(nearest).item(), False))
    return checks


def restoration(bench: Bench) -> list[Check]:
    """Restored faces look much more like the truth than damaged ones."""
    faces, names = bench.faces()
    truth, restorer, judges = to_tensor(faces), bench.restorer(), Judges(bench.assets, ("lpips_alex",))
    checks = []
    for severity in SEVERITIES:
        damaged = to_tensor(damage_all(faces, names, severity))
        before, after = (judges.perceived(x, truth) for x in (damaged, restorer.restore(damaged)))
        checks.append(Check(f"{severity}: LPIPS left", after / before, LPIPS_LEFT, False))
    return checks


def damage(bench: Bench) -> list[Check]:
    """What is said of damage is about what LPIPS says, and undamaged faces are left alone."""
    net = damage_network(bench.weights / DAMAGE.name)
    said = differences(net, lpips("alex", bench.assets), bench.faces()[0])
    off = float(np.mean([(a - b).abs().mean() for a, b in said.values()]))
    return [
        Check("difference to LPIPS", off, DAMAGE_OFF, False),
        Check("damage of undamaged faces, the worst", said["undamaged"][1].max().item(), TAKEN_FOR_DAMAGED, False),
    ]


def embedding(bench: Bench) -> list[Check]:
    """How many of the same people, severely damaged, pass where one stranger in a hundred does: people kept apart."""
    trials = read_trials(bench.work, "calibration")
    clean, damaged = trials.embedded(network_of(bench.work / "embedding.pt").embed, ("severe",))
    passed = passing(damaged["severe"], clean, trials.person)
    return [Check("same people told from strangers", passed, TOLD_APART)]


@torch.inference_mode()
def flow(bench: Bench) -> list[Check]:
    """Seen through the flow, a reference's landmarks and colours are nearer to the truth's than as it is."""
    faces, names = held_out(bench.work, HALF)
    faces, names = faces[: bench.limit], names[: bench.limit]
    net = frozen_restorer("cpu", bench.weights)
    transfer = TransferNet(TransferConfig(net.config.widths, net.config.latent)).eval()
    transfer.correspondence.load_state_dict(
        {k.removeprefix("correspondence."): v for k, v in read_average(bench.work / "flow.pt").items()}
    )
    find = Landmarks(bench.assets)
    pictures = to_tensor(faces).split(1)
    points = [torch.from_numpy((find(face) * 2 + 1) / SIDE - 1).float()[None, None] for face in faces]
    yes = torch.ones(1, 1, dtype=torch.bool)
    places, colours = [], []
    for severity in SEVERITIES:
        damaged = to_tensor(damage_all(faces, names, severity)).split(1)
        for i, face in enumerate(pictures):
            other = i ^ 1  # photographs of a person follow each other
            trial = Trial(face, damaged[i], pictures[other][None], yes, yes[0], points[i], points[other])
            found = matches(net, transfer, trial).flow
            flows = found, torch.zeros_like(found)
            # Aligned faces lie within five pixels of each other: severe damage hides more than that.
            if severity == "moderate":
                places.append([place_error(x, trial.here, trial.there, yes).item() for x in flows])
            colours.append([colour_error(x, trial.references, face).item() for x in flows])
    return [
        Check(what, float(np.divide(*np.mean(errors, 0))), FLOW_LEFT, at_least=False)
        for what, errors in (("moderate: distance of landmarks left", places), ("difference of colours left", colours))
    ]


def references_right(bench: Bench) -> list[Check]:
    """The right reference helps, gates open."""
    return _reference_gains(_with_checkpoint(bench), bench, doubt=False)


def references_wrong(bench: Bench) -> list[Check]:
    """The right reference helps, a stranger's does no harm."""
    return _reference_gains(_with_checkpoint(bench), bench, doubt=True)


def joint(bench: Bench) -> list[Check]:
    """What restoration and references had reached is not lost."""
    return restoration(bench) + _reference_gains(bench.restorer(), bench, doubt=True)


def prior(bench: Bench) -> list[Check]:
    """A step of refinement of severely damaged faces makes nothing worse beyond noise."""
    faces, names = bench.faces()
    refine = RefineTable(bench.restorer(), bench.assets, [(0, 0.0), (1, 0.0)], bench.weights / WEIGHTS.name)
    rows = refine(faces, names, 1, ("severe",))[0]["severe"]["none"]

    def gain(metric: str) -> dict[str, float]:
        return summary((np.array(rows["1 steps"][metric]) - rows["0 steps"][metric]).tolist())

    return [
        Check("LPIPS-VGG's change, low end", gain("lpips_vgg")["low"], 0.0, False),
        Check("EdgeFace's change, high end", gain("edgeface")["high"], 0.0),
    ]


def _with_checkpoint(bench: Bench) -> TokenRestorer:
    """The restorer with the transfer network in training."""
    restorer = bench.restorer()
    transfer = TransferNet.from_state(read_average(bench.work / "references.pt"))
    restorer.network.transfer = transfer.eval().requires_grad_(False)
    return restorer


def _reference_gains(restorer: TokenRestorer, bench: Bench, doubt: bool) -> list[Check]:
    """EdgeFace's cosine with references minus that without; of strangers' only where references are doubted."""
    faces, names = bench.faces()
    measure = ReferenceTable(restorer, bench.assets, doubt, embedding=bench.weights / WEIGHTS.name)
    rows = ("none", "right", "stranger") if doubt else ("none", "right")
    table, _ = measure(faces, names, 1.0, rows)

    def gain(severity: str, row: str) -> float:
        return float(np.mean(table[severity][row]["edgeface"]) - np.mean(table[severity]["none"]["edgeface"]))

    checks = [Check("severe: EdgeFace, right minus none", gain("severe", "right"), RIGHT_GAIN)]
    if doubt:
        checks += [Check(f"{s}: EdgeFace, stranger minus none", gain(s, "stranger"), WRONG_LOSS) for s in SEVERITIES]
    return checks
