import argparse
import importlib.util
import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest
from host_browser import find_chromium
from host_server import unavailable
from pages import LAPTOP, PATIENCE, asked, settle
from people import both
from resemblance.core.apps.page import serve
from resemblance.core.apps.page.cleaning import own_folder
from resemblance.core.apps.page.session import Session
from resemblance.core.apps.page.sessions import Sessions

ARGUMENTS = argparse.Namespace(device="cpu", detector="built-in", models_dir=None)


@pytest.fixture(scope="module")
def address():
    """Where the page is, whom its server called, and the folder of its files."""
    if importlib.util.find_spec("gradio") is None:
        unavailable("The package gradio is not installed: pip install -e '.[dev]'.")
    called = set()
    connect = socket.socket.connect

    def recorded(self, address):
        called.add(address[0] if isinstance(address, tuple) else "local")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch, own_folder() as folder, serve.open_studio(ARGUMENTS) as studio:
        patch.setattr(socket.socket, "connect", recorded)
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        server = serve.serve(Sessions(studio), "127.0.0.1", 0, folder)
        yield server.url, called, folder
        server.close()


@pytest.fixture(scope="module")
def browser(address):
    for name in ("playwright", "axe_playwright_python"):
        if importlib.util.find_spec(name) is None:
            unavailable(f"The package {name} is not installed: pip install -e '.[dev]'.")
    from playwright.sync_api import sync_playwright

    executable = find_chromium()
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--no-proxy-server"]
        flags.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """A new visitor: a browser of their own, with the page open."""
    contexts = []

    def open_page(viewport=LAPTOP, scheme="light"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.asked, page.unanswered, page.refused = [], set(), []
        page.on("response", lambda answer: answer.status >= 400 and page.refused.append((answer.status, answer.url)))
        page.on("request", lambda request: asked(page, request))
        for end in ("requestfinished", "requestfailed"):
            page.on(end, lambda request: page.unanswered.discard(request))
        page.goto(address[0])
        page.wait_for_selector("#welcome input[type=file]", state="attached")
        settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def studio():
    with serve.open_studio(ARGUMENTS) as studio:
        yield studio


@pytest.fixture
def session(studio, tmp_path):
    session = Session(studio, tmp_path / "visitor" / "session")
    yield session
    session.close()


def sureness(studio, evidence):
    """The studio with an embedder for which every comparison gives such evidence."""
    from resemblance.core.faces.evidence import TERMS, Calibration

    embedder = SimpleNamespace(
        name=studio.embedder.name,
        fingerprint=studio.embedder.fingerprint,
        network=studio.embedder.network,
        embed=studio.embedder.embed,
        calibration=Calibration((evidence, *(0.0,) * (TERMS - 1))),
    )
    return replace(studio, models=replace(studio.models, embedders=both(embedder)))


@pytest.fixture
def biased(studio, tmp_path):
    """A session for which every comparison gives such evidence."""
    sessions = []

    def make(evidence):
        sessions.append(Session(sureness(studio, evidence), tmp_path / "visitor" / f"{len(sessions)}"))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()
