"""The workflows in today's frontend, its nodes drawn by Nodes 2.0, in a headless Chromium."""

import io
import json

import pytest
from host_browser import open_frontend
from host_server import ROOT, Server, newest_frontend
from PIL import Image
from templates import SUBGRAPHS, WORKFLOWS, check_loaded, check_runs, overlapping, read, template


@pytest.fixture(scope="module")
def newest_server(comfyui, tmp_path_factory):
    server = Server(comfyui, tmp_path_factory.mktemp("newest"), *newest_frontend())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def frontend(newest_server):
    with open_frontend(newest_server, nodes2=True) as page:
        yield page


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_loads_and_runs(frontend, path):
    check_runs(frontend, read(path))


@pytest.mark.parametrize("path", SUBGRAPHS, ids=lambda path: path.stem)
def test_a_subgraph_loads(frontend, path):
    check_loaded(frontend, read(path))


DROP = """async ([bytes, name]) => {
    const node = app.graph.nodes.find(node => node.type === 'ResemblanceExamplePhoto');
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));
    return await node.onDragDrop({dataTransfer: files});
}"""


def test_a_photograph_dropped_on_the_example_is_restored(frontend, newest_server):
    photo = io.BytesIO()
    Image.open(ROOT / "nodes/examples/man_damaged.jpg").crop((100, 40, 640, 620)).save(photo, "PNG")
    frontend.load(template("01"))
    assert frontend.page.evaluate(DROP, [list(photo.getvalue()), "mine.png"])
    example = "app.graph.nodes.find(node => node.type === 'ResemblanceExamplePhoto')"
    frontend.page.wait_for_function(f"() => {example}.widgets.find(w => w.name === 'own').value === 'mine.png'")
    assert frontend.run()["kind"] == "execution_success"
    frontend.settle()
    after = max((newest_server.base / "output").rglob("restored*.png"), key=lambda path: path.stat().st_mtime_ns)
    assert Image.open(after).size == (540, 580)
    assert overlapping(frontend.survey()["nodes"]) == []


def test_the_slider_shows_both(frontend):
    frontend.load(template("05"))
    assert frontend.run()["kind"] == "execution_success"
    shown = "() => [...document.querySelectorAll('[data-testid=image-compare-viewport] img')].map(image => image.src)"
    frontend.page.wait_for_function(f"() => ({shown})().length === 2")
    before, after = frontend.page.evaluate(shown)
    assert before != after


def test_a_number_that_is_left_open_reads_auto(frontend):
    frontend.load(template("01"))
    field = frontend.page.locator("[aria-label=strength] input")
    picture = "element => getComputedStyle(element).backgroundImage.includes('auto')"
    assert field.evaluate(picture)
    frontend.page.locator("[aria-label=strength] [data-testid=increment]").click()
    frontend.page.wait_for_function(
        "() => app.graph.nodes.some(n => n.widgets?.some(w => w.name === 'strength' && w.value === 0))"
    )
    assert not field.evaluate(picture) and field.input_value() == "0.00"
    assert not frontend.page.locator("[aria-label=threshold] input").evaluate(picture)


def test_an_empty_text_shows_what_may_be_written(frontend):
    frontend.load(template("03"))
    assert frontend.page.locator("[aria-label=manual]").first.get_attribute("placeholder") == "e.g. 1=anna, 2=none"


NAMES = """() => {
    const node = LiteGraph.createNode('ResemblanceRestoreFaces');
    const said = [...node.inputs, ...node.widgets, ...node.outputs].map(e => [e.name, e.localized_name ?? e.label]);
    return [node.title, Object.fromEntries(said)];
}"""


# German is none of the frontend's languages yet; the server hands ours out as soon as it is one.
@pytest.mark.parametrize("language", sorted({path.name for path in (ROOT / "locales").iterdir()} - {"de"}))
def test_the_nodes_speak_the_users_language(frontend, language):
    said = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    expected = said["ResemblanceRestoreFaces"]
    frontend.open(**{"Comfy.Locale": language})
    try:
        title, names = frontend.page.evaluate(NAMES)
        assert title == expected["display_name"]
        assert names["references"] == expected["inputs"]["references"]["name"]
        assert names["fidelity"] == expected["inputs"]["fidelity"]["name"]
        assert names["report"] == expected["outputs"]["2"]["name"]
    finally:
        frontend.open(**{"Comfy.Locale": "en"})
