"""Encode References and Match References: the people whose photographs are at hand, and which face is whose."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from comfy_api.latest import io
from torch import Tensor

from ..core.faces.crop import crop_faces
from ..core.faces.identity import EMBEDDERS
from ..core.records import Face, FaceTokens, PhotoFaces, References, Restorer
from ..core.references.encoding import encode_references
from ..core.references.matching import Match, labelled, look_at, match_looks
from ..core.references.names import check_numbers, parse_manual
from ..core.references.views import ReferencePhoto
from ..core.reports import match_record, references_record
from ..core.sentences import whom
from . import models
from .detect import find_faces
from .progress import PhotoBar, check_interrupt, working
from .shown import FACES as SHOWN_FACES
from .shown import faces_preview
from .sockets import (
    AUTO,
    REFERENCES,
    FacesSocket,
    ReferencesSocket,
    check_same_photos,
    or_none,
    photos_of,
    restorer_input,
    schema,
)

PERSON = "person"  # what a person is called whom nobody named
THRESHOLD = 0.5  # as in Detect Faces
MORE = (2, 3, 4, 5)  # sockets for photographs beside the first


class EncodeReferences(io.ComfyNode):
    """Photographs of a person, to references."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "EncodeReferences",
            REFERENCES,
            ("reference image", "identity", "face model", "same person"),
            display_name="Encode References",
            description="Reads good photographs of one person, from which the restoring nodes take texture.",
            is_input_list=True,
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="Good photographs of one person: a batch, or a list of pictures of any size. Three to five "
                    "are enough.",
                ),
                restorer_input(),
                references_input("To add these photographs to: more of the same person, or other people."),
                io.String.Input(
                    "person",
                    default=PERSON,
                    tooltip="A name of your choice; photographs of one name belong to one person.",
                ),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=0.05,
                    max=10.0,
                    step=0.05,
                    tooltip="How much these photographs count beside the person's others. Lower it for poorer ones.",
                ),
                io.Combo.Input(
                    "embedder",
                    options=[*reversed(EMBEDDERS)],
                    default=models.BUILT_IN,
                    optional=True,
                    tooltip="What tells people apart: the built-in network, or insightface's on clean faces and the "
                    "built-in one on damaged ones. What is added to other references goes by theirs.",
                ),
                *more_images("image", "of the same person, of any size"),
            ],
            outputs=[
                ReferencesSocket.Output(
                    display_name="references", tooltip="For the nodes that restore, match, transfer and compare."
                ),
                io.String.Output(
                    display_name="report", tooltip="Which photographs are used, which count for less, and why, as JSON."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: list[Tensor],
        person: list[str],
        weight: list[float],
        restorer: list[Restorer] | None = None,
        references: list[References] | None = None,
        embedder: list[str] | None = None,
        **more: list[Tensor],
    ) -> io.NodeOutput:
        """See the class."""
        pictures = pictures_of({"image": image, **more})
        found = encode(
            pictures,
            restorer[0] if restorer else models.get_restorer(),
            person[0],
            weight[0],
            references[0] if references else None,
            embedder[0] if embedder else models.BUILT_IN,
        )
        return io.NodeOutput(found, json.dumps(references_record(found), indent=1))


class MatchReferences(io.ComfyNode):
    """Faces, labelled with the people they are."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "MatchReferences",
            REFERENCES,
            ("face recognition", "identify faces", "who is who"),
            display_name="Match References",
            description="Says which face is whose, by likeness to the references or by what you write.",
            inputs=[
                FacesSocket.Input("faces", tooltip="From Detect Faces or Select Faces."),
                io.Image.Input("image", tooltip="The image in which the faces were found."),
                references_input("The people who may be in the image.", optional=False),
                io.Float.Input(
                    "threshold",
                    default=AUTO,
                    min=AUTO,
                    max=0.99,
                    step=0.01,
                    tooltip="How sure it must be that a face shows a person, above 0 and below 1. auto (-1) is "
                    "0.5. Lower it when a damaged face is not recognised, raise it when a stranger is.",
                ),
                manual_input(),
            ],
            outputs=[
                FacesSocket.Output(display_name="faces", tooltip="The same faces, labelled, for Crop Faces."),
                io.String.Output(display_name="report", tooltip="Who was matched, how sure that is, and why, as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls, faces: PhotoFaces, image: Tensor, references: References, threshold: float, manual: str
    ) -> io.NodeOutput:
        """See the class."""
        photos = photos_of(image)
        check_same_photos(photos, faces)
        named = parse_manual(manual)
        check_numbers(named, faces.faces)
        embedders = models.get_embedders(references.embedder)
        bar = PhotoBar(len(photos))
        looks, views = [], list[Tensor]()
        for number in range(len(photos)):
            own = [face for face in faces.faces if face.image == number]
            crops = crop_faces(photos, own, progress=check_interrupt)
            looks.append(look_at(crops, references, embedders))
            views += crops.pixels[: SHOWN_FACES - len(views)].clone()
            bar.finish()
        # All together: a face that stays in place from frame to frame is judged by all of them.
        matches = match_looks(looks, references, or_none(threshold), named)
        known = [face for look in looks for face in look.faces]
        named_faces = PhotoFaces(tuple(map(labelled, known, matches)), faces.photos)
        report = json.dumps(list(map(matched_record, known, matches)), indent=1)
        return io.NodeOutput(named_faces, report, ui=faces_preview(cls, known, views, map(whom, matches)))


def references_input(tooltip: str, optional: bool = True) -> io.Input:
    """References, from Encode References."""
    return ReferencesSocket.Input("references", optional=optional, tooltip=f"From Encode References. {tooltip}")


def more_images(name: str, what: str) -> list[io.Input]:
    """Further sockets for photographs, ``name_2`` to ``name_5``."""
    return [
        io.Image.Input(f"{name}_{number}", optional=True, tooltip=f"One more photograph, or several, {what}.")
        for number in MORE
    ]


def pictures_of(given: Mapping[str, Sequence[Tensor | None]]) -> list[Tensor]:
    """All pictures (3,H,W) that came through some sockets as lists of batches, in the sockets' order."""
    batches = [(batch, name) for name, batches in sorted(given.items()) for batch in batches if batch is not None]
    return [picture for batch, name in batches for picture in photos_of(batch, name)]


def manual_input(optional: bool = False) -> io.Input:
    """Who is who, by hand."""
    return io.String.Input(
        "manual",
        default="",
        placeholder="e.g. 1=anna, 2=none",
        optional=optional,
        tooltip="Who is who, by the numbers that Detect Faces draws, such as 1=anna, 2=none. It wins over likeness; "
        "use it on faces too damaged to be recognised.",
    )


def encode(
    pictures: Sequence[Tensor],
    restorer: Restorer,
    person: str,
    weight: float = 1.0,
    onto: References | None = None,
    embedder: str = models.BUILT_IN,
    show: Callable[[float], None] | None = None,
) -> References:
    """References of one person's pictures (3,H,W), added to others, whose embedder then holds.

    Raises:
        ValueError: none of the pictures can be used; else as :func:`..core.references.encoding.encode_references`.
    """
    embedders = models.get_embedders(onto.embedder if onto else embedder)
    known = sum(len(p) for p in onto.people if p.name == person) if onto else 0
    photos = [
        ReferencePhoto(picture, f"{person} {number}", person, weight)
        for number, picture in enumerate(pictures, known + 1)
    ]
    with working(restorer, len(photos), "references", show) as progress:
        found = encode_references(photos, restorer, embedders, detect_all, onto, progress)
    if person not in [p.name for p in found.people]:
        reasons = "; ".join(f"{source}: {reason}" for source, reason in found.refused)
        raise ValueError(f"None of the photographs of '{person}' can be used ({reasons}). Give at least one good one.")
    return found


def labelled_tokens(tokens: FaceTokens, matches: Sequence[Match]) -> FaceTokens:
    """The tokens with faces that carry whom they show, and how sure that is: the less, the less is taken."""
    faces = tuple(map(labelled, tokens.crops.faces, matches))
    return replace(tokens, crops=replace(tokens.crops, faces=faces))


def detect_all(photos: Tensor) -> list[Face]:
    """All faces, found as Detect Faces finds them by default, but small ones too."""
    return find_faces(photos, models.get_detector("auto"), THRESHOLD, 1, 0)


def matched_record(face: Face, match: Match) -> dict[str, object]:
    """Whom a face shows, for a report."""
    return {
        "image": face.image,
        "index": face.index,
        "number": face.number,
        "person": match.person,
        **match_record(match),
    }
