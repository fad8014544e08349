"""ComfyUI's own frontend in a headless Chromium: load a workflow, look at it, run it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from host_server import Server, unavailable

# What the frontend asks the outside world for, and what it says about itself at start; neither is ours.
NOISE = (
    "net::ERR_",
    "Failed to fetch",
    "Failed to load resource",
    "Content Security Policy",
    "graph accessed before initialization",
)
PATIENCE = 300_000  # ms that a busy machine may take to answer
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.InstalledVersion": "99.0.0",
    "Comfy.Release.Version": "99.0.0",
    "Comfy.Minimap.Visible": False,
    "Comfy.Locale": "en",
}
# All nodes, those inside subgraphs too; links as [from, to]; whether widgets hold what their lists offer.
SURVEY = """() => {
    const nodes = [], links = [];
    const walk = (graph, path) => {
        for (const node of graph.nodes) {
            const inner = node.isSubgraphNode?.() ? node.subgraph : null;
            nodes.push({
                id: path + node.id, type: node.type, title: node.title, mode: node.mode,
                box: [node.pos[0], node.pos[1] - 30, node.pos[0] + node.size[0], node.pos[1] + node.size[1]],
                missing: !inner && !LiteGraph.registered_node_types[node.type],
                unlisted: (node.widgets ?? []).filter(w => w.type === 'combo' && Array.isArray(w.options?.values)
                    && !w.options.values.includes(w.value)).map(w => `${w.name}=${w.value}`),
                properties: node.properties,
            });
            if (inner) walk(inner, path + node.id + ':');
        }
        for (const link of graph.links.values()) links.push([path, link.origin_id, link.target_id]);
    };
    walk(app.graph, '');
    const alerts = [...document.querySelectorAll('.p-toast-message')].map(e => e.innerText.slice(0, 300));
    return {nodes, links, alerts};
}"""
RUN = """() => new Promise(resolve => {
    for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
        app.api.addEventListener(kind, event => resolve({kind, detail: event.detail}), {once: true});
    app.queuePrompt(0, 1).then(() => {
        const errors = app.lastNodeErrors;
        if (errors && Object.keys(errors).length) resolve({kind: 'refused', detail: errors});
    }).catch(error => resolve({kind: 'refused', detail: String(error)}));
})"""
BLUEPRINTS = """() => document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s
    .get('subgraph').subgraphBlueprints.map(definition => definition.display_name)"""
# What the newest frontend asks of servers older than itself.
UNKNOWN = "/api/jobs"
# Pictures are loaded after their node was run (videos are no pictures); what is to be drawn anew is marked dirty.
SETTLED = """() => !app.extensionManager.spinner && !app.canvas.dirty_canvas && !app.canvas.dirty_bgcanvas
    && app.graph.nodes.every(node => {
        const told = app.nodeOutputs?.[node.id] ?? {}, given = told.images ?? [], shown = node.imgs ?? [];
        return told.animated?.[0] || (shown.length === given.length && shown.every(image => image.complete));
    }) && [...document.querySelectorAll('[data-node-id] img')].every(image => image.complete)"""
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
# The whole graph on the canvas.
FIT = """() => {
    const boxes = app.graph.nodes.map(n => [n.pos[0], n.pos[1] - 40, n.pos[0] + n.size[0], n.pos[1] + n.size[1]]);
    const low = i => Math.min(...boxes.map(b => b[i])), high = i => Math.max(...boxes.map(b => b[i]));
    const view = app.canvas.ds, canvas = app.canvas.canvas;
    const left = 80, top = 215, edge = 20;  // what lies over the canvas [px]
    view.scale = Math.min(1.25, (canvas.clientWidth - left - edge) / (high(2) - low(0)),
        (canvas.clientHeight - top - edge) / (high(3) - low(1)));
    view.offset[0] = left / view.scale - low(0);
    view.offset[1] = top / view.scale - low(1);
    app.canvas.setDirty(true, true);
}"""


def find_chromium() -> str:
    """The browser: CHROMIUM, or one that is installed."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if found is None:
        unavailable("No Chromium: install Debian's package chromium, or set CHROMIUM to a browser.")
    return str(found)


class Frontend:
    """A page that shows the frontend."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page = page
        self._server = server
        self.errors: list[str] = []
        page.on("console", lambda message: self._heard(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._heard(str(error)))
        page.on("response", self._answered)
        page.set_default_timeout(PATIENCE)
        self.open()

    def open(self, **settings: Any) -> None:
        """Open the page, or open it again after settings of the user's were changed."""
        if settings:
            self._server.post("/settings", **settings)
        self.page.goto(self._server.url, wait_until="domcontentloaded")
        self.page.wait_for_function(
            "() => !!(window.app?.extensionManager && app.vueAppReady && app.graph"
            " && window.LiteGraph?.registered_node_types['ResemblanceTestKeep'])"
        )
        self.settle()

    def load(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """Load a workflow and tell what became of it: its nodes and links, also those inside subgraphs."""
        self.errors.clear()
        self.page.evaluate("workflow => app.loadGraphData(workflow, true, true)", workflow)
        self.settle()
        return self.survey()

    def settle(self) -> None:
        """Wait until nodes have the pictures they were given, and all is drawn."""
        before = None
        while before != (before := self.survey()["nodes"]):  # in Nodes 2.0 nodes grow a little after they were drawn
            self.page.wait_for_function(SETTLED)
            self.page.evaluate(DRAWN)

    def survey(self) -> dict[str, Any]:
        """The nodes and links that are shown."""
        return self.page.evaluate(SURVEY)

    def run(self) -> dict[str, Any]:
        """Run what is loaded: ``kind`` is execution_success, execution_error, execution_interrupted or refused."""
        return self.page.evaluate(RUN)

    def api_graph(self) -> dict[str, Any]:
        """What the frontend would send to be run."""
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def blueprints(self) -> list[str]:
        """The subgraphs that the node library offers, as soon as it offers any."""
        self.page.wait_for_function(f"() => ({BLUEPRINTS})().length")
        return self.page.evaluate(BLUEPRINTS)

    def screenshot(self, path: Path) -> None:
        """A picture of the whole graph."""
        for _ in range(3):
            self.page.keyboard.press("Escape")
        self.page.evaluate(FIT)
        self.settle()
        self.page.screenshot(path=path)

    def _heard(self, text: str) -> None:
        if not any(noise in text for noise in NOISE):
            self.errors.append(text[:500])

    def _answered(self, response: Any) -> None:
        # The frontend asks for files of the user's that need not exist.
        if response.status < 400 or not response.url.startswith(self._server.url) or UNKNOWN in response.url:
            return
        if "user" not in response.url:
            self.errors.append(f"{response.status} {response.url}")


@contextmanager
def open_frontend(server: Server, width: int = 1600, height: int = 1000, nodes2: bool = False) -> Iterator[Frontend]:
    """A browser with the frontend of a server; nothing leaves the machine.

    Args:
        server: a running ComfyUI.
        width, height: of the window [px].
        nodes2: whether nodes are drawn by the newer renderer, Nodes 2.0.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("The package playwright is not installed: pip install -e '.[host]'.")
    executable = find_chromium()
    server.post("/settings", **SETTINGS, **{"Comfy.VueNodes.Enabled": nodes2})
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--no-proxy-server"]
        flags.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        try:
            yield Frontend(browser.new_page(viewport={"width": width, "height": height}), server)
        finally:
            browser.close()
