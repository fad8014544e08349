"""The workflows and subgraphs in ComfyUI's own frontend, in a headless Chromium."""

import pytest
import torch
from host_browser import open_frontend
from host_server import ROOT, Refused
from PIL import Image
from templates import HOSTS_NODE, SUBGRAPHS, WORKFLOWS, all_nodes, check_loaded, check_runs, overlapping, read, template

BYPASS, MUTE = 4, 2


@pytest.fixture(scope="module")
def frontend(server):
    with open_frontend(server) as page:
        yield page


def test_there_are_workflows_for_every_job():
    names = [path.stem for path in WORKFLOWS]
    assert [name[:2] for name in names] == [f"{number:02}" for number in range(1, len(names) + 1)]
    assert names[0] == "01 Restore faces - start here"
    assert [path.name for path in WORKFLOWS if not path.with_suffix(".jpg").is_file()] == []
    assert {path.stem for path in SUBGRAPHS} == {"Restore Faces Taken Apart", "Face Sampler Detail"}
    used = {node["type"] for path in WORKFLOWS for node in read(path)["nodes"]}
    # For other packs, and for a film, of which none is shipped.
    others = {f"Resemblance{name}" for name in ("SegsToFaces", "FacesToSegs", "FacesFromBoxes", "TrackFaces")}
    ours = {path.stem for path in (ROOT / "nodes/web/docs").glob("*.md")}
    assert {name for name in used if name.startswith("Resemblance")} == ours - others, "a node is in no workflow"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_picture_beside_a_workflow_is_square(path):
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.width == picture.height >= 400


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
    check_runs(frontend, read(path))


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
    photo = next(n for n in template("11")["nodes"] if "ExamplePhoto" in n["type"])
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
    frontend.load(template("11"))
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
    workflow = template(name)
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
    """What the template that chooses faces gives, and its photograph."""
    result = switched(frontend, server, "08", "None", 0)
    photo = result_of(server, frontend.api_graph(), lambda kind: kind == "ResemblanceExamplePhoto")
    return result, photo


def changed(image, photo):
    """Which halves of the photograph were changed."""
    middle = photo.shape[2] // 2
    return [not torch.equal(image[:, :, part], photo[:, :, part]) for part in (slice(0, middle), slice(middle, None))]


def test_bypassing_select_restores_all(frontend, server, selected):
    result, photo = selected
    assert changed(result, photo) == [False, True]
    both = switched(frontend, server, "08", "SelectFaces", BYPASS)
    assert changed(both, photo) == [True, True]


def test_bypassing_the_restorer_pastes_the_crops_back(frontend, server, selected):
    result, photo = selected
    image = switched(frontend, server, "08", "RestoreCrops", BYPASS)
    assert float((image - photo).abs().mean()) < 0.2 * float((result - photo).abs().mean())


def test_bypassing_paste_gives_the_photograph(frontend, server, selected):
    assert torch.equal(switched(frontend, server, "08", "PasteFaces", BYPASS), selected[1])


def test_bypassing_the_mix_leaves_the_restorers_own(frontend, server):
    image = switched(frontend, server, "11", "RestoreTokens", BYPASS)
    assert torch.equal(image, switched(frontend, server, "11", "None", 0))


@pytest.mark.parametrize("mode", [BYPASS, MUTE], ids=["bypass", "mute"])
def test_without_a_loader_the_built_in_restorer_is_used(frontend, server, mode):
    image = switched(frontend, server, "07", "LoadRestorer", mode)
    assert torch.equal(image, switched(frontend, server, "07", "None", 0))


def test_bypassing_a_step_with_references(frontend, server):
    guided = switched(frontend, server, "03", "None", 0)
    # Faces that nothing labelled are matched where the texture is transferred, and just so.
    assert torch.equal(switched(frontend, server, "03", "MatchReferences", BYPASS), guided)
    blind = switched(frontend, server, "03", "TransferTexture", BYPASS)
    assert not torch.equal(blind, guided)


def test_bypassing_refinement_restores_without(frontend, server):
    refined = switched(frontend, server, "12", "None", 0)
    plain = switched(frontend, server, "12", "RefineLatent", BYPASS)
    assert plain is not None and not torch.equal(plain, refined)


def test_bypassing_the_references_restores_without(frontend, server):
    frontend.load(template("02"))
    graph = frontend.api_graph()
    blind, guided = (key for key, node in graph.items() if node["class_type"] == "ResemblanceRestoreFaces")
    expected = result_of(server, graph)
    assert "references" in graph[guided]["inputs"] and "references" not in graph[blind]["inputs"]
    image = switched(frontend, server, "02", "EncodeReferences", BYPASS)
    assert image is not None and not torch.equal(image, expected)


# Steps that a graph can do without; who leaves one out sees no red node.
LEFT_OUT = {
    "01": ["RestoreFaces"],
    "02": ["EncodeReferences"],
    "03": ["MatchReferences", "TransferTexture", "PasteFaces"],
    "05": ["RestoreFaces"],
    "06": ["RestoreFaces"],
    "08": ["SelectFaces", "RestoreCrops", "PasteFaces"],
    "11": ["RestoreTokens", "PasteFaces"],
    "12": ["RefineLatent", "PasteFaces"],
}


@pytest.mark.parametrize("name, kind", [(name, kind) for name, kinds in LEFT_OUT.items() for kind in kinds])
def test_what_can_be_left_out_leaves_nothing_red(frontend, name, kind):
    workflow = template(name)
    for node in workflow["nodes"]:
        if node["type"] == f"Resemblance{kind}":
            node["mode"] = BYPASS
    frontend.load(workflow)
    result = frontend.run()
    assert result["kind"] == "execution_success", result["detail"]
    assert not frontend.page.evaluate("() => Object.keys(app.lastNodeErrors ?? {}).length")


NEEDED = {
    ("08", BYPASS): ["DetectFaces", "CropFaces"],
    ("11", BYPASS): ["EncodeTokens", "DecodeTokens"],
    ("08", MUTE): ["DetectFaces", "SelectFaces", "CropFaces", "RestoreCrops", "PasteFaces"],
    ("11", MUTE): ["EncodeTokens", "RestoreTokens", "DecodeTokens"],
}


@pytest.mark.parametrize(
    "name, kind, mode", [(name, kind, mode) for (name, mode), kinds in NEEDED.items() for kind in kinds]
)
def test_what_cannot_be_left_out_is_refused(frontend, server, name, kind, mode):
    assert switched(frontend, server, name, kind, mode) is None


# The numbers below 0 that mean "auto", and one click up and down from there, as the classic renderer clicks.
CLICKED = """([kind, name]) => {
    const node = app.graph.add(LiteGraph.createNode(kind)) ?? app.graph.nodes.at(-1);
    const widget = node.widgets.find(widget => widget.name === name);
    const seen = [widget._displayValue];
    const step = widget.options.step2 ?? widget.options.step / 10;
    for (const way of [1, 1, -1, -1, -1]) {
        widget.setValue(widget.value + way * step, {e: {}, node, canvas: app.canvas});
        seen.push(widget._displayValue);
    }
    app.graph.remove(node);
    return seen;
}"""


@pytest.mark.parametrize(
    "kind, name, seen",
    [
        ("RestoreFaces", "fidelity", ["auto", "0.00", "0.05", "0.00", "auto", "auto"]),
        ("RestoreFaces", "strength", ["auto", "0.00", "0.05", "0.00", "auto", "auto"]),
        ("RestoreFaces", "refine", ["auto", "0", "1", "0", "auto", "auto"]),
        ("RestoreCrops", "fidelity", ["auto", "0.00", "0.05", "0.00", "auto", "auto"]),
        ("RestoreTokens", "content", ["auto", "0.00", "0.05", "0.00", "auto", "auto"]),
        ("MatchReferences", "threshold", ["auto", "0.00", "0.01", "0.00", "auto", "auto"]),
        ("PasteFaces", "strength", ["1.00", "1.00", "1.00", "0.95", "0.90", "0.85"]),
    ],
)
def test_a_number_that_is_left_open_reads_auto(frontend, kind, name, seen):
    assert frontend.page.evaluate(CLICKED, [f"Resemblance{kind}", name]) == seen


PLACEHOLDER = """([kind, name]) => {
    const node = app.graph.add(LiteGraph.createNode(kind)) ?? app.graph.nodes.at(-1);
    const widget = node.widgets.find(widget => widget.name === name);
    const empty = widget._displayValue;
    widget.value = "2=anna";
    const seen = [empty, widget._displayValue, widget.value];
    app.graph.remove(node);
    return seen;
}"""


@pytest.mark.parametrize(
    "kind, name, empty",
    [
        ("RestoreFaces", "manual", "e.g. 1=anna, 2=none"),
        ("MatchReferences", "manual", "e.g. 1=anna, 2=none"),
        ("SelectFaces", "indices", "all, or 1, 3-5"),
    ],
)
def test_an_empty_text_shows_what_may_be_written(frontend, kind, name, empty):
    assert frontend.page.evaluate(PLACEHOLDER, [f"Resemblance{kind}", name]) == [empty, "2=anna", "2=anna"]


def test_overlaps_are_seen():
    boxes = [{"title": t, "box": b} for t, b in (("a", [0, 0, 10, 10]), ("b", [9, 9, 14, 14]), ("c", [10, 0, 15, 9]))]
    assert overlapping(boxes) == [("a", "b")]
