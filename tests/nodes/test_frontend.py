"""The workflows and subgraphs in ComfyUI's own frontend, in a headless Chromium."""

import json
from itertools import combinations

import pytest
import torch
from host_browser import open_frontend
from host_server import ROOT, Refused

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
SUBGRAPHS = sorted((ROOT / "subgraphs").glob("*.json"))
BYPASS, MUTE = 4, 2
# A checkpoint is the one thing that a user must bring.
HOSTS_NODE = "CheckpointLoaderSimple"


@pytest.fixture(scope="module")
def frontend(server):
    with open_frontend(server) as page:
        yield page


def read(path):
    return json.loads(path.read_text())


def all_nodes(workflow):
    """Those of the graph and those inside its subgraphs."""
    inner = [graph["nodes"] for graph in workflow.get("definitions", {}).get("subgraphs", [])]
    return [node for nodes in (workflow["nodes"], *inner) for node in nodes]


def overlapping(nodes):
    """Pairs of nodes of one graph whose boxes (x0, y0, x1, y1) share a pixel."""
    return [
        (a["title"], b["title"])
        for a, b in combinations(nodes, 2)
        if all(a["box"][i] < b["box"][i + 2] and b["box"][i] < a["box"][i + 2] for i in (0, 1))
    ]


def check_loaded(frontend, workflow):
    survey = frontend.load(workflow)
    assert [node["type"] for node in survey["nodes"] if node["missing"]] == []
    inner = [graph["links"] for graph in workflow.get("definitions", {}).get("subgraphs", [])]
    assert len(survey["links"]) == len(workflow["links"]) + sum(map(len, inner))
    unlisted = {node["type"]: node["unlisted"] for node in survey["nodes"] if node["unlisted"]}
    asleep = {node["type"] for node in workflow["nodes"] if node.get("mode") == BYPASS}
    assert set(unlisted) <= {HOSTS_NODE} | asleep, unlisted
    top = [node for node in survey["nodes"] if ":" not in node["id"]]
    assert overlapping(top) == []
    assert (survey["alerts"], frontend.errors) == ([], [])
    return survey


def test_there_are_workflows_for_every_job():
    assert {path.stem for path in WORKFLOWS} == {
        "restore_faces",
        "enlarge",
        "taken_apart",
        "select_faces",
        "sampler_detail",
        "codeformer",
        "video_frames",
        "two_people_two_samplers",
        "references",
        "refine",
        "two_people_references",
    }
    assert [path.name for path in WORKFLOWS if not path.with_suffix(".jpg").is_file()] == []
    assert {path.stem for path in SUBGRAPHS} == {"Restore Faces Taken Apart", "Face Sampler Detail"}


@pytest.mark.parametrize("path", WORKFLOWS + SUBGRAPHS, ids=lambda path: path.stem)
def test_the_file_says_where_its_nodes_come_from(path):
    nodes = all_nodes(read(path))
    for node in nodes:
        ours = node["type"].startswith("Resemblance")
        if ours or node["type"] not in ("MarkdownNote",):
            assert node["properties"]["ver"], node["type"]
            assert node["properties"]["cnr_id"] in (("resemblance",) if ours else ("comfy-core", "resemblance"))
        assert not {"randomize", "increment", "decrement"} & set(map(str, node.get("widgets_values") or []))
        if node["type"] in (HOSTS_NODE, "ResemblanceLoadRestorer"):
            assert all(set(model) == {"name", "url", "directory"} for model in node["properties"]["models"])
    if path in WORKFLOWS:
        types = [node["type"] for node in nodes]
        assert "ResemblanceExamplePhoto" in types and "MarkdownNote" in types


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_loads_and_runs(frontend, path):
    workflow = read(path)
    survey = check_loaded(frontend, workflow)
    if any(node["type"] == HOSTS_NODE for node in survey["nodes"]):
        return
    result = frontend.run()
    assert result["kind"] == "execution_success", result
    frontend.settle()
    # Nodes grow when they show a picture.
    assert overlapping(frontend.survey()["nodes"]) == []
    assert frontend.errors == []


@pytest.mark.parametrize("path", SUBGRAPHS, ids=lambda path: path.stem)
def test_a_subgraph_loads_and_is_offered_as_a_node(frontend, path):
    blueprint = read(path)
    check_loaded(frontend, blueprint)
    (node,) = blueprint["nodes"]
    assert node["type"] == blueprint["definitions"]["subgraphs"][0]["id"]
    assert path.stem in frontend.blueprints()


def test_the_chain_inside_a_subgraph_is_the_chain_outside(frontend, server):
    blueprint = read(ROOT / "subgraphs" / "Restore Faces Taken Apart.json")
    node = blueprint["nodes"][0]
    photo = next(n for n in read(ROOT / "workflows" / "taken_apart.json")["nodes"] if "ExamplePhoto" in n["type"])
    photo = {
        **photo,
        "id": 2,
        "pos": [-400, 100],
        "outputs": [{**photo["outputs"][0], "links": [1]}, *photo["outputs"][1:]],
    }
    node["inputs"][0]["link"] = 1
    blueprint |= {"nodes": [photo, node], "links": [[1, 2, 0, 1, 0, "IMAGE"]], "last_node_id": 2, "last_link_id": 1}
    check_loaded(frontend, blueprint)
    inside = result_of(server, frontend.api_graph(), lambda kind: kind == "ResemblancePasteFaces")
    frontend.load(read(ROOT / "workflows" / "taken_apart.json"))
    outside = result_of(server, frontend.api_graph(), lambda kind: kind == "ResemblancePasteFaces")
    assert torch.equal(inside, outside)


def result_of(server, graph, wanted=lambda kind: kind == "SaveImage"):
    """Run the frontend's graph up to one node: what it gives, or, for SaveImage, what it is given."""
    nodes = {key: (node["class_type"], node["inputs"]) for key, node in graph.items()}
    end = next(key for key, (kind, _) in nodes.items() if wanted(kind))
    if nodes[end][0] == "SaveImage":
        value = nodes[end][1].get("images")
        if value is None:
            raise Refused({"node_errors": {end: "nothing reaches it"}})
    else:
        value = [end, 0]
    shown = ("SaveImage", "PreviewImage", "PreviewAny", "MaskPreview", "SaveVideo")
    nodes = {key: node for key, node in nodes.items() if node[0] not in shown}
    return server.run({**nodes, "kept": ("ResemblanceTestKeep", {"value": value, "name": "result"})}).kept("result")


def switched(frontend, server, name, kind, mode):
    """The result of a workflow with the nodes of one kind bypassed or muted, or None where it does not run."""
    workflow = read(ROOT / "workflows" / f"{name}.json")
    for node in workflow["nodes"]:
        if node["type"] == f"Resemblance{kind}":
            node["mode"] = mode
    frontend.load(workflow)
    try:
        return result_of(server, frontend.api_graph())
    except Refused:
        return None


@pytest.fixture(scope="module")
def selected(frontend, server):
    """What select_faces gives, and its photograph."""
    result = switched(frontend, server, "select_faces", "None", 0)
    photo = result_of(server, frontend.api_graph(), lambda kind: kind == "ResemblanceExamplePhoto")
    return result, photo


def changed(image, photo):
    """Which halves of the photograph were changed."""
    middle = photo.shape[2] // 2
    return [not torch.equal(image[:, :, part], photo[:, :, part]) for part in (slice(0, middle), slice(middle, None))]


def test_bypassing_select_restores_all(frontend, server, selected):
    result, photo = selected
    assert changed(result, photo) == [False, True]
    both = switched(frontend, server, "select_faces", "SelectFaces", BYPASS)
    assert changed(both, photo) == [True, True]


def test_bypassing_the_restorer_pastes_the_crops_back(frontend, server, selected):
    result, photo = selected
    image = switched(frontend, server, "select_faces", "RestoreCrops", BYPASS)
    assert float((image - photo).abs().mean()) < 0.2 * float((result - photo).abs().mean())


def test_bypassing_paste_gives_the_photograph(frontend, server, selected):
    assert torch.equal(switched(frontend, server, "select_faces", "PasteFaces", BYPASS), selected[1])


def test_bypassing_the_mix_leaves_the_restorers_own(frontend, server):
    image = switched(frontend, server, "taken_apart", "RestoreTokens", BYPASS)
    assert torch.equal(image, switched(frontend, server, "taken_apart", "None", 0))


@pytest.mark.parametrize("mode", [BYPASS, MUTE], ids=["bypass", "mute"])
def test_without_a_loader_the_built_in_restorer_is_used(frontend, server, mode):
    image = switched(frontend, server, "codeformer", "LoadRestorer", mode)
    assert torch.equal(image, switched(frontend, server, "codeformer", "None", 0))


def test_bypassing_a_step_with_references(frontend, server):
    guided = switched(frontend, server, "two_people_references", "None", 0)
    # Faces that nothing labelled are matched where the texture is transferred, and just so.
    assert torch.equal(switched(frontend, server, "two_people_references", "MatchReferences", BYPASS), guided)
    blind = switched(frontend, server, "two_people_references", "TransferTexture", BYPASS)
    assert not torch.equal(blind, guided)


def test_bypassing_refinement_restores_without(frontend, server):
    refined = switched(frontend, server, "refine", "None", 0)
    plain = switched(frontend, server, "refine", "RefineLatent", BYPASS)
    assert plain is not None and not torch.equal(plain, refined)


def test_bypassing_the_references_restores_without(frontend, server):
    frontend.load(read(ROOT / "workflows" / "references.json"))
    graph = frontend.api_graph()
    guided, blind = (key for key, node in graph.items() if node["class_type"] == "ResemblanceRestoreFaces")
    expected = result_of(server, graph, lambda kind: kind == "ResemblanceRestoreFaces")
    assert "references" in graph[guided]["inputs"] and "references" not in graph[blind]["inputs"]
    image = switched(frontend, server, "references", "EncodeReferences", BYPASS)
    assert image is not None and not torch.equal(image, expected)


NEEDED = {
    ("select_faces", BYPASS): ["DetectFaces", "CropFaces"],
    ("taken_apart", BYPASS): ["EncodeTokens", "DecodeTokens"],
    ("select_faces", MUTE): ["DetectFaces", "SelectFaces", "CropFaces", "RestoreCrops", "PasteFaces"],
    ("taken_apart", MUTE): ["EncodeTokens", "RestoreTokens", "DecodeTokens"],
}


@pytest.mark.parametrize(
    "name, kind, mode", [(name, kind, mode) for (name, mode), kinds in NEEDED.items() for kind in kinds]
)
def test_what_cannot_be_left_out_is_refused(frontend, server, name, kind, mode):
    assert switched(frontend, server, name, kind, mode) is None


def test_overlaps_are_seen():
    boxes = [{"title": t, "box": b} for t, b in (("a", [0, 0, 10, 10]), ("b", [9, 9, 14, 14]), ("c", [10, 0, 15, 9]))]
    assert overlapping(boxes) == [("a", "b")]
