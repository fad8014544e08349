"""The models of a program: read from disk once, and handed to all that use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from .faces.detect import Detector, Folders, load_detector
from .faces.identity import Embedders, load_embedders
from .records import Restorer
from .restorers.table import load_restorer


@dataclass(frozen=True, eq=False)
class Models:
    """The networks that a program uses. What it does not use may be None.

    Attributes:
        restorer: what restores an aligned face.
        embedders: needed by references, and by a refinement that looks at who a face is.
        detector: what finds faces.
    """

    restorer: Restorer
    embedders: Embedders | None = None
    detector: Detector | None = None

    @property
    def telling_apart(self) -> Embedders:
        """The embedders.

        Raises:
            ValueError: there are none.
        """
        if self.embedders is None:
            raise ValueError(
                "Got models without embedders; expected them where people are told apart (references, refinement with "
                "an identity or several candidates). Load them with load_models or load_embedders."
            )
        return self.embedders


def load_models(
    weights: Path | None = None,
    detector: str = "auto",
    embedder: str = "built-in",
    device: torch.device | str = "cpu",
    models_dir: Folders = None,
) -> Models:
    """Load a restorer, a detector and the embedders from disk; nothing is ever downloaded.

    Args:
        weights: of the restorer (:func:`.restorers.table.load_restorer`); None is the built-in one.
        detector: see :func:`.faces.detect.load_detector`.
        embedder: see :func:`.faces.identity.load_embedder`.
        device: where they run.
        models_dir: a folder, or several, that are searched for the files of detector and embedder.

    Raises:
        OSError, ValueError, ImportError: as those functions.
    """
    return Models(
        load_restorer(weights, device),
        load_embedders(embedder, device, models_dir),
        load_detector(detector, models_dir, device),
    )
