"""The list of nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .boxes import FacesFromBoxes
from .compare import CompareIdentity
from .crop import CropFaces
from .detect import DetectFaces
from .example import ExamplePhoto
from .load import LoadRestorer
from .paste import PasteFaces
from .references import EncodeReferences, MatchReferences
from .refine import RefineLatent
from .restore import RestoreFaces
from .restore_crops import RestoreCrops
from .segs import FacesToSegs, SegsToFaces
from .select import SelectFaces
from .tokens import DecodeTokens, EncodeTokens, RestoreTokens
from .track import TrackFaces
from .transfer import TransferTexture

NODES: tuple[type[io.ComfyNode], ...] = (
    RestoreFaces,
    LoadRestorer,
    DetectFaces,
    FacesFromBoxes,
    SegsToFaces,
    TrackFaces,
    SelectFaces,
    EncodeReferences,
    MatchReferences,
    CropFaces,
    RestoreCrops,
    EncodeTokens,
    RefineLatent,
    TransferTexture,
    RestoreTokens,
    DecodeTokens,
    PasteFaces,
    CompareIdentity,
    FacesToSegs,
    ExamplePhoto,
)


class ResemblanceExtension(ComfyExtension):
    """What ComfyUI loads."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes, in the order of the design's table."""
        return list(NODES)
