"""What the page did, as a graph that ComfyUI opens: the same steps, nodes and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from ...references.names import NOBODY
from ...refinement import RefinementOptions

COMFY = "0.3.75"  # the core nodes' version that the sockets below are of
GAP = 70  # [px] between columns
TITLE = 30  # [px] that a node's title takes above it


@dataclass(frozen=True)
class Kind:
    """A node as graphs hold it: its inputs with wires and then those with widgets, its outputs, its size [px].

    An input that need not be connected ends in ``?``.
    """

    wires: tuple[tuple[str, str], ...]
    widgets: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    size: tuple[int, int]


_IMAGE = ("image", "IMAGE")
_FACES = ("faces", "RESEMBLANCE_FACES")
_CROPS = ("crops", "RESEMBLANCE_CROPS")
_TOKENS = ("tokens", "RESEMBLANCE_TOKENS")
_RESTORER = ("restorer?", "RESEMBLANCE_RESTORER")
_REFERENCES = ("references", "RESEMBLANCE_REFERENCES")
_MAYBE_REFERENCES = ("references?", "RESEMBLANCE_REFERENCES")
_MASK = ("mask", "MASK")
_DAMAGE = ("damage_mask?", "MASK")

KINDS = {
    "LoadImage": Kind(
        (), (("image", "COMBO"), ("upload", "IMAGEUPLOAD")), (("IMAGE", "IMAGE"), ("MASK", "MASK")), (290, 330)
    ),
    "SaveImage": Kind((("images", "IMAGE"),), (("filename_prefix", "STRING"),), (), (330, 338)),
    "ResemblanceEncodeReferences": Kind(
        (_IMAGE, _RESTORER, _MAYBE_REFERENCES, *((f"image_{number}?", "IMAGE") for number in range(2, 6))),
        (("person", "STRING"), ("weight", "FLOAT"), ("embedder", "COMBO")),
        (_REFERENCES, ("report", "STRING")),
        (290, 230),
    ),
    "ResemblanceDetectFaces": Kind(
        (_IMAGE,),
        (("detector", "COMBO"), ("threshold", "FLOAT"), ("min_size", "INT"), ("max_faces", "INT"), ("order", "COMBO")),
        (_FACES, ("boxes", "BOUNDING_BOX")),
        (290, 454),
    ),
    "ResemblanceMatchReferences": Kind(
        (_FACES, _IMAGE, _REFERENCES),
        (("threshold", "FLOAT"), ("manual", "STRING")),
        (_FACES, ("report", "STRING")),
        (330, 360),
    ),
    "ResemblanceSelectFaces": Kind(
        (_FACES,),
        (
            ("order", "COMBO"),
            ("indices", "STRING"),
            ("min_size", "INT"),
            ("max_size", "INT"),
            ("min_sharpness", "FLOAT"),
            ("max_sharpness", "FLOAT"),
        ),
        (_FACES, ("count", "INT")),
        (330, 198),
    ),
    "ResemblanceCropFaces": Kind(
        (_FACES, _IMAGE, _DAMAGE), (("size", "INT"), ("margin", "FLOAT")), (_CROPS, _IMAGE, _MASK), (290, 126)
    ),
    "ResemblanceEncodeTokens": Kind(
        (_CROPS, _RESTORER, ("image?", "IMAGE"), _DAMAGE),
        (("lookup", "COMBO"), ("k", "INT"), ("temperature", "FLOAT")),
        (_TOKENS,),
        (290, 170),
    ),
    "ResemblanceRefineLatent": Kind(
        (_TOKENS, _MAYBE_REFERENCES),
        (("steps", "INT"), ("identity", "FLOAT"), ("seed", "INT"), ("candidates", "INT")),
        (_TOKENS, ("identity_mask", "MASK"), ("spread_map", "MASK"), ("report", "STRING")),
        (290, 420),
    ),
    "ResemblanceTransferTexture": Kind(
        (_TOKENS, _REFERENCES),
        (("strength", "FLOAT"),),
        (_TOKENS, ("attribution_map", "IMAGE"), ("report", "STRING")),
        (290, 360),
    ),
    "ResemblanceRestoreTokens": Kind(
        (_TOKENS,), (("content", "FLOAT"), ("quality", "FLOAT")), (_TOKENS, ("invention_map", "MASK")), (290, 330)
    ),
    "ResemblanceDecodeTokens": Kind((_TOKENS,), (), (_IMAGE,), (290, 46)),
    "ResemblancePasteFaces": Kind(
        (
            _IMAGE,
            _CROPS,
            ("restored", "IMAGE"),
            ("photo_mask?", "MASK"),
            ("crop_masks?", "MASK"),
            ("background?", "IMAGE"),
        ),
        (("strength", "FLOAT"), ("color_match", "FLOAT"), ("sharpness_match", "FLOAT"), ("grain_match", "FLOAT")),
        (_IMAGE, _MASK),
        (330, 230),
    ),
}


@dataclass(frozen=True)
class Settings:
    """How faces are drawn.

    Attributes:
        content: 0 to 1, see :func:`...restorers.tokens.restore_tokens`.
        quality: 0 to 1, likewise.
        strength: 0 to 1, how much is taken from references.
        steps: 0 to 8, of refinement.
    """

    content: float = 1.0
    quality: float = 1.0
    strength: float = 1.0
    steps: int = 0


@dataclass
class _Graph:
    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[list[Any]] = field(default_factory=list)

    def add(
        self, kind: str, column: int, y: int, values: Sequence[object], *wires: tuple[int, int] | None, title: str = ""
    ) -> int:
        """A node whose inputs are wired to (node, its output); returns its number."""
        like, number = KINDS[kind], len(self.nodes) + 1
        inputs: list[dict[str, Any]] = []
        for slot, (name, socket) in enumerate(like.wires):
            wire = wires[slot] if slot < len(wires) else None
            link = None
            if wire:
                link = len(self.links) + 1
                source = self.nodes[wire[0] - 1]["outputs"][wire[1]]
                source["links"] = [*(source["links"] or []), link]
                self.links.append([link, *wire, number, slot, source["type"]])
            optional = {"shape": 7} if name.endswith("?") else {}
            inputs.append({"name": name.rstrip("?"), **optional, "type": socket, "link": link})
        inputs += [{"name": n, "type": t, "widget": {"name": n}, "link": None} for n, t in like.widgets]
        ours = kind.startswith("Resemblance")
        node = {
            "id": number,
            "type": kind,
            "pos": [column * (330 + GAP), y],
            "size": list(like.size),
            "flags": {},
            "order": number - 1,
            "mode": 0,
            "inputs": inputs,
            "outputs": [{"name": n, "type": t, "links": None} for n, t in like.outputs],
            "properties": {
                "Node name for S&R": kind,
                "cnr_id": "resemblance" if ours else "comfy-core",
                "ver": version("resemblance") if ours else COMFY,
            },
            "widgets_values": list(values),
        }
        self.nodes.append(node | ({"title": title} if title else {}))
        return number


def workflow(
    photo: str,
    detector: str,
    indices: Sequence[int],
    references: Sequence[tuple[str, str]],
    manual: dict[int, str | None],
    settings: Settings,
    most_faces: int,
) -> dict[str, Any]:
    """The graph that restores a photograph as the page did.

    Args:
        photo: name of the photograph's file, to be put into ComfyUI's folder ``input``, as those of the references.
        detector: which found the faces.
        indices: of the faces to restore.
        references: (file name, person) of each photograph that is read.
        manual: {index of a face: person, or None for nobody}, named by hand.
        settings: of the sliders.
        most_faces: at most so many faces are found.

    Returns:
        A workflow in the form that ComfyUI's frontend saves and opens.
    """
    graph = _Graph()
    image = graph.add("LoadImage", 0, 0, [photo, "image"], title="The photograph")
    faces = graph.add("ResemblanceDetectFaces", 0, 410, [detector, 0.5, 16, most_faces, "left-right"], (image, 0))
    column, people = 1, None
    for row, (name, person) in enumerate(references):
        y = row * 410
        picture = graph.add("LoadImage", column, y, [name, "image"], title=f"Reference {row + 1}")
        onto, values = (people, 0) if people else None, [person, 1, "built-in"]
        people = graph.add("ResemblanceEncodeReferences", column + 1, y, values, (picture, 0), None, onto)
    if people:
        column += 2
        by_hand = ", ".join(f"{face + 1}={person or NOBODY}" for face, person in sorted(manual.items()))
        wires = (faces, 0), (image, 0), (people, 0)
        faces = graph.add("ResemblanceMatchReferences", column, 0, [-1, by_hand], *wires)
    chosen = ", ".join(str(face + 1) for face in indices)
    faces = graph.add("ResemblanceSelectFaces", column, 440, ["number", chosen, 0, 0, 0, 1], (faces, 0))
    crops = graph.add("ResemblanceCropFaces", column, 720, [512, 0], (faces, 0), (image, 0))
    tokens = graph.add("ResemblanceEncodeTokens", column, 930, ["nearest", 4, 1], (crops, 0))
    column += 1
    read = (people, 0) if people else None
    if settings.steps:
        plain = RefinementOptions()
        values = [settings.steps, plain.identity_scale, plain.seed, "fixed", plain.candidates]
        tokens = graph.add("ResemblanceRefineLatent", column, 0, values, (tokens, 0), read)
    if read:
        tokens = graph.add("ResemblanceTransferTexture", column, 500, [settings.strength], (tokens, 0), read)
    mix = [settings.content, settings.quality]
    tokens = graph.add("ResemblanceRestoreTokens", column, 940, mix, (tokens, 0))
    drawn = graph.add("ResemblanceDecodeTokens", column, 1350, [], (tokens, 0))
    wires = (image, 0), (crops, 0), (drawn, 0)
    pasted = graph.add("ResemblancePasteFaces", column + 1, 0, [1, 1, 1, 1], *wires)
    graph.add("SaveImage", column + 1, 310, ["resemblance/restored"], (pasted, 0), title="Restored")
    return {
        "revision": 0,
        "last_node_id": len(graph.nodes),
        "last_link_id": len(graph.links),
        "nodes": graph.nodes,
        "links": graph.links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }
