"""The nodes in a real ComfyUI, over its API."""

import json
import re
import time

import numpy as np
import pytest
import torch
from host_server import ROOT, Refused
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.faces.paste import PasteOptions, paste_faces
from resemblance.core.faces.select import measure_faces
from resemblance.core.loading import Models
from resemblance.core.pipeline import RestoreOptions, restore_photos
from resemblance.core.records import Lookup
from resemblance.core.restorers.table import load_restorer
from resemblance.core.restorers.tokens import decode_tokens, encode_tokens, invention_map, restore_tokens

NODES = [
    "RestoreFaces",
    "LoadRestorer",
    "DetectFaces",
    "FacesFromBoxes",
    "SegsToFaces",
    "TrackFaces",
    "SelectFaces",
    "EncodeReferences",
    "MatchReferences",
    "CropFaces",
    "RestoreCrops",
    "EncodeTokens",
    "RefineLatent",
    "TransferTexture",
    "RestoreTokens",
    "DecodeTokens",
    "PasteFaces",
    "CompareIdentity",
    "FacesToSegs",
    "ExamplePhoto",
]
PHOTO = ("ResemblanceExamplePhoto", {"name": "woman"})
DETECT = ("ResemblanceDetectFaces", {"image": ["photo", 0], "detector": "built-in"})
CROP = ("ResemblanceCropFaces", {"faces": ["faces", 0], "image": ["photo", 0]})
RESTORE = ("ResemblanceRestoreCrops", {"crops": ["crop", 0]})
PASTE = ("ResemblancePasteFaces", {"image": ["photo", 0], "crops": ["crop", 0], "restored": ["restored", 0]})
CHAIN = {"photo": PHOTO, "faces": DETECT, "crop": CROP, "restored": RESTORE, "paste": PASTE}
WHOLE = ("ResemblanceRestoreFaces", {"image": ["photo", 0], "detector": "built-in", "strength": 1.0})


def keep(name, source, slot=0):
    """A node that keeps what another gives, under a name."""
    return {f"keep {name}": ("ResemblanceTestKeep", {"value": [source, slot], "name": name})}


def run(server, graph, **kept):
    """Run a graph and give what its nodes gave: name = (node, slot)."""
    for name, (source, slot) in kept.items():
        graph = {**graph, **keep(name, source, slot)}
    result = server.run(graph)
    return [result.kept(name) for name in kept]


def fails(server, graph, source, slot=0):
    """What the node that fails says, wherever ComfyUI says it."""
    try:
        result = server.run({**graph, **keep("nothing", source, slot)})
    except Refused as refused:
        return str(refused)
    assert result.status == "error", "nothing failed"
    return result.message


def core(image):
    """An IMAGE as core takes it."""
    return image[..., :3].movedim(-1, 1).float()


def node(kind, **inputs):
    return (f"Resemblance{kind}", inputs)


@pytest.fixture(scope="module")
def photo(server):
    """The damaged example photograph, as an IMAGE."""
    return run(server, {"photo": PHOTO}, photo=("photo", 0))[0]


@pytest.fixture(scope="module")
def blank(server):
    """Inputs of a ResemblanceTestTensor that gives a photograph without faces."""
    return server.save("blank", torch.rand(1, 96, 128, 3, generator=torch.Generator().manual_seed(0)))


# The pack


def test_the_pack_loads_and_nothing_of_it_failed(server):
    log = server.log()
    assert "custom_nodes/resemblance\n" in log
    assert not [line for line in log.splitlines() if "IMPORT FAILED" in line and "custom_nodes" in line]


@pytest.mark.parametrize("name", NODES)
def test_every_node_is_explained(server, name):
    info = server.get(f"/object_info/Resemblance{name}")[f"Resemblance{name}"]
    assert info["category"].startswith("Resemblance") and info["description"]
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    assert [key for key, value in inputs.items() if not value[1].get("tooltip")] == []
    assert all(info["output_tooltips"]) and len(set(info["output_name"])) == len(info["output_name"])
    page = server.get(f"/extensions/resemblance/docs/Resemblance{name}.md")
    assert page.startswith("# ")
    assert [key for key in inputs if key not in page] == [], "inputs that the help page does not name"


def test_no_node_beyond_these(server):
    names = {name for name, info in server.get("/object_info").items() if info["category"].startswith("Resemblance")}
    assert names == {f"Resemblance{name}" for name in NODES}


def test_the_template_browser_and_the_subgraphs_are_offered(server):
    offered = server.get("/api/workflow_templates")["resemblance"]
    assert {"01 Restore faces - start here", "02 With photographs of the same person"} <= set(offered)
    blueprints = server.get("/api/global_subgraphs").values()
    assert {entry["name"] for entry in blueprints if entry["info"]["node_pack"] == "custom_nodes.resemblance"} == {
        "Restore Faces Taken Apart",
        "Face Sampler Detail",
    }


def test_files_that_can_be_loaded_are_listed_by_their_content(server):
    entry = server.get("/object_info/ResemblanceLoadRestorer")["ResemblanceLoadRestorer"]["input"]["required"]["file"]
    options = entry[0] if isinstance(entry[0], list) else entry[1]["options"]
    assert options[0] == "built-in"
    assert {"codeformer.pth", "whole.onnx", "elsewhere.pth"} <= set(options)
    assert "detection_Resnet50_Final.pth" not in options


# The same as core


def test_restore_faces_is_core(server, photo):
    image, mask, report = run(
        server, {"photo": PHOTO, "all": WHOLE}, image=("all", 0), mask=("all", 1), report=("all", 2)
    )
    photos = core(photo)
    expected = restore_photos(
        photos, Models(load_restorer()), lambda p: detect_faces(p, "built-in"), RestoreOptions(blend=1.0)
    )
    assert len(expected.faces) == 1 and float(expected.masks.max()) == 1
    torch.testing.assert_close(core(image), expected.pixels, atol=1e-4, rtol=0)
    torch.testing.assert_close(mask, expected.masks[:, 0], atol=1e-4, rtol=0)
    assert torch.equal(image[mask == 0], photo[mask == 0])
    told = json.loads(report)
    assert [len(entry["faces"]) for entry in told["images"]] == [1]


def test_each_step_taken_apart_is_core(server, photo):
    graph = {
        **CHAIN,
        "encode": node("EncodeTokens", crops=["crop", 0], lookup="top-k", k=3, temperature=0.5),
        "mix": node("RestoreTokens", tokens=["encode", 0], content=0.3, quality=0.8),
        "restored": node("DecodeTokens", tokens=["mix", 0]),
        "paste": ("ResemblancePasteFaces", {**PASTE[1], "strength": 0.8, "grain_match": 0.5}),
    }
    crop, mask, restored, pasted, applied, invented = run(
        server,
        graph,
        crop=("crop", 1),
        mask=("crop", 2),
        restored=("restored", 0),
        pasted=("paste", 0),
        applied=("paste", 1),
        invented=("mix", 1),
    )
    photos = core(photo)
    crops = crop_faces(photos, measure_faces(photos, detect_faces(photos, "built-in")))
    assert len(crops) == 1
    torch.testing.assert_close(core(crop), crops.pixels, atol=1e-4, rtol=0)
    torch.testing.assert_close(mask, crops.masks[:, 0], atol=1e-4, rtol=0)
    lookup = Lookup("top-k", 3, 0.5)
    mixed = restore_tokens(encode_tokens(crops, load_restorer(), lookup), 0.3, 0.8)
    faces = decode_tokens(mixed)
    torch.testing.assert_close(core(restored), faces, atol=1e-3, rtol=0)
    pixels, masks = paste_faces(photos, crops, faces, 0.8, PasteOptions(grain_match=0.5))
    torch.testing.assert_close(core(pasted), pixels, atol=1e-3, rtol=0)
    torch.testing.assert_close(applied, masks[:, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(invented, invention_map(mixed)[:, 0], atol=1e-2, rtol=0)


def test_the_everyday_middle_is_the_tokens_chain(server):
    tokens = {
        "encode": node("EncodeTokens", crops=["crop", 0]),
        "mix": node("RestoreTokens", tokens=["encode", 0]),
        "decode": node("DecodeTokens", tokens=["mix", 0]),
    }
    whole, apart = run(server, {**CHAIN, **tokens}, whole=("restored", 0), apart=("decode", 0))
    torch.testing.assert_close(whole, apart, atol=1 / 255, rtol=0)  # a level of 8 bits


def test_a_restorer_from_a_file_takes_the_place_of_the_built_in(server, models):
    load = {"load": node("LoadRestorer", file="codeformer.pth")}
    graph = {**CHAIN, **load, "restored": ("ResemblanceRestoreCrops", {"crops": ["crop", 0], "restorer": ["load", 0]})}
    crop, restored = run(server, graph, crop=("crop", 1), restored=("restored", 0))
    # Random weights amplify rounding, so it is done on one thread, as the server does it.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = load_restorer(models / "facerestore_models" / "codeformer.pth").restore(core(crop))
    torch.set_num_threads(threads)
    torch.testing.assert_close(core(restored), expected, atol=2e-2, rtol=0)


# References


TWO = {
    "photo": node("ExamplePhoto", name="two people"),
    "anna": node("EncodeReferences", image=["photo", 2], person="anna"),
    "known": node("EncodeReferences", image=["photo", 3], person="bob", references=["anna", 0]),
    "faces": DETECT,
    "match": node("MatchReferences", faces=["faces", 0], image=["photo", 0], references=["known", 0]),
    "crop": node("CropFaces", faces=["match", 0], image=["photo", 0]),
    "encode": node("EncodeTokens", crops=["crop", 0]),
    "transfer": node("TransferTexture", tokens=["encode", 0], references=["known", 0]),
    "restored": node("DecodeTokens", tokens=["transfer", 0]),
    "blind": node("DecodeTokens", tokens=["encode", 0]),
}


def test_the_chain_with_references_is_the_everyday_middle(server):
    whole = node("RestoreCrops", crops=["crop", 0], references=["known", 0])
    off = node("RestoreCrops", crops=["crop", 0], references=["known", 0], reference_strength=0.0)
    matched, apart, blind, map_, whole, off = run(
        server,
        {**TWO, "whole": whole, "off": off},
        matched=("match", 1),
        apart=("restored", 0),
        blind=("blind", 0),
        map=("transfer", 1),
        whole=("whole", 0),
        off=("off", 0),
    )
    assert [entry["person"] for entry in json.loads(matched)] == ["anna", "bob"]
    assert map_.shape == apart.shape and not torch.equal(apart, blind)
    torch.testing.assert_close(whole, apart, atol=1 / 255, rtol=0)  # a level of 8 bits
    torch.testing.assert_close(off, blind, atol=1 / 255, rtol=0)  # tokens carry encoder features in bfloat16


def test_pictures_of_any_size_come_as_a_list(server):
    """A node that takes lists is called once for all of a list, with the references of before as one value."""
    graph = {
        **TWO,
        "list": ("ResemblanceTestList", {"first": ["photo", 2], "second": ["photo", 4]}),
        "known": node("EncodeReferences", image=["list", 0], person="anna"),
    }
    (report,) = run(server, graph, report=("known", 1))
    assert json.loads(report)["people"] == {"anna": ["anna 1", "anna 2"]}


def test_a_list_of_references_restores_once(server):
    """So does a graph that calls the detector as it was called before 0.1.0."""
    graph = {
        **TWO,
        "list": ("ResemblanceTestList", {"first": ["photo", 2], "second": ["photo", 4]}),
        "all": ("ResemblanceRestoreFaces", {**WHOLE[1], "detector": "builtin", "reference_image": ["list", 0]}),
    }
    (report,) = run(server, graph, report=("all", 2))
    faces = json.loads(report)["images"][0]["faces"]
    assert {name for face in faces for name in face.get("taken", [])} == {"person 1", "person 2"}


def test_what_references_did_is_measured(server):
    graph = {
        **TWO,
        "all": ("ResemblanceRestoreFaces", {**WHOLE[1], "references": ["known", 0]}),
        "blind": WHOLE,
        "compare": node("CompareIdentity", before=["blind", 0], after=["all", 0], references=["known", 0]),
    }
    report, scores, picture = run(server, graph, report=("all", 2), scores=("compare", 0), picture=("compare", 1))
    faces = json.loads(report)["images"][0]["faces"]
    assert [face["person"] for face in faces] == ["anna", "bob"] and all(face["with_references"] for face in faces)
    told = [face["identity_to_references"] for face in faces]
    faces = json.loads(scores)["faces"]
    assert [face["person"] for face in faces] == ["anna", "bob"] and all(face["gain"] > 0 for face in faces)
    # The report measures the crops, the comparison faces that are found again in what was pasted.
    for face, expected in zip(faces, told, strict=True):
        assert face["before"] == pytest.approx(expected["restored_without"], abs=0.1)
        assert face["after"] == pytest.approx(expected["restored_with"], abs=0.1)
    assert picture.shape == (1, 512, 768, 3)


def test_references_are_read_once_for_many_runs(server):
    kept = keep("transfer", "transfer", 2)
    server.run({**TWO, **kept})
    other = node("TransferTexture", tokens=["encode", 0], references=["known", 0], strength=0.5)
    assert server.run({**TWO, "transfer": other, **kept}).cached >= {"anna", "known", "encode"}


# Wiring


def test_two_branches_each_paste_their_own_face(server):
    graph = {"photo": node("ExamplePhoto", name="two people"), "faces": DETECT}
    image = "photo"
    for i, name in enumerate("AB"):
        graph |= {
            f"select {name}": node("SelectFaces", faces=["faces", 0], indices=str(i + 1)),
            f"crop {name}": node("CropFaces", faces=[f"select {name}", 0], image=["photo", 0]),
            f"restored {name}": node("RestoreCrops", crops=[f"crop {name}", 0]),
            f"paste {name}": node(
                "PasteFaces", image=[image, 0], crops=[f"crop {name}", 0], restored=[f"restored {name}", 0]
            ),
        }
        image = f"paste {name}"
    photo, count, first, second, both = run(
        server,
        graph,
        photo=("photo", 0),
        count=("select A", 1),
        first=("paste A", 1),
        second=("paste B", 1),
        both=("paste B", 0),
    )
    assert count == 1
    assert 0 < _centre(first) < _centre(second)
    untouched = (first == 0) & (second == 0)
    assert torch.equal(both[untouched], photo[untouched]) and not torch.equal(both, photo)


def test_crops_go_through_upscalers_with_a_margin_and_other_masks(server):
    graph = {
        **CHAIN,
        "crop": ("ResemblanceCropFaces", {**CROP[1], "size": 576, "margin": 0.25}),
        "half": ("SolidMask", {"value": 0.5, "width": 200, "height": 200}),
        "restored": (
            "ImageScale",
            {"image": ["crop", 1], "upscale_method": "bicubic", "width": 1000, "height": 1000, "crop": "disabled"},
        ),
        "paste": ("ResemblancePasteFaces", {**PASTE[1], "crop_masks": ["half", 0]}),
    }
    photo, image, mask = run(server, graph, photo=("photo", 0), image=("paste", 0), mask=("paste", 1))
    assert image.shape == photo.shape
    assert float(mask.max()) == pytest.approx(0.5, abs=1e-3)
    # The crop itself, only enlarged, pasted back: the photograph.
    assert float((image - photo).abs().mean()) < 0.01


@pytest.mark.parametrize("mask", ["zeros of LoadImage", "all but nothing", "left half"])
def test_the_photo_mask_says_where_to_paste(server, photo, mask):
    size = photo.shape[1:3]
    given = {"zeros of LoadImage": torch.zeros(1, 64, 64), "all but nothing": torch.zeros(1, *size)}
    half = torch.zeros(1, *size)
    half[..., : size[1] // 2] = 1
    tensor = ("ResemblanceTestTensor", server.save(mask, given.get(mask, half)))
    graph = {**CHAIN, "mask": tensor, "paste": ("ResemblancePasteFaces", {**PASTE[1], "photo_mask": ["mask", 0]})}
    image, applied = run(server, graph, image=("paste", 0), applied=("paste", 1))
    if mask == "all but nothing":
        assert torch.equal(image, photo) and not applied.any()
    else:
        assert applied[..., : size[1] // 2].any()
        assert bool(applied[..., size[1] // 2 + 1 :].any()) == (mask == "zeros of LoadImage")


def test_the_example_in_the_readme_runs(server):
    prompt = json.loads(re.search(r"-d '(\{.*?\})'\n```", (ROOT / ".github/docs/library.md").read_text(), re.S)[1])[
        "prompt"
    ]
    photo = ROOT / "tests" / "photos" / "astronaut_damaged.jpg"
    (server.base / "input" / "photo.png").write_bytes(photo.read_bytes())
    result = server.run({key: (value["class_type"], value["inputs"]) for key, value in prompt.items()})
    assert result.status == "success" and result.outputs["3"]["images"]


@pytest.mark.parametrize("kind", ["RestoreFaces", "PasteFaces"])
def test_strength_0_is_the_photograph_bit_for_bit(server, photo, kind):
    name = {"RestoreFaces": "all", "PasteFaces": "paste"}[kind]
    graph = {**CHAIN, "all": WHOLE}
    graph[name] = (graph[name][0], {**graph[name][1], "strength": 0.0})
    image, mask = run(server, graph, image=(name, 0), mask=(name, 1))
    assert torch.equal(image, photo) and not mask.any()


def test_faces_come_back_through_boxes_and_segs(server, photo):
    height, width = photo.shape[1:3]
    boxes, crop = run(server, CHAIN, boxes=("faces", 1), crop=("crop", 1))
    box = boxes[0][0]
    corners = [box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]]
    value = ("ResemblanceTestValue", {"text": json.dumps({"segs": [corners], "size": [height, width]})})
    others = {
        "boxes": ({}, node("FacesFromBoxes", image=["photo", 0], boxes=["faces 0", 1])),
        "segs": ({"segs": value}, node("SegsToFaces", image=["photo", 0], segs=["segs", 0])),
    }
    for extra, faces in others.values():
        graph = {**CHAIN, "faces 0": DETECT, **extra, "faces": faces}
        (again,) = run(server, graph, again=("crop", 1))
        assert float((again - crop).abs().mean()) < 0.02


def test_faces_to_segs_gives_impacts_regions(server, photo):
    graph = {**CHAIN, "segs": node("FacesToSegs", crops=["crop", 0], image=["photo", 0])}
    (size, regions), boxes = run(server, graph, segs=("segs", 0), boxes=("faces", 1))
    assert size == list(photo.shape[1:3]) and len(regions) == 1
    pixels, mask, score, (x0, y0, x1, y1), box, label, _ = regions[0]
    assert pixels["shape"] == [1, y1 - y0, x1 - x0, 3] and mask["shape"] == [y1 - y0, x1 - x0]
    assert label == "face" and score == pytest.approx(boxes[0][0]["score"])
    assert abs(box[0] - boxes[0][0]["x"]) <= 1


def test_a_batch_keeps_its_order(server):
    names = {"A": "woman", "B": "two people"}
    graph = {f"photo {key}": node("ExamplePhoto", name=name) for key, name in names.items()}
    for key in names:
        graph[f"scaled {key}"] = (
            "ImageScale",
            {"image": [f"photo {key}", 0], "upscale_method": "area", "width": 512, "height": 512, "crop": "center"},
        )
    graph["photo"] = ("ImageBatch", {"image1": ["scaled A", 0], "image2": ["scaled B", 0]})
    image, mask, report, photo = run(
        server, {**graph, "all": WHOLE}, image=("all", 0), mask=("all", 1), report=("all", 2), photo=("photo", 0)
    )
    assert image.shape == photo.shape == (2, 512, 512, 3)
    assert [entry["image"] for entry in json.loads(report)["images"]] == [0, 1]
    assert [len(entry["faces"]) for entry in json.loads(report)["images"]] == [1, 2]
    assert torch.equal(image[mask == 0], photo[mask == 0])


# What ComfyUI does around them


def test_the_second_run_is_cached(server):
    graph = {**CHAIN, **keep("paste", "paste")}
    server.run(graph)
    assert server.run(graph).cached >= set(CHAIN)


def test_inputs_are_never_changed(server, photo):
    graph = {"photo": ("ResemblanceTestTensor", server.save("given", photo))}
    run(server, {**CHAIN, **graph, "all": WHOLE}, paste=("paste", 0), all=("all", 0))
    result = server.run({**graph, **keep("given", "photo")})
    assert "photo" in result.cached  # so it is the very tensor that the others were given
    assert torch.equal(result.kept("given"), photo)


@pytest.mark.parametrize("kind", ["float16", "four channels"])
def test_float16_and_a_fourth_channel(server, photo, kind):
    alpha = torch.linspace(0, 1, photo[..., :1].numel()).reshape(photo[..., :1].shape)
    given = torch.cat([photo, alpha], -1) if kind == "four channels" else photo
    inputs = {**server.save(kind, given), "dtype": "float16" if kind == "float16" else "float32"}
    graph = {**CHAIN, "photo": ("ResemblanceTestTensor", inputs), "all": WHOLE}
    pasted, whole = run(server, graph, pasted=("paste", 0), whole=("all", 0))
    plain, plain_whole = run(server, {**CHAIN, "all": WHOLE}, pasted=("paste", 0), whole=("all", 0))
    for image, expected in ((pasted, plain), (whole, plain_whole)):
        assert image.dtype == torch.float32 and torch.isfinite(image).all()
        far = (image[..., :3] - expected).abs().mean()
        assert far < 0.25 * (expected - photo).abs().mean(), "it is another picture than without"
        if kind == "four channels":
            torch.testing.assert_close(image[..., :3], expected, atol=1e-4, rtol=0)
            assert torch.equal(image[..., 3:], alpha)


# Frames enough for several seconds of work on a fast machine, so that the interrupt always finds it going on.
@pytest.mark.parametrize(("kind", "count"), [("RestoreFaces", 80), ("DetectFaces", 200), ("RestoreCrops", 80)])
def test_an_interrupt_is_heard_within_a_second(server, kind, count):
    frames = {
        "one": PHOTO,
        "photo": ("RepeatImageBatch", {"image": ["one", 0], "amount": count}),
        "all": WHOLE,
        "faces": DETECT,
        "crop": CROP,
        "restored": RESTORE,
    }
    end = {"RestoreFaces": "all", "DetectFaces": "faces", "RestoreCrops": "restored"}[kind]
    # A threshold of its own, so that nothing is cached.
    for name in ("all", "faces"):
        frames[name] = (frames[name][0], {**frames[name][1], "threshold": 0.45 if kind == "RestoreCrops" else 0.4})
    if kind == "RestoreCrops":
        run(server, frames, crops=("crop", 2))
    prompt_id = server.begin({**frames, **keep("interrupted", end)}, end)
    asked = time.monotonic()
    server.post("/interrupt")
    result = server.wait(prompt_id)
    seconds = time.monotonic() - asked
    assert (result.status, result.node) == ("interrupted", end)
    assert seconds < 2, "a second, and one more for a busy machine"


# Bad input: a message that says what to do


def test_no_face_passes_the_photograph_through_and_says_so(server, blank):
    graph = {**CHAIN, "photo": ("ResemblanceTestTensor", blank), "all": WHOLE}
    photo, image, mask, report, tile, tile_mask, pasted, faces = run(
        server,
        graph,
        photo=("photo", 0),
        image=("all", 0),
        mask=("all", 1),
        report=("all", 2),
        tile=("crop", 1),
        tile_mask=("crop", 2),
        pasted=("paste", 0),
        restored=("restored", 0),
    )
    assert torch.equal(image, photo) and torch.equal(pasted, photo) and not mask.any()
    assert json.loads(report)["images"][0]["said"] == ["No face was found."]
    assert tile.shape == faces.shape == (1, 512, 512, 3) and len(tile.unique()) == 1
    assert tile_mask.shape == (1, 512, 512) and not tile_mask.any()


def test_without_a_face_nothing_between_crop_and_paste_runs(server, blank):
    nothing = server.save("nothing", torch.full((1, 64, 64, 3), torch.nan))
    broken = ("ResemblanceRestoreCrops", {**RESTORE[1], "image": ["bad", 0]})
    graph = {**CHAIN, "bad": ("ResemblanceTestTensor", nothing), "restored": broken}
    assert "holds NaN" in fails(server, graph, "paste")
    graph["photo"] = ("ResemblanceTestTensor", blank)
    pasted, photo = run(server, graph, pasted=("paste", 0), photo=("photo", 0))
    assert torch.equal(pasted, photo)


def test_three_hundred_frames_go_through(server):
    frames = torch.rand(300, 72, 64, 3, generator=torch.Generator().manual_seed(1))
    graph = {"photo": ("ResemblanceTestTensor", server.save("frames", frames)), "all": WHOLE}
    image, report = run(server, graph, image=("all", 0), report=("all", 2))
    assert torch.equal(image, frames) and len(json.loads(report)["images"]) == 300


def test_a_file_removed_after_it_was_listed(server, models):
    path = models / "facerestore_models" / "gone.pth"
    path.write_bytes((path.parent / "codeformer.pth").read_bytes())
    try:
        entry = server.get("/object_info/ResemblanceLoadRestorer")["ResemblanceLoadRestorer"]
        assert "gone.pth" in json.dumps(entry)
    finally:
        path.unlink()
    message = fails(server, {"load": node("LoadRestorer", file="gone.pth")}, "load")
    assert "gone.pth" in message


BAD = {
    "an empty batch": (torch.zeros(0, 64, 64, 3), {"all": WHOLE}, "all", r"empty batch .*connect at least one"),
    "an empty batch to detect": (torch.zeros(0, 64, 64, 3), {"faces": DETECT}, "faces", r"empty batch"),
    "no photograph": (torch.zeros(1, 64, 64, 2), {"all": WHOLE}, "all", r"\(1, 64, 64, 2\); expected an IMAGE"),
    "values that are no numbers": (
        torch.full((1, 128, 128, 3), float("nan")),
        {"all": WHOLE},
        "all",
        r"not finite|NaN",
    ),
    "more pictures than crops": (
        torch.zeros(3, 512, 512, 3),
        {**CHAIN, "paste": ("ResemblancePasteFaces", {**PASTE[1], "restored": ["bad", 0]})},
        "paste",
        r"Got 3 pictures as restored for 1 crops; give exactly one for each",
    ),
    "another photograph to crop": (
        torch.zeros(1, 100, 80, 3),
        {**CHAIN, "crop": ("ResemblanceCropFaces", {"faces": ["faces", 0], "image": ["bad", 0]})},
        "crop",
        r"80x100.*Connect the image that the faces were found in",
    ),
    "another photograph to paste into": (
        torch.zeros(1, 100, 80, 3),
        {**CHAIN, "paste": ("ResemblancePasteFaces", {**PASTE[1], "image": ["bad", 0]})},
        "paste",
        r"came from 1 photographs .* but got 1 of \(100, 80\)",
    ),
    "a photo mask of another size": (
        torch.ones(1, 50, 50),
        {**CHAIN, "paste": ("ResemblancePasteFaces", {**PASTE[1], "photo_mask": ["bad", 0]})},
        "paste",
        r"\(1, 50, 50\)",
    ),
    "two masks for one crop": (
        torch.ones(2, 512, 512),
        {**CHAIN, "paste": ("ResemblancePasteFaces", {**PASTE[1], "crop_masks": ["bad", 0]})},
        "paste",
        r"Got 2 masks as crop_masks, but 1",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_says_what_to_do(server, name):
    tensor, graph, end, message = BAD[name]
    bad = ("ResemblanceTestTensor", server.save(name, tensor))
    graph = {"bad": bad, "photo": bad, **graph} if "photo" not in graph else {"bad": bad, **graph}
    told = fails(server, graph, end)
    assert re.search(message, told), told


def test_a_restorer_without_tokens_at_a_token_node(server):
    pytest.importorskip("onnxruntime")
    graph = {
        **CHAIN,
        "load": node("LoadRestorer", file="whole.onnx"),
        "tokens": node("EncodeTokens", crops=["crop", 0], restorer=["load", 0]),
    }
    assert "has no tokens" in fails(server, graph, "tokens")
    restored = ("ResemblanceRestoreCrops", {"crops": ["crop", 0], "restorer": ["load", 0]})
    crop, image = run(server, {**graph, "restored": restored}, crop=("crop", 1), restored=("restored", 0))
    assert image.shape == crop.shape


def test_photographs_without_a_face_are_no_references(server, blank):
    bad = {"bad": ("ResemblanceTestTensor", blank), "known": node("EncodeReferences", image=["bad", 0], person="anna")}
    assert "None of the photographs of 'anna' can be used" in fails(server, bad, "known")


def test_neither_or_both_of_boxes_and_landmarks(server):
    graph = {"photo": PHOTO, "faces": node("FacesFromBoxes", image=["photo", 0])}
    assert "connect exactly one" in fails(server, graph, "faces")


def _centre(mask):
    columns = mask[0].sum(0).numpy()
    return float(np.average(np.arange(len(columns)), weights=columns))
