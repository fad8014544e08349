"""Track Faces: which face of a frame is which of the next."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..core.faces.preview import draw_faces
from ..core.records import PhotoFaces
from ..core.video.smoothing import steady as held
from ..core.video.tracks import GAP, track_faces
from . import models
from .detect import PREVIEW_FRAMES, PREVIEW_SIDE
from .progress import PhotoBar
from .sockets import FACES, FacesSocket, check_same_photos, photos_of, schema


class TrackFaces(io.ComfyNode):
    """Faces of a video, followed and held steady."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "TrackFaces",
            FACES,
            ("video face", "face tracking", "stabilize faces", "flicker", "jitter"),
            display_name="Track Faces",
            description="Follows faces through the frames of a video, fills short gaps and holds them steady, so that "
            "restored faces tremble less. Put it between Detect Faces and Crop Faces.",
            inputs=[
                FacesSocket.Input("faces", tooltip="From Detect Faces, of all frames."),
                io.Image.Input("image", tooltip="The frames in which the faces were found, in order."),
                io.Int.Input(
                    "gap",
                    default=GAP,
                    min=0,
                    max=60,
                    tooltip="Fills so many frames in which a face was missed. Raise it when a face comes and goes; 0 "
                    "fills none.",
                ),
                io.Boolean.Input(
                    "steady",
                    default=True,
                    tooltip="Holds faces still that tremble only because they are found anew in each frame. Real "
                    "movement is kept. Costs nothing.",
                ),
            ],
            outputs=[
                FacesSocket.Output(display_name="faces", tooltip="The same faces with tracks, and those filled in."),
                io.Int.Output(display_name="count", tooltip="How many tracks there are."),
            ],
        )

    @classmethod
    def execute(cls, faces: PhotoFaces, image: Tensor, gap: int, steady: bool) -> io.NodeOutput:
        """See the class."""
        photos = photos_of(image)
        check_same_photos(photos, faces)
        bar = PhotoBar(len(photos))
        embed = models.get_embedders(models.BUILT_IN).identity.embed
        found = track_faces(photos, faces.faces, gap, embed, bar.finish)
        if steady:
            found = held(found)
        tracks = {face.track for face in found}
        shown = []
        for number in range(min(len(photos), PREVIEW_FRAMES)):
            # Under the number of its track a face keeps its colour.
            own = [replace(face, index=face.track or 0) for face in found if face.image == number]
            shown.append(draw_faces(photos[number], own, PREVIEW_SIDE))
        preview = ui.PreviewImage(torch.stack(shown).movedim(1, -1), cls=cls)
        return io.NodeOutput(PhotoFaces(tuple(found), faces.photos), len(tracks), ui=preview)
