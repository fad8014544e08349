"""A diffusion checkpoint that any CPU runs: for ComfyUI it is Stable Diffusion 1.5, but small, of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

# By its width and its text's ComfyUI knows the family; the depth is read off the weights.
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 1],
    "transformer_depth": [0, 1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 0, 1, 1],
    "num_heads": 8,
    "num_head_channels": -1,
    "use_spatial_transformer": True,
    "context_dim": 768,
    "legacy": False,
}


def write_checkpoint(path: Path) -> None:
    """Write the checkpoint; ComfyUI's modules have to be importable."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from comfy.sd1_clip import SD1ClipModel
    from comfy.taesd.taesd import TAESD

    parts = {
        "model.diffusion_model.": UNetModel(**UNET),
        "first_stage_model.": TAESD(),
        "cond_stage_model.": SD1ClipModel().clip_l,
    }
    torch.manual_seed(0)
    weights = dict(_weights(parts))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path)


def _weights(parts: dict[str, torch.nn.Module]) -> Iterator[tuple[str, torch.Tensor]]:
    """All weights in half precision: norms as they begin, the others random, so that signals keep their size."""
    for prefix, part in parts.items():
        for name, tensor in part.state_dict().items():
            value = torch.empty(tensor.shape)
            if tensor.ndim > 1:
                torch.nn.init.normal_(value, std=tensor[0].numel() ** -0.5)
            else:
                value.fill_(1.0 if name.endswith(("weight", "vae_scale", "logit_scale")) else 0.0)
            yield prefix + name, value.half().contiguous()
