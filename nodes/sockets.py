"""What travels between nodes: socket types, and the one place where ComfyUI's layout becomes core's and back.

ComfyUI: IMAGE (B,H,W,C) of 1, 3 or 4 channels and MASK (B,H,W), float16 or float32, 0 to 1, on any device. Core:
(B,3,H,W) and (B,1,H,W), float32. Nothing that was given is ever changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from comfy import model_management
from comfy_api.latest import io
from torch import Tensor

from ..core.finite import is_finite
from ..core.records import Crops, PhotoFaces

CATEGORY = "Resemblance"
FACES, REFERENCES, TOKENS, INTEROP = "Faces", "References", "Tokens", "Interop"
PREFIX = "Resemblance"
ESSENTIAL = ("RestoreFaces",)  # also among ComfyUI's essentials, where it has any

RestorerSocket = io.Custom("RESEMBLANCE_RESTORER")
FacesSocket = io.Custom("RESEMBLANCE_FACES")
CropsSocket = io.Custom("RESEMBLANCE_CROPS")
TokensSocket = io.Custom("RESEMBLANCE_TOKENS")
ReferencesSocket = io.Custom("RESEMBLANCE_REFERENCES")
# Core's own since 0.15 and 0.23; by name they work in every version.
BoxesSocket = io.Custom("BOUNDING_BOX")
LandmarksSocket = io.Custom("FACE_LANDMARKS")
SegsSocket = io.Custom("SEGS")
UpscaleSocket = io.Custom("UPSCALE_MODEL")

AUTO = -1.0  # below 0 a weight is left to the restorer, or to the damage: 0.3.75 has no widget that can be empty
BLANK = 64  # LoadImage gives a mask of zeros of this side for a picture without alpha


def schema(
    name: str, room: str, aliases: tuple[str, ...] = (), advanced: tuple[str, ...] = (), **settings: Any
) -> io.Schema:
    """A schema in our category.

    Args:
        name: of the node, without our prefix.
        room: of our category: ``FACES``, ``REFERENCES``, ``TOKENS`` or ``INTEROP``.
        aliases: what users may search for, where ComfyUI knows of them (since 0.11).
        advanced: widgets that are folded away, where ComfyUI can (since 0.4).
        settings: as :class:`io.Schema` takes them.
    """
    known = io.Schema.__dataclass_fields__
    if "search_aliases" in known:
        settings["search_aliases"] = list(aliases)
    if "essentials_category" in known and name in ESSENTIAL:
        settings["essentials_category"] = "Image Tools"
    for entry in settings["inputs"]:
        if entry.id in advanced and hasattr(entry, "advanced"):
            entry.advanced = True
    return io.Schema(node_id=PREFIX + name, category=f"{CATEGORY}/{room}", **settings)


def restorer_input() -> io.Input:
    """The optional restorer."""
    return RestorerSocket.Input(
        "restorer",
        optional=True,
        tooltip="From Load Restorer. Leave it unconnected for the built-in restorer, which needs no file.",
    )


def rows(given: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """What a node that takes lists is given for each of them, as ComfyUI does it: a short list's last goes on."""
    known = {name: values for name, values in given.items() if len(values)}
    count = max(map(len, known.values()))
    return [{name: values[min(number, len(values) - 1)] for name, values in known.items()} for number in range(count)]


def or_none(value: float) -> float | None:
    """A weight from a widget; None where it is left open (below 0)."""
    return None if value < 0 else value


def photos_of(image: Tensor, what: str = "image") -> Tensor:
    """An IMAGE as core takes it: (B,3,H,W) float32, a view where that is possible. Of grey all three are the same.

    Raises:
        ValueError: an empty batch, something that is no IMAGE, or a frame that holds NaN.
    """
    if not isinstance(image, Tensor) or image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"The {what} was {got}; expected an IMAGE (batch, height, width, 1, 3 or 4 channels).")
    if not image.numel():
        raise ValueError(f"The {what} is an empty batch {tuple(image.shape)}; connect at least one picture.")
    for frame, picture in enumerate(image):
        if not is_finite(picture):
            raise ValueError(
                f"Frame {frame} of the {what} holds NaN or infinite values; expected 0 to 1. Check the node that made "
                "it; VAEs and samplers give NaN where half precision overflows."
            )
    return image[..., :3].expand(-1, -1, -1, 3).movedim(-1, 1).float()


def image_of(pictures: Tensor, like: Tensor | None = None) -> Tensor:
    """(B,3,H,W) as an IMAGE, on the device and in the type that ComfyUI wants between nodes.

    Args:
        pictures: from core.
        like: an IMAGE of the same size; a fourth channel that it has is kept.
    """
    image = pictures.movedim(1, -1)
    if like is not None and like.shape[-1] == 4:
        image = torch.cat([image, like[..., 3:].to(image)], -1)
    return _out(image)


def mask_of(masks: Tensor) -> Tensor:
    """(B,1,H,W) as a MASK."""
    return _out(masks[:, 0])


def given_mask(mask: Tensor | None, count: int, what: str) -> Tensor | None:
    """A MASK as core takes it: (count,1,H,W) float32, one mask serving all; None where it stands for none.

    Raises:
        ValueError: another number of masks.
    """
    if mask is None:
        return None
    mask = mask.reshape(-1, 1, *mask.shape[-2:])
    if mask.shape[-2:] == (BLANK, BLANK) and not bool(mask.any()):
        return None
    if len(mask) not in (1, count):
        raise ValueError(f"Got {len(mask)} masks as {what}, but {count} are needed (or 1 for all); give one for each.")
    return mask.float().expand(count, -1, -1, -1)


def crop_pictures(image: Tensor, crops: Crops, what: str) -> Tensor:
    """The pictures (N,3,s,s) that came back for crops; of a batch without faces, the grey tile is dropped.

    Raises:
        ValueError: another number of pictures than of crops.
    """
    pictures = photos_of(image, what)
    if not len(crops) and len(pictures) == 1:
        return pictures.new_zeros(0, 3, crops.size, crops.size)
    if len(pictures) != len(crops):
        raise ValueError(
            f"Got {len(pictures)} pictures as {what} for {len(crops)} crops; give exactly one for each crop, in order."
        )
    return pictures


def check_same_photos(photos: Tensor, faces: PhotoFaces) -> None:
    """Raise ValueError unless the faces were found in a batch of this shape."""
    sizes = tuple((photos.shape[2], photos.shape[3]) for _ in photos)
    if sizes != faces.photos:
        found = f"{len(faces.photos)} of {_size(faces.photos)}"
        raise ValueError(
            f"The faces were found in other photographs: {found}, but got {len(sizes)} of {_size(sizes)}. "
            "Connect the image that the faces were found in."
        )


def _size(photos: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{width}x{height}" for height, width in dict.fromkeys(photos)) or "no size"


def new_output(*shape: int) -> Tensor:
    """Room for an IMAGE, of three channels or more, or a MASK, that is filled bit by bit."""
    if shape[3:] == (1,):
        shape = (*shape[:3], 3)
    return torch.empty(shape, device=model_management.intermediate_device(), dtype=_dtype())


def _out(tensor: Tensor) -> Tensor:
    return tensor.to(model_management.intermediate_device(), _dtype()).contiguous()


def _dtype() -> torch.dtype:
    return getattr(model_management, "intermediate_dtype", lambda: torch.float32)()
