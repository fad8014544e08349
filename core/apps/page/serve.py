"""``resemblance app``: the server behind the page."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import tempfile
import threading
from functools import partial
from typing import Any, TextIO

import torch

from ...faces.detect import detect_faces
from ...geometry import TEMPLATE_SIZE
from ...loading import load_models
from ..arguments import AppArguments
from ..console import FAILURES, one_line, say
from ..files import UsageError
from .limits import FACES, MEGABYTES, VISITORS, WAITING
from .people import Studio


def run(args: AppArguments, stdout: TextIO) -> int:
    """Serve the page until the program is interrupted.

    Raises:
        UsageError: gradio is missing, a network cannot be loaded, or the port is taken.
        KeyboardInterrupt: it was interrupted; the visitors' files are gone then.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UsageError('the page needs the package gradio, which is not installed: pip install "resemblance[app]".')
    try:
        studio = open_studio(args)
    except (*FAILURES, ImportError) as error:
        raise UsageError(one_line(error, None)) from error
    with tempfile.TemporaryDirectory(prefix="resemblance-", ignore_cleanup_errors=True) as folder:
        server = serve(studio, args.host, args.port, folder)
        try:
            say(f"The page is at {server.local_url} – press Ctrl-C to end it.")
            threading.Event().wait()
        finally:
            server.close(verbose=False)
    return 0


def open_studio(args: AppArguments) -> Studio:
    """Load the networks.

    Raises:
        ValueError, OSError: as those who load them.
    """
    models = load_models(detector=args.detector, device=args.device, models_dir=args.models_dir)
    assert models.detector is not None, "it was loaded"
    studio = Studio(
        models,
        partial(detect_faces, backend=models.detector, max_faces=FACES),
        partial(detect_faces, backend=models.detector, min_size=1),
    )
    # What a network does for the first time takes a second or two longer; no visitor is to wait for that.
    blank = torch.zeros(1, 3, TEMPLATE_SIZE, TEMPLATE_SIZE)
    studio.detect(blank)
    studio.embedder.embed(studio.restorer.restore(blank))
    return studio


def serve(studio: Studio, host: str, port: int, folder: str) -> Any:
    """Start the server and return gradio's Blocks, which `close` ends.

    Args:
        studio: the networks.
        host: a name or address to listen at.
        port: 0 takes a free one.
        folder: for the visitors' files; it must lie where the system keeps temporary ones.

    Raises:
        UsageError: nothing can listen there.
    """
    os.environ["GRADIO_TEMP_DIR"] = folder  # read while the page is built
    import gradio as gr

    from .layout import CONTRAST, CSS, SCRIPT
    from .view import Page
    from .visitors import Visitors

    page = Page(studio, _is_loopback(host), folder).blocks
    page.queue(max_size=WAITING, api_open=False)
    plain = ["system-ui", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", font=plain, font_mono=["ui-monospace", "monospace"]
    ).set(**CONTRAST)
    try:
        page.launch(
            server_name=host,
            server_port=port or None,
            theme=theme,
            css_paths=[CSS],
            js=SCRIPT.read_text(encoding="utf-8"),
            quiet=True,
            show_error=True,
            prevent_thread_lock=True,
            share=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            state_session_capacity=VISITORS,
            max_file_size=MEGABYTES * 10**6,
            app_kwargs={"middleware": [Visitors.layer()]},
        )
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: cannot listen there ({error}). Choose another port.") from error
    return page


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
