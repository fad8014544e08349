"""The templates with a diffusion sampler between crop and paste, run to their end on a small checkpoint."""

import pytest
import torch
from checkpoint import write_checkpoint
from host_server import Server
from templates import HOSTS_NODE, api_graph, template

STEPS = 3


@pytest.fixture(scope="module")
def server(comfy, comfyui, tmp_path_factory):
    """ComfyUI with the checkpoint under the name that the templates ask for."""
    base = tmp_path_factory.mktemp("samplers")
    (loader,) = (node for node in template("09")["nodes"] if node["type"] == HOSTS_NODE)
    write_checkpoint(base / "models" / "checkpoints" / loader["widgets_values"][0])
    running = Server(comfyui, base)
    yield running
    running.stop()


def graph_of(start, **changes):
    """A template's graph with few steps, its result kept, and inputs of some of its nodes changed."""
    graph = api_graph(template(start))
    for key, (kind, inputs) in list(graph.items()):
        if kind == "KSampler":
            inputs |= {"steps": STEPS, "denoise": 0.67}
        inputs |= changes.get(kind, {})
        if kind == "SaveImage":
            graph[f"{key} kept"] = ("ResemblanceTestKeep", {"value": inputs["images"], "name": "after"})
    return graph


def keep(graph, kind, slot, name):
    """Keep an output of each node of a kind; its names."""
    names = []
    for key, (own, _) in list(graph.items()):
        if own == kind:
            names.append(f"{name}{len(names)}")
            graph[f"{key} {name}"] = ("ResemblanceTestKeep", {"value": [key, slot], "name": names[-1]})
    return names


def test_a_sampler_redraws_the_face_and_nothing_else(server):
    graph = graph_of("09")
    keep(graph, "ResemblancePasteFaces", 1, "mask")
    keep(graph, "VAEDecode", 0, "drawn")
    keep(graph, "ResemblanceCropFaces", 0, "crops")
    keep(graph, "ResemblanceExamplePhoto", 0, "photo")
    run = server.run(graph)
    after, mask, drawn, photo = (run.kept(name) for name in ("after", "mask0", "drawn0", "photo0"))
    assert drawn.shape == (1, 512, 512, 3) and bool(drawn.isfinite().all())
    assert after.shape == photo.shape and mask.shape == photo.shape[:3]
    untouched = (mask == 0)[..., None].expand_as(photo)
    assert torch.equal(after[untouched], photo[untouched]) and 0.2 < untouched.float().mean() < 0.95
    touched = (mask > 0.9)[..., None].expand_as(photo)
    assert (after - photo)[touched].abs().mean() > 0.02, "random weights draw another face"


def test_without_faces_the_sampler_is_not_asked(server):
    sampled = "%|"  # a progress bar in the log

    def log_of(threshold):
        before = len(server.log())
        graph = graph_of("09", ResemblanceDetectFaces={"threshold": threshold}, KSampler={"seed": 2})
        keep(graph, "ResemblanceExamplePhoto", 0, "photo")
        run = server.run(graph)
        return torch.equal(run.kept("after"), run.kept("photo0")), server.log()[before:]

    unchanged, log = log_of(1.0)
    assert unchanged and sampled not in log
    unchanged, log = log_of(0.5)
    assert not unchanged and sampled in log


def test_two_people_are_redrawn_by_samplers_of_their_own(server):
    graph = graph_of("10")
    keep(graph, "ResemblancePasteFaces", 0, "pasted")
    keep(graph, "ResemblanceExamplePhoto", 0, "photo")
    run = server.run(graph)
    photo, first, second = (run.kept(name) for name in ("photo0", "pasted0", "pasted1"))
    assert torch.equal(second, run.kept("after"))
    middle = photo.shape[2] // 2
    left, right = slice(0, middle), slice(middle, None)

    def changed(a, b, part):
        return float((a - b)[:, :, part].abs().mean())

    assert changed(first, photo, left) > 100 * changed(first, photo, right)
    assert changed(second, first, right) > 100 * changed(second, first, left)
