"""``resemblance app``: the server behind the page."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ...faces.detect import detect_faces
from ...loading import load_models
from ..arguments import AppArguments
from ..console import FAILURES, one_line, say
from ..files import UsageError
from .cleaning import delete_old, own_folder
from .decode import Decoder
from .limits import FACES, KEPT, MEGABYTES, WAITING
from .people import Studio
from .sessions import Sessions

if TYPE_CHECKING:
    from .listening import Listening

CLEANING = 300.0  # [s] between two looks for files that are too old


def run(args: AppArguments, stdout: TextIO) -> int:
    """Serve the page until the program is interrupted.

    Raises:
        UsageError: gradio is missing, a network cannot be loaded, or nothing can listen at the address.
        KeyboardInterrupt: it was interrupted; the visitors' files are gone then.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UsageError('the page needs the package gradio, which is not installed: pip install "resemblance[app]".')
    with ExitStack() as ending:
        try:
            studio = ending.enter_context(open_studio(args))
            folder = ending.enter_context(own_folder())
            sessions = Sessions(studio)
            server = serve(sessions, args.host, args.port, folder, args.names)
        except UsageError:
            raise
        except (*FAILURES, ImportError) as error:
            raise UsageError(one_line(error, None)) from error
        ending.callback(server.close)
        say(f"The page is at {server.url} – press Ctrl-C to end it.")
        never = threading.Event()
        while not never.wait(CLEANING):
            sessions.forget_old()
            delete_old(folder, KEPT)
    return 0


@contextmanager
def open_studio(args: AppArguments) -> Iterator[Studio]:
    """Load the networks, and end what belongs to them in the end.

    Raises:
        ValueError, OSError: as those who load them.
    """
    decoder = Decoder()
    decoder.start()
    try:
        models = load_models(detector=args.detector, device=args.device, models_dir=args.models_dir)
        assert models.detector is not None, "it was loaded"
        studio = Studio(
            models,
            partial(detect_faces, backend=models.detector, max_faces=FACES + 1),
            partial(detect_faces, backend=models.detector, min_size=1),
            decoder.read,
        )
        yield studio
    finally:
        decoder.close()


def serve(sessions: Sessions, host: str, port: int, folder: Path, proxies: Sequence[str] = ()) -> Listening:
    """Start the server.

    It is gradio's page in a server of ours: gradio's own asks itself whether it is there, through whatever proxy is
    set, and takes "no" for an error.

    Args:
        sessions: of the visitors.
        host: a name or address to listen at.
        port: 0 takes a free one.
        folder: for the visitors' files, without links in its path.
        proxies: names by which the page is asked for through another server.

    Raises:
        UsageError: nothing can listen there.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # read while the page is built
    with _no_proxies():
        import gradio as gr
    from fastapi import FastAPI

    from .demonstration import demonstrate
    from .door import Door
    from .hosts import Hosts
    from .layout import CONTRAST, CSS, SCRIPT
    from .listening import Listening
    from .view import Page

    hosts = Hosts.of(host, proxies)
    page = Page(sessions, hosts.alone, demonstrate(sessions.studio, folder)).blocks
    page.queue(max_size=WAITING, api_open=False)
    plain = ["system-ui", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", font=plain, font_mono=["ui-monospace", "monospace"]
    ).set(**CONTRAST)
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        page,
        path="/",
        theme=theme,
        css_paths=[CSS],
        js=SCRIPT.read_text(encoding="utf-8"),
        show_error=True,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        max_file_size=MEGABYTES * 10**6,
    )
    return Listening(Door(app, folder, hosts, frozenset(page.fns)), host, port)


@contextmanager
def _no_proxies() -> Iterator[None]:
    """While gradio is imported it makes clients that want packages for whatever proxy is set; the page asks nobody."""
    proxies = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ.update(proxies)
