"""Encode, Restore and Decode Tokens: a restorer with a codebook, taken apart."""

from __future__ import annotations

import torch
from comfy import model_management
from comfy_api.latest import io
from torch import Tensor

from ..core.faces.preview import tinted
from ..core.records import Crops, FaceTokens, Lookup, Restorer
from ..core.restorers.tokens import decode_tokens, encode_tokens, invention_map, restore_tokens
from . import models
from .crop import crops_seen, tiles_of
from .progress import working
from .shown import faces_preview
from .sockets import AUTO, TOKENS, CropsSocket, TokensSocket, mask_of, or_none, restorer_input, schema

TOKEN_MEMORY = 24 << 20  # [bytes] of one face's tokens: CodeFormer's; the built-in restorer's are less than half


class EncodeTokens(io.ComfyNode):
    """Faces to tokens."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "EncodeTokens",
            TOKENS,
            ("CodeFormer encode", "codebook"),
            display_name="Encode Tokens",
            description="Turns cropped faces into tokens: what the face shows, and the code words that come nearest.",
            inputs=[
                CropsSocket.Input("crops", tooltip="From Crop Faces."),
                restorer_input(),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Pictures to encode in place of the crops' own, one for each: a sampler's, an upscaler's.",
                ),
                io.Combo.Input(
                    "lookup",
                    options=["nearest", "top-k", "mean", "auto"],
                    default="auto",
                    tooltip="How code words are taken. nearest takes the likeliest; top-k mixes the k likeliest and "
                    "mean all, which is softer and less likely to be wrong; auto leaves it to the restorer.",
                ),
                io.Int.Input(
                    "k",
                    default=4,
                    min=1,
                    max=64,
                    tooltip="How many code words to mix; used by top-k only. More is softer.",
                ),
                io.Float.Input(
                    "temperature",
                    default=1.0,
                    min=0.05,
                    max=5.0,
                    step=0.05,
                    tooltip="How evenly they are mixed; used by top-k and mean. Low is like nearest, high an even mix.",
                ),
                io.Mask.Input(
                    "damage_mask",
                    optional=True,
                    tooltip="Folds, scratches, tears and ink in the crops, one mask for each: filled from around "
                    "them before the restorer sees them.",
                ),
            ],
            outputs=[TokensSocket.Output(display_name="tokens", tooltip="For Restore Tokens and Decode Tokens.")],
        )

    @classmethod
    def execute(
        cls,
        crops: Crops,
        lookup: str,
        k: int,
        temperature: float,
        restorer: Restorer | None = None,
        image: Tensor | None = None,
        damage_mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """See the class."""
        restorer = restorer or models.get_restorer()
        crops = crops_seen(crops, image, damage_mask)
        _check_room(crops)
        with working(restorer, len(crops), "encode") as progress:
            return io.NodeOutput(encode_tokens(crops, restorer, Lookup(lookup, k, temperature), progress))


class RestoreTokens(io.ComfyNode):
    """How content and quality are mixed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "RestoreTokens",
            TOKENS,
            ("CodeFormer fidelity", "CodeFormer weight"),
            display_name="Restore Tokens",
            description="Sets how much of the face itself and how much of the codebook goes into the result.",
            inputs=[
                TokensSocket.Input("tokens", tooltip="From Encode Tokens."),
                io.Float.Input(
                    "content",
                    default=AUTO,
                    min=AUTO,
                    max=1.0,
                    step=0.05,
                    tooltip="How much is taken from the face itself: 0 is the codebook's face, 1 closest to the input "
                    "(CodeFormer's w). Raise it when the person is not recognised, lower it when damage shows. "
                    "auto (-1) is the restorer's own choice. Costs nothing.",
                ),
                io.Float.Input(
                    "quality",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much texture is taken from the codebook: 0 leaves the input's own. Lower it when skin "
                    "looks painted. CodeFormer knows 1 only.",
                ),
            ],
            outputs=[
                TokensSocket.Output(display_name="tokens", tooltip="For Decode Tokens."),
                io.Mask.Output(
                    display_name="invention_map",
                    tooltip="Where the code words differ from what the face itself shows, by the weights set: white "
                    "differs most, and is most likely invented.",
                ),
            ],
        )

    @classmethod
    def execute(cls, tokens: FaceTokens, content: float, quality: float) -> io.NodeOutput:
        """See the class."""
        tokens = restore_tokens(tokens, or_none(content), quality)
        invented = invention_map(tokens)
        pictures = map(tinted, tokens.crops.pixels, invented)
        shown = faces_preview(cls, tokens.crops.faces, pictures, ["likely invented"] * len(tokens))
        masks = mask_of(invented if len(tokens) else torch.zeros(1, *invented.shape[1:]))
        return io.NodeOutput(tokens, masks, ui=shown)


class DecodeTokens(io.ComfyNode):
    """Tokens to faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """See the class."""
        return schema(
            "DecodeTokens",
            TOKENS,
            ("CodeFormer decode",),
            display_name="Decode Tokens",
            description="Draws the faces from their tokens, in the geometry of the crops they came from.",
            inputs=[TokensSocket.Input("tokens", tooltip="From Restore Tokens or Encode Tokens.")],
            outputs=[
                io.Image.Output(
                    display_name="image", tooltip="One picture for each crop, for Paste Faces or a sampler."
                )
            ],
        )

    @classmethod
    def execute(cls, tokens: FaceTokens) -> io.NodeOutput:
        """See the class."""
        with working(tokens.restorer, len(tokens), "decode") as progress:
            return io.NodeOutput(tiles_of(decode_tokens(tokens, progress)))


def _check_room(crops: Crops) -> None:
    needed = len(crops) * TOKEN_MEMORY
    free = model_management.get_free_memory(crops.pixels.device)
    if needed > free:
        raise ValueError(
            f"The tokens of {len(crops)} faces may need {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free; "
            "use Restore Crops or Restore Faces, which hold no tokens, or give fewer images at a time."
        )
