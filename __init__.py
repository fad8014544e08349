"""Resemblance: reference-guided face restoration, as a library, a command line and ComfyUI nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

__version__ = "0.1.0"

WEB_DIRECTORY = "./nodes/web"


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI calls to get the nodes; only here is anything of ComfyUI imported."""
    from .nodes.extension import ResemblanceExtension

    return ResemblanceExtension()
