"""Paste Faces."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..core.faces.paste import PasteOptions, paste_faces
from ..core.records import Crops
from .progress import check_interrupt
from .sockets import FACES, CropsSocket, crop_pictures, given_mask, image_of, mask_of, photos_of, schema


class PasteFaces(io.ComfyNode):
    """Restored crops back into their photographs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "PasteFaces",
            FACES,
            ("paste face back", "uncrop face", "face blend"),
            display_name="Paste Faces",
            description="Puts faces back where they were cut out. Everything outside their masks stays as it was.",
            inputs=[
                io.Image.Input("image", tooltip="The photographs that were cropped; or with faces already pasted in."),
                CropsSocket.Input("crops", tooltip="From Crop Faces: where the faces belong."),
                io.Image.Input(
                    "restored",
                    lazy=True,  # where there is no face, no sampler has to run for nothing
                    tooltip="One picture for each crop, in order, of any square size: from Restore Crops, Decode "
                    "Tokens, a sampler, an upscaler.",
                ),
                _amount(
                    "strength",
                    "How much of the restored faces is blended in. 0 gives back the photograph bit for bit; lower it "
                    "when the result is too smooth.",
                ),
                _amount(
                    "color_match",
                    "How far colour and light follow the photograph. Lower it when the sampler was meant to change "
                    "them, such as make-up or relighting.",
                ),
                _amount(
                    "sharpness_match",
                    "How far the face is softened to match the photograph around it. Lower it when the face should be "
                    "as crisp as it can be.",
                ),
                _amount(
                    "grain_match",
                    "How much of the photograph's grain the face gets. Lower it for a clean face in a noisy picture.",
                ),
                io.Mask.Input(
                    "photo_mask",
                    optional=True,
                    tooltip="Where in the photograph anything may be pasted, of its size. LoadImage's empty mask "
                    "counts as none.",
                ),
                io.Mask.Input(
                    "crop_masks",
                    optional=True,
                    tooltip="Masks in place of Crop Faces' own, one for each crop or one for all: to keep a hand or "
                    "hair in front of the face.",
                ),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="The photographs enlarged by other means, such as an upscale model: the faces are pasted "
                    "into them, at their size.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The photographs with the faces in them."),
                io.Mask.Output(display_name="mask", tooltip="How much of each pixel was replaced."),
            ],
        )

    @classmethod
    def check_lazy_status(cls, crops: Crops, restored: Tensor | None = None, **others: object) -> list[str]:
        """What is still needed: restored faces, where there are any."""
        return ["restored"] if len(crops) and restored is None else []

    @classmethod
    def execute(
        cls,
        image: Tensor,
        crops: Crops,
        restored: Tensor | None,
        strength: float,
        color_match: float,
        sharpness_match: float,
        grain_match: float,
        photo_mask: Tensor | None = None,
        crop_masks: Tensor | None = None,
        background: Tensor | None = None,
    ) -> io.NodeOutput:
        """See the class."""
        photos = photos_of(image)
        _check_crop_masks(crop_masks, crops)
        pictures, masks = paste_faces(
            photos,
            crops,
            crops.pixels if restored is None else crop_pictures(restored, crops, "restored"),
            strength,
            PasteOptions(color_match, sharpness_match, grain_match),
            given_mask(crop_masks, len(crops), "crop_masks"),
            given_mask(photo_mask, len(photos), "photo_mask"),
            None if background is None else photos_of(background, "background"),
            progress=check_interrupt,
        )
        assert isinstance(pictures, Tensor) and isinstance(masks, Tensor), "a batch comes back as a batch"
        return io.NodeOutput(image_of(pictures, image if background is None else background), mask_of(masks))


def _amount(name: str, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=1.0, min=0.0, max=1.0, step=0.05, tooltip=f"{tooltip} Costs nothing.")


def _check_crop_masks(masks: Tensor | None, crops: Crops) -> None:
    """Masks of photographs would be squeezed into the crops."""
    if masks is None:
        return
    size = tuple(masks.shape[-2:])
    if size in crops.photos and size != (crops.size, crops.size):
        raise ValueError(
            f"The crop_masks are {size[1]}x{size[0]}, as large as the photograph; expected masks of the crops, "
            f"{crops.size}x{crops.size}. Connect masks of the photograph to photo_mask."
        )
