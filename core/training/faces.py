"""Generated faces to train on: MobileStyleGAN, run through OpenVINO and averaged down to 512 px.

The generator is distilled from StyleGAN2-FFHQ, so its faces are aligned to the FFHQ template. Face `i` depends on `i`
alone (its latent is drawn from seed `i`), so a set can be extended, and its people are named by their numbers.

    python -m resemblance.core.training.faces --work WORK --count 4000
"""

from __future__ import annotations

import argparse
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np

from .assets import asset

log = logging.getLogger(__name__)

LATENT = 512
STYLES = 23  # modulations: the first convolution's, three a layer of seven, the picture's
TRUNCATION = (0.6, 0.95)  # below, faces look alike; above, one in five has smears
MEAN_LATENTS = 4096


class FaceGenerator:
    """Latent → w → face, on the CPU through OpenVINO.

    Args:
        assets: folder of the asset packages, see :mod:`.assets`.
        size: side of the faces in px; the generator's 1024 px are averaged down to it inside its graph.
    """

    def __init__(self, assets: str | Path | None = None, size: int = 512) -> None:
        import openvino
        from openvino import opset13 as ops

        core = openvino.Core()
        self._mapping = core.compile_model(core.read_model(asset("generator_mapping", assets)), "CPU")
        model = _with_styles(core.read_model(asset("generator_synthesis", assets)))
        if size != 1024:
            k = 1024 // size
            image = model.outputs[0].get_node().input_value(0)
            pooled = ops.avg_pool(image, [k, k], [0, 0], [0, 0], [k, k], False)
            model = openvino.Model([pooled], model.get_parameters())
        self._synthesis = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False})
        self.mean = np.mean([self.map(row[None])[0] for row in mean_latents()], axis=0, keepdims=True)

    def map(self, z: np.ndarray) -> np.ndarray:
        """Latents (1,512) to styles w (1,512)."""
        return self._mapping(z)[0]

    def synthesize(self, w: np.ndarray) -> np.ndarray:
        """Styles w, (1,512) for all modulations or (23,512) one each, to a face, uint8 RGB (size, size, 3)."""
        face = self._synthesis(np.broadcast_to(w, (STYLES, LATENT)).astype(np.float32))[0][0]
        return np.clip(face.transpose(1, 2, 0) * 127.5 + 127.5 + 0.5, 0, 255).astype(np.uint8)

    def person(self, index: int) -> np.ndarray:
        """The style w (1,512) of person number `index`, truncated by an amount that is its own."""
        z, psi = draw_person(index)
        return self.mean + psi * (self.map(z) - self.mean)


def mean_latents() -> np.ndarray:
    """The latents (4096,512) whose styles' mean stands for the mean of all."""
    return np.random.default_rng(0).standard_normal((MEAN_LATENTS, LATENT)).astype(np.float32)


def draw_person(index: int) -> tuple[np.ndarray, float]:
    """The latent (1,512) of person number `index`, and how far from the mean style its own is kept."""
    rng = np.random.default_rng(index)
    psi = rng.uniform(*TRUNCATION)
    return rng.standard_normal((1, LATENT)).astype(np.float32), psi


def _with_styles(model: Any) -> Any:
    """The synthesis network, with a style (23,512) for each modulation in place of one for all."""
    import openvino
    from openvino import opset13 as ops

    (shared,) = model.get_parameters()
    styles = ops.parameter([STYLES, LATENT], np.float32, "styles")
    rows = ops.split(styles, 0, STYLES).outputs()
    modulations = {}
    for reader in shared.output(0).get_target_inputs():
        name = reader.get_node().get_friendly_name()
        if re.fullmatch(r"Gemm_\d+/WithoutBiases", name):
            modulations[int(re.findall(r"\d+", name)[0])] = reader
        else:
            reader.replace_source_output(rows[0])  # asks for the batch's size only
    for (_, reader), row in zip(sorted(modulations.items()), rows, strict=True):  # numbered in the network's order
        reader.replace_source_output(row)
    return openvino.Model(model.outputs, [styles])


def open_faces(path: Path, count: int, size: int) -> np.ndarray:
    """A memory-mapped uint8 array (count, size, size, 3), grown when the file holds fewer; zero where not yet drawn."""
    bytes_needed = count * size * size * 3
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if file.tell() < bytes_needed:
            file.truncate(bytes_needed)
    return np.memmap(path, np.uint8, "r+", shape=(path.stat().st_size // (size * size * 3), size, size, 3))


def main() -> None:
    """Draw the faces that are still missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the faces")
    parser.add_argument("--assets", help="folder of the asset packages (default: $RESEMBLANCE_ASSETS)")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--size", type=int, default=512)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    faces = open_faces(args.work / f"generated_{args.size}.u8", args.count, args.size)
    generator = FaceGenerator(args.assets, args.size)
    for i in range(args.count):
        if not faces[i, :: args.size // 8].any():
            faces[i] = generator.synthesize(generator.person(i))
        if i % 100 == 99:
            log.info("%d of %d faces", i + 1, args.count)


if __name__ == "__main__":
    main()
