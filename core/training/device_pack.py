"""All that training needs on a lent machine that has PyTorch and nothing else, in folders to carry there in turn.

    python -m resemblance.core.training.device_pack --work WORK --output .pack

writes the generator, LPIPS, the first levels of its VGG, w600k_mbf and what was trained so far (step 2's tokens, or
with ``--resume`` the shards of an earlier run), in half precision, the basis, and the photographs of the train split,
aligned, as WebP: at 512 px where they are truth at full size, else at 256 px. They lie in ``part1``, ``part2`` and so
on, each of which may travel at once with the programs beside it; there all are put into one folder.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..models.generative import GenerativeTokens
from ..models.restorer import RestorerConfig
from ..models.style_head import StyleConfig
from .assets import asset
from .generator import Generator, GeneratorConfig, load_generator
from .generator_basis import Basis, read_basis
from .generator_style import read_tokens
from .judges import OnnxGraph, Recognizer, lpips, read_graph
from .perceptual import Perceptual, packed
from .photographs import read_portraits
from .truths import HALF_SCALE, Truths

log = logging.getLogger(__name__)

VGG_CONVOLUTIONS = 7  # to relu3_3
SIDES = {1: 512, 2: 256, 4: 256}  # px at which a photograph travels, by the part of its size at which it is truth
QUALITY = {1: 90, 2: 92, 4: 88}
LFW = 3000  # the most of these; each is a person more, but none is truth above a quarter
LIMIT = 55 << 20  # bytes of a part


@dataclass(frozen=True, eq=False)
class Networks:
    """What was packed, ready to run on a device.

    Attributes:
        generator: float32.
        basis: of the latents.
        tokens: what step 2 trained; None where an earlier run of this stage was packed.
        alex: LPIPS.
        vgg: its three finest levels of VGG.
        recognizer: w600k_mbf.
    """

    generator: Generator
    basis: Basis
    tokens: GenerativeTokens | None
    alex: Perceptual
    vgg: Perceptual
    recognizer: Recognizer


def write_networks(
    folder: Path,
    generator: Generator,
    basis: Basis,
    tokens: GenerativeTokens | None,
    perceptual: Mapping[str, dict[str, Tensor]],
    graph: OnnxGraph,
) -> None:
    """Write the networks into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = json.dumps(asdict(generator.synthesis.config))
    _write(folder / "generator.safetensors", generator.state_dict(), config=shape)
    _write(folder / "basis.safetensors", basis.tensors(), half=False)
    if tokens is not None:
        sizes, style = (json.dumps(asdict(config)) for config in (tokens.config, tokens.style.config))
        # The linear part of the style head is fitted anew there.
        kept = {name: t for name, t in tokens.state_dict().items() if not name.startswith("style.direct")}
        _write(folder / "tokens.safetensors", kept, config=sizes, style=style)
    for name, state in perceptual.items():
        _write(folder / f"{name}.safetensors", state)
    names = {name: f"{i:04d}" for i, name in enumerate(graph.weights)}
    about = json.dumps({"names": names, "nodes": graph.nodes, "entry": graph.entry, "exit": graph.exit})
    _write(folder / "recognizer.safetensors", {names[n]: t for n, t in graph.weights.items()}, graph=about)


def _write(path: Path, tensors: Mapping[str, Tensor], half: bool = True, **about: str) -> None:
    kept = {n: (t.half() if half and t.is_floating_point() else t).contiguous().cpu() for n, t in tensors.items()}
    save_file(kept, path, about)


def _about(path: Path, key: str) -> dict[str, object]:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()[key])


def _shape(values: dict[str, object]) -> dict[str, object]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _floats(path: Path) -> dict[str, Tensor]:
    return {n: t.float() if t.is_floating_point() else t for n, t in load_file(path).items()}


def read_networks(folder: Path, device: str) -> Networks:
    """Read the networks from the folder of all parts."""
    path = folder / "generator.safetensors"
    generator = Generator(GeneratorConfig(**_shape(_about(path, "config")))).requires_grad_(False)  # type: ignore[arg-type]
    generator.load_state_dict(_floats(path))
    path = folder / "tokens.safetensors"
    tokens = None
    if path.is_file():
        tokens = GenerativeTokens(
            RestorerConfig(**_shape(_about(path, "config"))),  # type: ignore[arg-type]
            StyleConfig(**_shape(_about(path, "style"))),  # type: ignore[arg-type]
        )
        tokens.load_state_dict(tokens.state_dict() | _floats(path))
        tokens.to(device)
    alex, vgg = (Perceptual(name, _floats(folder / f"{name}.safetensors")) for name in ("alex", "vgg"))
    path = folder / "recognizer.safetensors"
    about = _about(path, "graph")
    weights, names = _floats(path), about["names"]
    assert isinstance(names, dict)
    graph = OnnxGraph({n: weights[k] for n, k in names.items()}, about["nodes"], about["entry"], about["exit"])  # type: ignore[arg-type]
    return Networks(
        generator.to(device),
        Basis(**load_file(folder / "basis.safetensors")).to(device),
        tokens,
        alex.to(device),
        vgg.to(device),
        Recognizer("arcface", graph=graph).to(device),
    )


def write_photographs(folder: Path, faces: np.ndarray, rows: Mapping[int, list[int]]) -> None:
    """Write photographs into a folder: of `faces` (M,S,S,3) uint8 the rows that are truth at 1/1, 1/2 and 1/4."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, kept in rows.items():
        files = []
        for row in kept:
            picture = Image.fromarray(np.asarray(faces[row]))
            if SIDES[part] < picture.width:
                picture = picture.resize((SIDES[part],) * 2, Image.Resampling.BOX)
            file = io.BytesIO()
            picture.save(file, "WEBP", quality=QUALITY[part], method=4)
            files.append(np.frombuffer(file.getvalue(), np.uint8))
        ends = np.cumsum([len(file) for file in files])
        data = np.concatenate(files) if files else np.zeros(0, np.uint8)
        tensors = {"data": torch.from_numpy(data), "ends": torch.from_numpy(ends)}
        save_file(tensors, folder / f"photographs_{part}.safetensors")
        log.info("%d photographs that are truth at 1/%d, %.1f MB", len(files), part, len(data) / 1e6)


def read_photographs(folder: Path) -> dict[int, Tensor]:
    """{part of its size at which it is truth: photographs (M,3,s,s) uint8}, those of the folder.

    Raises:
        RuntimeError: there is none of one kind.
    """
    found = {}
    for path in sorted(folder.glob("photographs_*.safetensors")):
        tensors = load_file(path)
        if not len(tensors["ends"]):
            raise RuntimeError(f"{path} holds no photograph; expected one at least.")
        files = np.split(tensors["data"].numpy(), tensors["ends"].numpy()[:-1])
        with ThreadPoolExecutor() as pool:
            found[int(path.stem.split("_")[1])] = torch.stack(list(pool.map(_decoded, files)))
    return found


def _decoded(file: np.ndarray) -> Tensor:
    picture = Image.open(io.BytesIO(file.tobytes())).convert("RGB")
    return torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())


def rows_to_pack(work: Path, truths: Truths, most: int = LFW) -> dict[int, list[int]]:
    """Which photographs of the train split travel, by the part of their size at which they are truth."""
    rows: dict[int, list[int]] = {1: [], 2: [], 4: []}
    for row in sorted(int(r) for found in truths.rows.values() for r in found):
        rows[truths.part_of(row)].append(row)
    portraits = read_portraits(work)[1]
    others = [p.row for p in portraits if p.collection == "lfw" and p.split == "train" and p.scale > HALF_SCALE]
    chance = np.random.default_rng(0)
    rows[4] += sorted(chance.permutation(others)[:most].tolist())
    return rows


def into_parts(folder: Path, limit: int = LIMIT) -> int:
    """Move the files of a folder into folders in it that may travel, ``part1`` and so on; how many.

    Raises:
        ValueError: a file is too large to travel.
    """
    files = sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: -path.stat().st_size)
    room: list[int] = []
    for path in files:
        size = path.stat().st_size
        if size > limit:
            raise ValueError(f"{path} holds {size} bytes; expected {limit} at most.")
        part = next((i for i, free in enumerate(room) if size <= free), len(room))
        if part == len(room):
            room.append(limit)
        room[part] -= size
        target = folder / f"part{part + 1}"
        target.mkdir(exist_ok=True)
        path.replace(target / path.name)
    return len(room)


def main() -> None:
    """Write the pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--output", type=Path, required=True, help="a folder; what it holds is deleted")
    parser.add_argument("--resume", type=Path, help="folder of the shards to go on from")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    shutil.rmtree(args.output, ignore_errors=True)
    states = {
        name: packed(name, lpips(name, args.assets), count)
        for name, count in (("alex", None), ("vgg", VGG_CONVOLUTIONS))
    }
    write_networks(
        args.output,
        load_generator(args.assets),
        read_basis(args.work),
        None if args.resume else read_tokens(args.work / "generator_latents.pt"),
        states,
        read_graph(asset("arcface", args.assets)),
    )
    for path in sorted(args.resume.glob("*-*.safetensors")) if args.resume else ():
        shutil.copy(path, args.output)
    truths = Truths(args.work, None)
    write_photographs(args.output, truths.pictures, rows_to_pack(args.work, truths))
    for i in range(into_parts(args.output)):
        size = sum(path.stat().st_size for path in (args.output / f"part{i + 1}").iterdir())
        log.info("part %d: %.1f MiB", i + 1, size / (1 << 20))


if __name__ == "__main__":
    main()
