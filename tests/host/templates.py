"""The workflows and subgraphs that are shipped, and what must hold of them in any frontend."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

from host_browser import Frontend
from host_server import ROOT, Graph

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
SUBGRAPHS = sorted((ROOT / "subgraphs").glob("*.json"))
# A checkpoint is the one thing that a user must bring.
HOSTS_NODE = "CheckpointLoaderSimple"
ASLEEP = 4  # the mode of a node that is bypassed

Workflow = dict[str, Any]


def read(path: Path) -> Workflow:
    """A workflow of a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def template(start: str) -> Workflow:
    """The workflow whose name starts so."""
    (path,) = (path for path in WORKFLOWS if path.stem.startswith(start))
    return read(path)


def all_nodes(workflow: Workflow) -> list[dict[str, Any]]:
    """Those of the graph and those inside its subgraphs."""
    inner = [graph["nodes"] for graph in workflow.get("definitions", {}).get("subgraphs", [])]
    return [node for nodes in (workflow["nodes"], *inner) for node in nodes]


def api_graph(workflow: Workflow) -> Graph:
    """A workflow without subgraphs as the server takes it, by the names of its nodes' ids."""
    sources = {link[0]: (str(link[1]), link[2]) for link in workflow["links"]}
    graph: Graph = {}
    for node in workflow["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        values = iter(node["widgets_values"])
        inputs: dict[str, Any] = {}
        for entry in node["inputs"]:
            value = next(values) if "widget" in entry else None
            if entry["name"] == "seed":
                next(values)  # what happens to it after a run
            if entry["link"] is not None:
                inputs[entry["name"]] = list(sources[entry["link"]])
            elif "widget" in entry:
                inputs[entry["name"]] = value
        graph[str(node["id"])] = (node["type"], inputs)
    return graph


def overlapping(nodes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Pairs of nodes of one graph whose boxes (x0, y0, x1, y1) share a pixel."""
    return [
        (a["title"], b["title"])
        for a, b in combinations(nodes, 2)
        if all(a["box"][i] < b["box"][i + 2] and b["box"][i] < a["box"][i + 2] for i in (0, 1))
    ]


def check_loaded(frontend: Frontend, workflow: Workflow) -> dict[str, Any]:
    """Load a workflow: nothing is missing, nothing overlaps, nobody complains; what is shown."""
    survey = frontend.load(workflow)
    assert [node["type"] for node in survey["nodes"] if node["missing"]] == []
    inner = [graph["links"] for graph in workflow.get("definitions", {}).get("subgraphs", [])]
    assert len(survey["links"]) == len(workflow["links"]) + sum(map(len, inner))
    unlisted = {node["type"]: node["unlisted"] for node in survey["nodes"] if node["unlisted"]}
    asleep = {node["type"] for node in workflow["nodes"] if node.get("mode") == ASLEEP}
    assert set(unlisted) <= {HOSTS_NODE} | asleep, unlisted
    top = [node for node in survey["nodes"] if ":" not in node["id"]]
    assert overlapping(top) == []
    assert frontend.errors == []
    assert survey["alerts"] == [] or HOSTS_NODE in unlisted, "only a missing checkpoint is worth an alert"
    return survey


def check_runs(frontend: Frontend, workflow: Workflow) -> None:
    """Load a workflow and run it, unless it needs what a user must bring: still nothing overlaps."""
    survey = check_loaded(frontend, workflow)
    if any(node["type"] == HOSTS_NODE for node in survey["nodes"]):
        return
    result = frontend.run()
    assert result["kind"] == "execution_success", result
    frontend.settle()
    # Nodes grow when they show a picture.
    assert overlapping(frontend.survey()["nodes"]) == []
    assert frontend.errors == []
