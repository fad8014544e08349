"""Who a face is: embeddings whose cosine, calibrated (:mod:`.evidence`), tells whether two faces show one person.

The built-in embedder was trained on damaged faces as well as on good ones, and decides on all of them unless told
otherwise. insightface's may decide on clean ones.
"""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from ..batches import face_batches
from ..devices import falls_back
from ..files.checkpoints import about, fingerprint_file, read
from ..files.networks import filled
from ..models.embedding import RECOGNITION_SIZE, EmbeddingConfig, EmbeddingNet, RecognitionCrop
from .detect import Folders, find_files
from .evidence import Calibration

log = logging.getLogger(__name__)

EMBEDDERS = ("insightface", "built-in")
WEIGHTS = Path(__file__).parents[1] / "weights" / "embedding.safetensors"
# Recognition networks of insightface's packs antelopev2 and auraface, buffalo_l and buffalo_m, buffalo_s: best first.
FILES = ("glintr100.onnx", "w600k_r50.onnx", "w600k_mbf.onnx")


class Embedder(Protocol):
    """A recognition network.

    Attributes:
        name: one of ``EMBEDDERS``.
        fingerprint: sixteen hex digits that stand for its weights, without which embeddings cannot be compared.
        calibration: what its cosines mean.
        network: what memory management may move between devices; None where another library holds it.
    """

    name: str
    fingerprint: str
    calibration: Calibration

    @property
    def network(self) -> nn.Module | None:  # noqa: D102 - see above
        ...

    def embed(self, faces: Tensor) -> Tensor:
        """Embed faces.

        Args:
            faces: (N,3,512,512) float RGB in [0,1], aligned to the template, on any device; N may be 0.

        Returns:
            (N,D) float32 of length 1, on the same device, without gradients.

        Raises:
            ValueError: the faces have another shape or whole numbers.
        """
        ...


@dataclass(frozen=True, eq=False)
class Embedders:
    """What a program tells people apart by.

    Attributes:
        identity: the built-in embedder, which knows damaged faces.
        matching: the one that references are matched by where a face is clean; the same, unless insightface's was
            chosen.
    """

    identity: Embedder
    matching: Embedder


class BuiltinEmbedder:
    """The embedding network that ships with the project.

    Args:
        path: weights; the shipped ones unless others were trained.
        device: where it runs.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file holds something else.
    """

    name = "built-in"

    def __init__(self, path: Path = WEIGHTS, device: torch.device | str = "cpu") -> None:
        state = {name: tensor.float() for name, tensor in read(path).items()}
        self.fingerprint = about(path).get("fingerprint", "")
        self.calibration = read_calibration(path, self.name)
        network = filled(
            lambda state: EmbeddingNet(EmbeddingConfig.from_state(state)),
            state,
            f"the embedding network in '{path}'",
            lambda network: network.embed(torch.zeros(1, 3, RECOGNITION_SIZE, RECOGNITION_SIZE)),
            "cpu",
        )
        self._length = network.config.dim
        # Small enough for float32 everywhere, and embeddings then do not depend on what a device is fast with.
        self.network: nn.Module = network.to(device).to(memory_format=torch.channels_last)  # faster on a CPU

    @falls_back
    @torch.no_grad()
    def embed(self, faces: Tensor) -> Tensor:
        """See :class:`Embedder`."""
        device = next(self.network.parameters()).device
        parts = [self.network(batch.to(device)) for batch in face_batches(faces, device)]
        return torch.cat([torch.zeros(0, self._length, device=device), *parts]).to(faces.device)


class InsightFaceEmbedder:
    """A recognition network of insightface 2.1 or newer, from an ONNX file that the user has.

    Licence: insightface's model licence. Source: Deng et al., "ArcFace", CVPR 2019.

    Args:
        paths: ONNX files, best first; the first one that is a recognition network is taken.
        device: ``"cpu"``, or a CUDA device when onnxruntime has its CUDA provider.

    Raises:
        ImportError: insightface or onnxruntime is not installed.
        ValueError: none of the files is a recognition network.
    """

    name = "insightface"
    network = None

    def __init__(self, paths: Sequence[Path], device: torch.device | str = "cpu") -> None:
        from insightface.model_zoo import get_model

        cuda = torch.device(device).type == "cuda"
        providers = [*(["CUDAExecutionProvider"] if cuda else []), "CPUExecutionProvider"]
        self._crop = RecognitionCrop()
        for path in paths:
            try:
                model = get_model(str(path), providers=providers)
            # onnxruntime's errors have no common base but Exception; what it said goes to the log.
            except Exception as error:
                log.warning("'%s' cannot be read as an ONNX network: %s", path, error)
                continue
            if getattr(model, "taskname", None) == "recognition":
                self.path, self._model = path, model
                self.fingerprint = fingerprint_file(path)
                self.calibration = read_calibration(WEIGHTS, self.name)
                return
        raise ValueError(
            f"None of {[str(p) for p in paths]} is a face-recognition network; expected for example w600k_r50.onnx of "
            "buffalo_l. Put one into the folder, or choose the embedder 'built-in'."
        )

    @torch.no_grad()
    def embed(self, faces: Tensor) -> Tensor:
        """See :class:`Embedder`."""
        parts = [torch.zeros(0, self._model.output_shape[1])]
        for batch in face_batches(faces, torch.device("cpu")):
            pixels = self._crop(batch.cpu()) * 255
            parts.append(torch.from_numpy(self._model.forward(pixels.numpy())).float())
        return nn.functional.normalize(torch.cat(parts)).to(faces.device)


def read_calibration(path: Path, name: str) -> Calibration:
    """What the cosines of an embedder mean, as the built-in embedder's file `path` says.

    insightface's was measured on w600k_mbf and stands for all its networks, whose loss is the same.

    Raises:
        ValueError: the file does not say.
    """
    try:
        return Calibration(tuple(json.loads(about(path)["calibration"])[name]))
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"'{path}' does not say what cosines of '{name}' mean; expected weights that calibration.py has finished. "
            "Install the package again, or name another file."
        ) from error


def load_embedder(
    choice: str = "auto", device: torch.device | str = "cpu", models_dir: Folders = None
) -> BuiltinEmbedder | InsightFaceEmbedder:
    """Load an embedder from disk; nothing is ever downloaded.

    Args:
        choice: ``"insightface"``, ``"built-in"``, or ``"auto"``: insightface where it is installed and its weights are
            in `models_dir`.
        device: where it runs.
        models_dir: a folder, or several, searched three levels deep for ``FILES``: ComfyUI's ``models`` folder will do.

    Raises:
        ValueError: the choice is unknown or not installed, or its file holds something else.
        FileNotFoundError: `models_dir` has no weights for it.
        OSError: a file cannot be read.
    """
    if choice not in ("auto", *EMBEDDERS):
        raise ValueError(f"The embedder was '{choice}'; expected auto, {', '.join(EMBEDDERS)}.")
    files = find_files(FILES, models_dir)
    installed = importlib.util.find_spec("insightface") is not None
    if choice == "auto" and files and installed:
        try:
            return _load_insightface(files, device)
        except ValueError as error:
            log.warning("The embedder 'insightface' is passed over: %s", error)
    if choice != "insightface":
        return BuiltinEmbedder(device=device)
    if not installed:
        raise ValueError(
            "The embedder 'insightface' needs the package insightface: run 'pip install insightface onnxruntime', or "
            "choose 'built-in'."
        )
    if not files:
        raise FileNotFoundError(
            f"The embedder 'insightface' found no {' or '.join(FILES)} in the folders of models ({models_dir}). Put "
            "the file there, name its folder, or choose 'built-in'."
        )
    return _load_insightface(files, device)


def load_embedders(
    choice: str = "built-in", device: torch.device | str = "cpu", models_dir: Folders = None
) -> Embedders:
    """Load the embedders of a program; the arguments and errors are those of :func:`load_embedder`."""
    chosen = load_embedder(choice, device, models_dir)
    identity = chosen if isinstance(chosen, BuiltinEmbedder) else BuiltinEmbedder(device=device)
    return Embedders(identity, chosen)


def _load_insightface(files: Sequence[Path], device: torch.device | str) -> InsightFaceEmbedder:
    try:
        return InsightFaceEmbedder(files, device)
    except ImportError as error:
        raise ValueError(
            f"The package insightface does not load: {error}. Mend its installation, or choose 'built-in'."
        ) from error
