"""SCRFD through insightface 2.1 or newer, from an ONNX file that the user has (licence: insightface's model licence).

Source: Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

log = logging.getLogger(__name__)

# As in the packs buffalo_l, buffalo_m, buffalo_s, antelopev2 and auraface, and as published one by one.
FILES = ("det_*.onnx", "scrfd_*.onnx")


class InsightFaceBackend:
    """SCRFD.

    Args:
        paths: ONNX files, best first; the first one that gives five points is taken.
        device: ``"cpu"``, or a CUDA device when onnxruntime has its CUDA provider.

    Raises:
        ImportError: insightface or onnxruntime is not installed.
        ValueError: none of the files is an SCRFD with five points.
    """

    name = "insightface"
    network = None

    def __init__(self, paths: Sequence[Path], device: torch.device | str = "cpu") -> None:
        from insightface.model_zoo import get_model

        cuda = torch.device(device).type == "cuda"
        providers = [*(["CUDAExecutionProvider"] if cuda else []), "CPUExecutionProvider"]
        for path in paths:
            try:
                model = get_model(str(path), providers=providers)
            # onnxruntime's errors have no common base but Exception; what it said goes to the log.
            except Exception as error:
                log.warning("'%s' cannot be read as an ONNX network: %s", path, error)
                continue
            if getattr(model, "use_kps", False):
                self.path, self._model = path, model
                return
        raise ValueError(
            f"None of {[str(p) for p in paths]} is an SCRFD detector with five points; expected for example "
            "det_10g.onnx of buffalo_l. Put one into the folder, or choose the detector 'built-in'."
        )

    def find(self, picture: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
        """Faces in a picture (3,H,W), RGB in [0,1]: boxes (n,4), points (n,5,2) [px] and scores (n,)."""
        height, width = picture.shape[-2:]
        padded = F.pad(picture.cpu(), (0, -width % 32, 0, -height % 32))
        image = (padded * 255).round().byte().flip(0).permute(1, 2, 0).contiguous().numpy()  # BGR
        found, points = self._model.detect(image, input_size=image.shape[1::-1], det_thresh=threshold)
        rows = torch.from_numpy(found).float()
        return rows[:, :4], torch.from_numpy(points).float(), rows[:, 4]
