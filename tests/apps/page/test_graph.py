"""The graph for ComfyUI."""

import json

import pytest
from host_browser import open_frontend
from pages import ROOT, TWO, references, take
from resemblance.core.apps.page import graph
from resemblance.core.apps.page.graph import Settings
from resemblance.core.apps.page.limits import Run
from resemblance.core.apps.page.saving import restore
from resemblance.core.files.images import read_photo


def shipped_nodes():
    """One node of each kind, as the shipped workflows hold it."""
    nodes = [node for path in (ROOT / "workflows").glob("*.json") for node in json.loads(path.read_text())["nodes"]]
    return {node["type"]: node for node in nodes}


@pytest.mark.parametrize("kind", [kind for kind in graph.KINDS if kind != "LoadImage"])
def test_nodes_have_the_sockets_that_they_have_in_workflows(kind):
    shipped = shipped_nodes()[kind]
    like = graph.KINDS[kind]
    assert [(name.rstrip("?"), socket) for name, socket in like.wires + like.widgets] == [
        (entry["name"], entry["type"]) for entry in shipped["inputs"]
    ]
    optional = [entry["name"] for entry in shipped["inputs"] if entry.get("shape") == 7 and "widget" not in entry]
    assert [name[:-1] for name, _ in like.wires if name.endswith("?")] == optional
    assert list(like.outputs) == [(entry["name"], entry["type"]) for entry in shipped["outputs"]]


def test_links_of_the_graph_name_the_sockets_they_join(session):
    take(session, [TWO], references("two_people", 1, 2, 3))
    session.belongs(0, 1)
    made = json.loads(session.workflow(Settings(0.5, 0.25, 0.75, 2)).read_text())
    nodes = {node["id"]: node for node in made["nodes"]}
    for link, source, output, target, slot, kind in made["links"]:
        assert link in nodes[source]["outputs"][output]["links"] and nodes[source]["outputs"][output]["type"] == kind
        assert nodes[target]["inputs"][slot]["link"] == link and nodes[target]["inputs"][slot]["type"] == kind
    values = {node["type"]: node["widgets_values"] for node in made["nodes"]}
    assert values["ResemblanceRestoreTokens"] == [0.5, 0.25]
    assert values["ResemblanceTransferTexture"] == [0.75]
    assert values["ResemblanceRefineLatent"][0] == 2
    assert values["ResemblanceSelectFaces"][1] == "1, 2"
    assert values["ResemblanceMatchReferences"][1] == "2=person 1"
    shipped = shipped_nodes()
    for kind, given in values.items():
        assert kind == "LoadImage" or len(given) == len(shipped[kind]["widgets_values"]), kind


def test_the_graph_does_the_same_in_comfyui(session, server):
    """Opened in ComfyUI's own frontend and run there, it gives the picture that the page saved."""
    given = references("two_people", 1, 3)
    take(session, [TWO], given)
    settings = Settings(0.6, 0.9, 0.8, 2 if session.studio.restorer.prior else 0)
    (*_, step) = restore(session, [TWO], settings, ".png", Run.begin())
    for path in (TWO, *given):
        (server.base / "input" / path.name).write_bytes(path.read_bytes())
    with open_frontend(server) as frontend:
        survey = frontend.load(json.loads(session.workflow(settings).read_text()))
        assert [node["type"] for node in survey["nodes"] if node["missing"] or node["unlisted"]] == []
        made = frontend.api_graph()
        assert frontend.errors == []
    nodes = {key: (node["class_type"], node["inputs"]) for key, node in made.items()}
    end = next(key for key, (kind, _) in nodes.items() if kind == "SaveImage")
    _, inputs = nodes.pop(end)
    result = server.run({**nodes, "kept": ("ResemblanceTestKeep", {"value": inputs["images"], "name": "page"})})
    picture = result.kept("page")[0].permute(2, 0, 1)
    assert float((picture - read_photo(step.file).pixels).abs().max()) <= 1.5 / 255
