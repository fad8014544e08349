"""The nodes by hand, with ComfyUI's core imported but no server."""

import asyncio
import json
import logging
import os
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import host_server
import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
# Widgets by position, as saved workflows store their values: frozen from version 0.1.0. New ones go to the end, and are
# optional, for graphs saved over the API name only those that there were.
ADDED = {
    "ResemblanceRestoreFaces": ["reference_strength", "manual", "refine"],
    "ResemblanceRestoreCrops": ["reference_strength", "refine"],
    "ResemblanceEncodeReferences": ["embedder"],
}
WIDGETS = {
    "ResemblanceRestoreFaces": [
        "fidelity",
        "strength",
        "detector",
        "threshold",
        "min_size",
        "max_faces",
        "min_sharpness",
        "reference_strength",
        "manual",
        "refine",
    ],
    "ResemblanceLoadRestorer": ["file"],
    "ResemblanceDetectFaces": ["detector", "threshold", "min_size", "max_faces", "order"],
    "ResemblanceFacesFromBoxes": [],
    "ResemblanceSegsToFaces": [],
    "ResemblanceSelectFaces": ["order", "indices", "min_size", "max_size", "min_sharpness", "max_sharpness"],
    "ResemblanceEncodeReferences": ["person", "weight", "embedder"],
    "ResemblanceMatchReferences": ["threshold", "manual"],
    "ResemblanceCropFaces": ["size", "margin"],
    "ResemblanceRestoreCrops": ["fidelity", "strength", "reference_strength", "refine"],
    "ResemblanceEncodeTokens": ["lookup", "k", "temperature"],
    "ResemblanceRefineLatent": ["steps", "identity", "seed", "candidates"],
    "ResemblanceTransferTexture": ["strength"],
    "ResemblanceRestoreTokens": ["content", "quality"],
    "ResemblanceDecodeTokens": [],
    "ResemblancePasteFaces": ["strength", "color_match", "sharpness_match", "grain_match"],
    "ResemblanceCompareIdentity": [],
    "ResemblanceFacesToSegs": [],
    "ResemblanceExamplePhoto": ["name"],
}
# What a bypassed node passes on, and so must be its first input and its first output.
PASSED = {
    "ResemblanceSelectFaces": "RESEMBLANCE_FACES",
    "ResemblanceMatchReferences": "RESEMBLANCE_FACES",
    "ResemblanceRefineLatent": "RESEMBLANCE_TOKENS",
    "ResemblanceTransferTexture": "RESEMBLANCE_TOKENS",
    "ResemblanceRestoreTokens": "RESEMBLANCE_TOKENS",
    "ResemblancePasteFaces": "IMAGE",
    "ResemblanceRestoreFaces": "IMAGE",
}


@pytest.fixture(scope="session")
def comfy(comfyui):
    """ComfyUI's own modules, for the CPU."""
    sys.path.append(str(comfyui))
    try:
        from comfy.cli_args import args

        args.cpu = True
        import comfy.model_management
        import folder_paths
    except ImportError as error:
        host_server.unavailable(f"ComfyUI does not import here ({error}); install the extra 'host'.")
    return SimpleNamespace(management=comfy.model_management, folder_paths=folder_paths)


@pytest.fixture(scope="session")
def nodes(comfy):
    """The node classes by id."""
    import resemblance

    extension = asyncio.run(resemblance.comfy_entrypoint())
    classes = asyncio.run(extension.get_node_list())
    return {node.GET_SCHEMA().node_id: node for node in classes}


@pytest.fixture
def models_dir(comfy, tmp_path, monkeypatch):
    """An empty models folder, and ComfyUI's folders as a fresh one has them."""
    ours = {"facerestore_models", "face_restore", "insightface", "facexlib", "facedetection"}
    known = comfy.folder_paths.folder_names_and_paths
    monkeypatch.setattr(
        comfy.folder_paths, "folder_names_and_paths", {name: v for name, v in known.items() if name not in ours}
    )
    monkeypatch.setattr(comfy.folder_paths, "models_dir", str(tmp_path / "models"))
    monkeypatch.setattr(comfy.folder_paths, "filename_list_cache", {})
    monkeypatch.setattr(comfy.folder_paths, "temp_directory", str(tmp_path / "temp"))
    return tmp_path / "models"


@pytest.fixture
def run(nodes, models_dir):
    """Runs a node as the executor does: its widgets' defaults, no gradients, classes prepared; gives its outputs."""

    def execute(name, /, **given):
        node = nodes[f"Resemblance{name}"]
        schema = node.GET_SCHEMA()
        values = {i.id: i.default for i in schema.inputs if hasattr(i, "default")} | given
        if schema.is_input_list:
            values = {key: value if isinstance(value, list) else [value] for key, value in values.items()}
        with torch.inference_mode():
            clone = node.PREPARE_CLASS_CLONE({})
            return clone.EXECUTE_NORMALIZED(**values)

    return execute


@pytest.fixture(scope="session")
def codeformer_file(tiny_codeformer, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "codeformer.pth"
    torch.save({"params_ema": tiny_codeformer.state_dict()}, path)
    return path


@pytest.fixture
def codeformer(run, models_dir, codeformer_file):
    """The restorer socket of a small CodeFormer."""
    folder = models_dir / "facerestore_models"
    folder.mkdir(parents=True)
    (folder / "codeformer.pth").write_bytes(codeformer_file.read_bytes())
    return run("LoadRestorer", file="codeformer.pth")[0]


LANDMARKS = ((70.0, 80.0), (122.0, 82.0), (96.0, 112.0), (74.0, 134.0), (118.0, 136.0))


def found(photos, places, **settings):
    """Faces by hand: of `places` (image, shift in px) in an IMAGE."""
    from resemblance.core.records import Face, PhotoFaces

    faces, count = [], {}
    for image, shift in places:
        index = count[image] = count.get(image, -1) + 1
        points = tuple((x + shift, y) for x, y in LANDMARKS)
        faces.append(Face(image, index, (40.0 + shift, 30.0, 150.0 + shift, 190.0), 0.9, points, **settings))
    return PhotoFaces(tuple(faces), tuple((photos.shape[1], photos.shape[2]) for _ in photos))


@pytest.fixture(scope="session")
def photos():
    """Two smooth pictures with some grain, (2,240,400,3)."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 12, 20, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, (240, 400), mode="bicubic", align_corners=False)
    return (smooth + 0.02 * torch.randn(smooth.shape, generator=rng)).clamp(0, 1).movedim(1, -1).contiguous()


# Schemas


def inputs_of(node):
    return node.GET_SCHEMA().inputs


@pytest.mark.parametrize("name", WIDGETS)
def test_every_node_keeps_the_rules(nodes, name):
    assert list(nodes) == list(WIDGETS)
    schema = nodes[name].GET_SCHEMA()
    assert schema.category == "Resemblance" and schema.display_name and schema.description
    for entry in (*schema.inputs, *schema.outputs):
        assert entry.tooltip and entry.tooltip.endswith("."), f"{entry} needs a tooltip"
    assert all(output.display_name for output in schema.outputs)
    assert not any(output.is_output_list for output in schema.outputs)
    widgets = [i for i in schema.inputs if hasattr(i, "default") and i.io_type not in ("IMAGE", "MASK")]
    assert [i.id for i in widgets] == WIDGETS[name]
    for widget in widgets:
        assert widget.default is not None and widget.optional == (widget.id in ADDED.get(name, []))
        if widget.io_type in ("INT", "FLOAT"):
            assert widget.min <= widget.default <= widget.max
        if widget.io_type == "COMBO":
            assert widget.default in widget.options
    required_after_optional = [i.optional for i in schema.inputs if i not in widgets]
    assert required_after_optional == sorted(required_after_optional)
    for restorer in (i for i in schema.inputs if i.io_type == "RESEMBLANCE_RESTORER"):
        assert restorer.optional


def test_what_passes_through_is_first_in_and_first_out(nodes):
    for name, node in nodes.items():
        kinds = [i.io_type for i in node.GET_SCHEMA().inputs]
        outputs = [o.io_type for o in node.GET_SCHEMA().outputs]
        if name in PASSED:
            assert kinds[0] == outputs[0] == PASSED[name]
        # References may be added to others, which a bypassed node then passes on: they are the only ones of their type.
        passed = {PASSED.get(name)} | ({"RESEMBLANCE_REFERENCES"} if name == "ResemblanceEncodeReferences" else set())
        assert not {o for o in outputs if o.startswith("RESEMBLANCE_")} & set(kinds) - passed


def test_only_the_loader_looks_at_files_before_it_runs(nodes):
    from comfy_api.latest import io

    for name, node in nodes.items():
        assert node.validate_inputs.__func__ is io.ComfyNode.validate_inputs.__func__
        own = node.fingerprint_inputs.__func__ is not io.ComfyNode.fingerprint_inputs.__func__
        assert own == (name == "ResemblanceLoadRestorer")


def test_every_node_has_a_help_page_that_names_its_sockets(nodes):
    pages = {path.stem: path.read_text() for path in (ROOT / "nodes/web/docs").glob("*.md")}
    assert set(pages) == set(nodes)
    for name, node in nodes.items():
        schema = node.GET_SCHEMA()
        for entry in (*(i.id for i in schema.inputs), *(o.display_name for o in schema.outputs)):
            assert f"**{entry}**" in pages[name], f"{name}'s help page does not explain {entry}"


def test_search_aliases_are_given_where_the_host_knows_them(nodes, monkeypatch):
    from comfy_api.latest import io
    from resemblance.nodes import sockets

    got = {}

    def schema(**settings):
        got.update(settings)

    schema.__dataclass_fields__ = {"search_aliases": None}
    monkeypatch.setattr(sockets.io, "Schema", schema)
    sockets.schema("X", ("CodeFormer",), inputs=[])
    assert got["search_aliases"] == ["CodeFormer"] and got["node_id"] == "ResemblanceX"
    monkeypatch.undo()
    known = "search_aliases" in io.Schema.__dataclass_fields__
    aliases = getattr(nodes["ResemblanceRestoreFaces"].define_schema(), "search_aliases", None)
    assert (aliases is not None and "CodeFormer" in aliases) == known


# Files


def test_folders_are_merged_and_never_overwritten(comfy, models_dir, nodes):
    from resemblance.nodes import models as ours

    known = comfy.folder_paths.folder_names_and_paths
    known["facerestore_models"] = (["/mine"], {".pth"})  # as extra_model_paths.yaml or another pack leaves it
    for _ in range(2):
        ours.merge_folders()
        assert known["facerestore_models"] == (["/mine", str(models_dir / "facerestore_models")], {".pth"})
    paths, extensions = known["face_restore"]
    assert paths == [str(models_dir / "face_restore")] and ".safetensors" in extensions and ".onnx" in extensions


def test_files_are_listed_by_their_content(nodes, models_dir, codeformer_file, comfy):
    from safetensors.torch import save_file

    mine = models_dir.parent / "mine"
    for folder in (models_dir / "facerestore_models" / "sub", models_dir / "face_restore", mine):
        folder.mkdir(parents=True)
    comfy.folder_paths.folder_names_and_paths["facerestore_models"] = ([str(mine)], set())
    (mine / "strange name.bin").write_bytes(codeformer_file.read_bytes())
    (models_dir / "face_restore" / "CF.pth").write_bytes(codeformer_file.read_bytes())
    (models_dir / "facerestore_models" / "sub" / "codeformer.pth").write_bytes(codeformer_file.read_bytes())
    save_file({"conv.weight": torch.zeros(3)}, models_dir / "facerestore_models" / "codeformer.safetensors")
    (models_dir / "facerestore_models" / "GFPGANv1.4.pth").write_text("<html>not found</html>")
    (models_dir / "facerestore_models" / "notes.txt").write_bytes(codeformer_file.read_bytes())

    def listed():
        return nodes["ResemblanceLoadRestorer"].define_schema().inputs[0].options

    assert listed() == ["built-in", "strange name.bin", os.path.join("sub", "codeformer.pth"), "CF.pth"]
    (mine / "strange name.bin").write_bytes(b"")  # the header is read again when the file changes
    assert "strange name.bin" not in listed()


def test_onnx_files_are_judged_by_size_and_name(nodes, models_dir, monkeypatch):
    from resemblance.core.restorers import table as restorers

    monkeypatch.setattr(restorers.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(restorers, "SMALLEST_ONNX", 1000)
    folder = models_dir / "facerestore_models"
    folder.mkdir(parents=True)
    for name, size in (("GPEN-BFR-512.onnx", 1000), ("GPEN-BFR-1024.onnx", 1000), ("det_500m.onnx", 999)):
        (folder / name).write_bytes(b"\x08" + bytes(size - 1))
    options = nodes["ResemblanceLoadRestorer"].define_schema().inputs[0].options
    assert options == ["built-in", "GPEN-BFR-512.onnx"]
    monkeypatch.setattr(restorers.importlib.util, "find_spec", lambda name: None)
    assert not restorers.can_load(folder / "GPEN-BFR-512.onnx")


def test_a_file_that_went_away_is_named(run, models_dir):
    with pytest.raises(FileNotFoundError, match=r"'gone.pth' was listed, but is no longer in .*facerestore_models"):
        run("LoadRestorer", file="gone.pth")


def test_the_fingerprint_follows_the_file(nodes, codeformer, models_dir):
    node = nodes["ResemblanceLoadRestorer"]
    path = models_dir / "facerestore_models" / "codeformer.pth"
    before = node.fingerprint_inputs(file="codeformer.pth")
    assert node.fingerprint_inputs(file="codeformer.pth") == before
    os.utime(path, ns=(1, 1))
    assert node.fingerprint_inputs(file="codeformer.pth") != before
    path.unlink()
    assert node.fingerprint_inputs(file="codeformer.pth") not in (before, None)
    assert node.fingerprint_inputs(file="built-in") == node.fingerprint_inputs(file="built-in")
    node.fingerprint_inputs(file=None)  # what a linked input is at that time


def test_restorers_are_read_once(run, codeformer, models_dir, monkeypatch):
    from resemblance.nodes import models as ours

    monkeypatch.setattr(ours, "load_restorer", lambda *_: pytest.fail("read from disk again"))
    assert run("LoadRestorer", file="codeformer.pth")[0] is codeformer
    monkeypatch.undo()
    assert ours.get_restorer() is ours.get_restorer()


def test_the_built_in_restorer_is_computed_with_as_core_does(run):
    from resemblance.core.restorers.table import builtin_restorer

    ours, core = run("LoadRestorer")[0], builtin_restorer()
    assert (ours.name, ours.fingerprint) == (core.name, core.fingerprint)
    face = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.restore(face), core.restore(face))
    assert not next(ours.network.parameters()).is_inference()


# The chain


def test_the_chain_gives_what_core_gives(run, codeformer, photos):
    from resemblance.core.faces.crop import crop_faces
    from resemblance.core.faces.paste import paste_faces

    faces = found(photos, [(0, 0), (0, 200), (1, 90)])
    crops, image, mask = run("CropFaces", faces=faces, image=photos).args
    assert image.shape == (3, 512, 512, 3) and mask.shape == (3, 512, 512)
    restored = run("RestoreCrops", crops=crops, restorer=codeformer)[0]
    result, applied = run("PasteFaces", image=photos, crops=crops, restored=restored).args

    pixels = photos.movedim(-1, 1)
    core = crop_faces(pixels, faces.faces)
    again = codeformer.restore(core.pixels)
    expected, expected_mask = paste_faces(pixels, core, again)
    assert torch.equal(image, core.pixels.movedim(1, -1)) and torch.equal(mask, core.masks[:, 0])
    assert torch.equal(restored, again.movedim(1, -1))
    assert torch.equal(result, expected.movedim(1, -1)) and torch.equal(applied, expected_mask[:, 0])
    assert torch.equal(result[applied == 0], photos[applied == 0]) and not torch.equal(result, photos)


def test_tokens_taken_apart_give_what_restoring_whole_gives(run, codeformer, photos):
    faces = found(photos, [(0, 0), (1, 150)])
    crops = run("CropFaces", faces=faces, image=photos, size=448, margin=0.25)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    mixed, invented = run("RestoreTokens", tokens=tokens, content=0.7).args
    assert (tokens.content_weight, mixed.content_weight) == (0.5, 0.7)
    decoded = run("DecodeTokens", tokens=mixed)[0]
    whole = run("RestoreCrops", crops=crops, restorer=codeformer, fidelity=0.7)[0]
    # Tokens carry encoder features in bfloat16: equal where the network runs in that, else to a level of 8 bits.
    torch.testing.assert_close(decoded, whole, atol=1 / 255, rtol=0)
    assert decoded.shape == (2, 448, 448, 3)
    # The margin is the photograph's own; nothing is invented there.
    assert torch.equal(decoded[:, :60], crops.pixels.movedim(1, -1)[:, :60])
    assert invented.shape == (2, 448, 448) and not invented[:, :60].any() and invented[:, 224, 224].min() > 0


def test_what_is_invented_grows_as_content_falls(run, codeformer, photos):
    crops = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    maps = [run("RestoreTokens", tokens=tokens, content=c)[1] for c in (0.0, 0.5, 1.0)]
    assert (maps[0] == 1).all() and (maps[0] >= maps[1]).all() and (maps[1] >= maps[2]).all()
    assert maps[0].mean() > maps[1].mean() + 0.01
    assert not run("RestoreTokens", tokens=tokens, quality=0.0)[1].any()


def test_a_sampler_may_stand_between_crop_and_paste(run, photos):
    faces = found(photos, [(0, 0), (0, 200)])
    crops, image, _ = run("CropFaces", faces=faces, image=photos, margin=0.25).args
    larger = torch.nn.functional.interpolate(image.movedim(-1, 1), scale_factor=1.5).movedim(1, -1)
    result, applied = run("PasteFaces", image=photos, crops=crops, restored=1 - larger, color_match=0.0).args
    inside = applied[0] > 0.99
    assert inside.sum() > 1000 and (result[0][inside] + photos[0][inside] - 1).abs().mean() < 0.03
    assert torch.equal(result[1], photos[1])


def test_pictures_given_take_the_place_of_the_crops_own(run, codeformer, photos):
    crops, image, _ = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos).args
    own = run("RestoreCrops", crops=crops, restorer=codeformer)[0]
    # Equal pixels that lie otherwise in memory may go another way through a CPU.
    again = run("RestoreCrops", crops=crops, restorer=codeformer, image=image)[0]
    torch.testing.assert_close(again, own, atol=1e-3, rtol=0)
    other = run("RestoreCrops", crops=crops, restorer=codeformer, image=1 - image)[0]
    assert not torch.equal(other, own)
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer, image=1 - image)[0]
    torch.testing.assert_close(run("DecodeTokens", tokens=tokens)[0], other, atol=1 / 255, rtol=0)
    assert torch.equal(
        run("RestoreCrops", crops=crops, restorer=codeformer, image=1 - image, strength=0.0)[0], 1 - image
    )


def test_without_faces_everything_passes_through(run, codeformer, photos):
    crops, image, mask = run("CropFaces", faces=found(photos, []), image=photos, size=256).args
    assert len(crops) == 0 and image.shape == (1, 256, 256, 3) and mask.shape == (1, 256, 256)
    assert image.unique().tolist() == [0.5] and not mask.any()
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer, image=image)[0]
    tokens, invented = run("RestoreTokens", tokens=tokens).args
    decoded = run("DecodeTokens", tokens=tokens)[0]
    restored = run("RestoreCrops", crops=crops, restorer=codeformer, image=image)[0]
    assert invented.shape == (1, 256, 256) and decoded.shape == restored.shape == (1, 256, 256, 3)
    for tile in (image, decoded, restored, torch.rand(1, 96, 64, 3)):
        pasted, applied = run("PasteFaces", image=photos, crops=crops, restored=tile, crop_masks=mask).args
        assert torch.equal(pasted, photos) and applied.shape == (2, 240, 400) and not applied.any()


def test_strength_0_is_bit_exact_and_alpha_is_kept(run, photos):
    wild = torch.cat([photos * 1.5 - 0.1, torch.rand(2, 240, 400, 1)], -1)  # beyond [0,1], with alpha
    crops, image, _ = run("CropFaces", faces=found(photos, [(0, 0), (1, 0)]), image=wild).args
    assert image.shape == (2, 512, 512, 3)
    result, applied = run("PasteFaces", image=wild, crops=crops, restored=1 - image, strength=0.0).args
    assert torch.equal(result, wild) and not applied.any()
    result, applied = run("PasteFaces", image=wild, crops=crops, restored=1 - image).args
    assert torch.equal(result[..., 3], wild[..., 3]) and torch.equal(result[applied == 0], wild[applied == 0])


def test_masks_limit_what_is_pasted(run, photos):
    crops, image, mask = run("CropFaces", faces=found(photos, [(0, 0), (1, 0)]), image=photos).args
    given = {"image": photos, "crops": crops, "restored": 1 - image}
    whole = run("PasteFaces", **given)[1]
    half = torch.zeros(1, 240, 400)
    half[:, :, :96] = 1  # one mask serves all photographs
    applied = run("PasteFaces", **given, photo_mask=half)[1]
    assert not applied[:, :, 98:].any() and torch.allclose(applied[:, :, :94], whole[:, :, :94], atol=1e-5)
    for empty in (torch.zeros(1, 64, 64), torch.zeros(64, 64)):  # LoadImage's
        assert torch.equal(run("PasteFaces", **given, photo_mask=empty, crop_masks=empty)[1], whole)
    edited = torch.nn.functional.interpolate(mask[:, None] * torch.tensor([1.0, 0.0])[:, None, None, None], 256)[:, 0]
    applied = run("PasteFaces", **given, crop_masks=edited)[1]
    assert applied[0].max() > 0.9 and not applied[1].any()


def test_an_upscaled_background_sets_the_size(run, photos):
    crops, image, _ = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos).args
    larger = torch.nn.functional.interpolate(photos.movedim(-1, 1), scale_factor=2).movedim(1, -1)
    result, applied = run("PasteFaces", image=photos, crops=crops, restored=1 - image, background=larger).args
    assert result.shape == larger.shape and applied.shape == (2, 480, 800)
    assert torch.equal(result[applied == 0], larger[applied == 0]) and applied[0].max() > 0.9


@pytest.mark.parametrize("kind", ["float16", "alpha", "view"])
def test_images_come_in_many_forms_and_are_never_changed(run, codeformer, photos, kind):
    image = {
        "float16": photos.half(),
        "alpha": torch.cat([photos, photos[..., :1]], -1),
        "view": photos.movedim(-1, 1).contiguous().movedim(1, -1),
    }[kind]
    before = image.clone()
    faces = found(photos, [(0, 0), (1, 90)])
    crops, tiles, mask = run("CropFaces", faces=faces, image=image).args
    assert tiles.dtype == mask.dtype == torch.float32 and tiles.is_contiguous()
    kept = crops.pixels.clone(), crops.masks.clone(), tiles.clone()
    restored = run("RestoreCrops", crops=crops, restorer=codeformer, image=tiles.to(image.dtype))[0]
    result, _ = run("PasteFaces", image=image, crops=crops, restored=restored.to(image.dtype)).args
    assert result.dtype == torch.float32 and result.shape == image.shape
    assert torch.equal(image, before)
    assert all(torch.equal(a, b) for a, b in zip(kept, (crops.pixels, crops.masks, tiles), strict=True))


def test_outputs_follow_the_hosts_type(run, comfy, photos, monkeypatch):
    monkeypatch.setattr(comfy.management, "intermediate_dtype", lambda: torch.float16, raising=False)
    crops, image, mask = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos.half()).args
    result, applied = run("PasteFaces", image=photos.half(), crops=crops, restored=image, strength=0.0).args
    assert {t.dtype for t in (image, mask, result, applied)} == {torch.float16}
    assert torch.equal(result, photos.half())


# Faces from elsewhere


def test_boxes_of_core_come_in_three_forms(run, photos):
    box = {"x": 40, "y": 30, "width": 110, "height": 160, "label": "face", "score": 0.75}
    for boxes, images in (
        (box, [0, 1]),
        ([box], [0, 1]),
        ([[box]], [0, 1]),
        ([[], [box]], [1]),
        ([], []),
        ([[], []], []),
    ):
        faces = run("FacesFromBoxes", image=photos, boxes=boxes)[0]
        assert [face.image for face in faces.faces] == images, boxes
        assert faces.photos == ((240, 400), (240, 400))
    face = run("FacesFromBoxes", image=photos, boxes=box)[0].faces[0]
    assert face.box == (39.5, 29.5, 149.5, 189.5) and face.score == 0.75 and face.quality is not None
    # Nothing is seen in these pictures, so a face stands upright in the middle of its box.
    (x0, y0), (x1, y1) = face.landmarks[:2]
    assert y0 == pytest.approx(y1, abs=0.2) and (x0 + x1) / 2 == pytest.approx(94.5, abs=0.5) and 35 < x1 - x0 < 60


def test_face_landmarks_of_core_become_five_points(run, photos):
    mesh = torch.full((478, 2), -1e6)  # a point that is taken by mistake shows
    left = [33, 133, 160, 159, 158, 157, 173, 144, 145, 153, 154, 155, 163, 7, 246, 161]
    right = [263, 362, 387, 386, 385, 384, 398, 373, 374, 380, 381, 382, 390, 249, 466, 388]
    for points, middle in ((left, LANDMARKS[0]), (right, LANDMARKS[1])):
        angle = torch.arange(16) * (2 * torch.pi / 16)
        mesh[points] = torch.stack([middle[0] + 9 * angle.cos(), middle[1] + 4 * angle.sin()], -1)
    mesh[1], mesh[61], mesh[291] = (torch.tensor(LANDMARKS[n]) for n in (2, 3, 4))
    face = {"bbox_xyxy": [40, 30, 150, 190], "landmarks_xy": mesh.numpy(), "score": 0.8, "presence": 1.0}
    landmarks = {"frames": [[], [face]], "image_size": (240, 400), "connection_sets": {}}
    faces = run("FacesFromBoxes", image=photos, landmarks=landmarks)[0]
    assert [(f.image, f.index, f.score) for f in faces.faces] == [(1, 0, 0.8)]
    assert np.allclose(faces.faces[0].landmarks, LANDMARKS, atol=1e-3)
    with pytest.raises(ValueError, match="landmarks for 2 images of 400x240, but 1 images of 400x240"):
        run("FacesFromBoxes", image=photos[:1], landmarks=landmarks)


def test_segs_go_out_and_come_back(run, photos):
    crops = run("CropFaces", faces=found(photos[:1], [(0, 0), (0, 180)]), image=photos[:1], margin=0.1)[0]
    (height, width), segs = run("FacesToSegs", crops=crops, image=photos[:1])[0]
    assert (height, width) == (240, 400) and len(segs) == 2
    for seg in segs:
        x0, y0, x1, y1 = seg.crop_region
        assert np.array_equal(seg.cropped_image, photos[:1, y0:y1, x0:x1].numpy())
        assert (
            seg.cropped_mask.shape == (y1 - y0, x1 - x0) and 0 <= seg.cropped_mask.min() < seg.cropped_mask.max() <= 1
        )
    # The mask lies where Paste would put the face.
    applied = run("PasteFaces", image=photos[:1], crops=crops, restored=crops.pixels.movedim(1, -1))[1][0]
    (x0, y0, x1, y1), mask = segs[0].crop_region, segs[0].cropped_mask
    assert np.abs(mask[:, :150] - applied[y0:y1, x0:x1].numpy()[:, :150]).max() < 0.05
    theirs = namedtuple("SEG", "cropped_image cropped_mask confidence crop_region bbox label control_net_wrapper")
    given = ((240, 400), [theirs(None, None, np.float32(0.5), [0, 0, 200, 240], [40, 30, 150, 190], "face", None)])
    faces = run("SegsToFaces", segs=given, image=photos[:1])[0]
    assert faces.faces[0].box == (39.5, 29.5, 149.5, 189.5) and faces.faces[0].score == 0.5
    assert len(run("SegsToFaces", segs=((240, 400), []), image=photos[:1])[0]) == 0


# Detection and the whole


def test_faces_are_found_and_shown(run, comfy):
    truth = run("ExamplePhoto", name="two people")[1]
    output = run("DetectFaces", image=truth, detector="builtin")
    faces, boxes = output.args
    assert [face.index for face in faces.faces] == [0, 1] and faces.photos == (tuple(truth.shape[1:3]),)
    assert all(face.quality.sharpness > 0.5 for face in faces.faces)
    (left, right), width = boxes[0], truth.shape[2]
    assert left["x"] + left["width"] / 2 < width / 2 < right["x"] + right["width"] / 2
    assert abs(left["x"] - faces.faces[0].box[0]) < 1 and left["score"] == faces.faces[0].score
    files = output.ui.as_dict()["images"]
    assert len(files) == 1 and (Path(comfy.folder_paths.temp_directory) / files[0]["filename"]).is_file()
    again = run("FacesFromBoxes", image=truth, boxes=boxes)[0]
    for a, b in zip(faces.faces, again.faces, strict=True):  # landmarks are found again in the boxes
        assert np.abs(np.array(a.landmarks) - np.array(b.landmarks)).max() < 3
    right_only, count = run("SelectFaces", faces=faces, indices="1").args
    assert count == 1 and right_only.faces == faces.faces[1:] and right_only.photos == faces.photos


def test_the_preview_stays_small(run, comfy, monkeypatch):
    from PIL import Image

    output = run("DetectFaces", image=torch.full((20, 8, 1200, 3), 0.5), detector="builtin")
    files = output.ui.as_dict()["images"]
    assert len(files) == 16 and len(output[0].photos) == 20 and output[1] == [[]] * 20
    assert Image.open(Path(comfy.folder_paths.temp_directory) / files[0]["filename"]).width == 1024


def test_restore_faces_reports_and_works_in_chunks(run, nodes, monkeypatch):
    from resemblance.nodes import restore

    damaged = run("ExamplePhoto", name="woman")[0]
    grey = torch.full_like(damaged, 0.5)
    batch = torch.cat([damaged, grey, damaged.flip(2)])
    monkeypatch.setattr(restore, "CHUNK", 2 * damaged[0, ..., 0].numel())
    before = batch.clone()
    image, mask, report = run("RestoreFaces", image=batch, detector="builtin", strength=1.0).args
    assert torch.equal(batch, before) and image.shape == batch.shape and mask.shape == batch.shape[:3]
    assert torch.equal(image[mask == 0], batch[mask == 0]) and torch.equal(image[1], grey[0])
    entries = json.loads(report)
    assert entries["detector"] == "builtin" and entries["restorer"]["name"] == "Resemblance"
    assert [e["image"] for e in entries["images"]] == [0, 1, 2]
    assert [len(e["faces"]) for e in entries["images"]] == [1, 0, 1]
    assert entries["images"][1]["message"] == "no face found, passed through unchanged"
    assert entries["images"][0]["faces"][0]["strength"] == 1.0
    alone = run("RestoreFaces", image=batch[2:], detector="builtin", strength=1.0)
    assert torch.equal(alone[0], image[2:]) and torch.equal(alone[1], mask[2:])


def test_a_sharp_face_is_left_almost_alone_by_default(run):
    damaged, truth, *_ = run("ExamplePhoto", name="woman").args
    strengths = []
    for image in (truth, damaged):
        restored, _, report = run("RestoreFaces", image=image, detector="builtin").args
        strengths.append(json.loads(report)["images"][0]["faces"][0]["strength"])
        assert (restored - image).abs().mean() < 0.1
    assert strengths[0] < 0.2 and strengths[1] == 1


@pytest.mark.parametrize("name", ["woman", "man", "two people"])
def test_examples_are_what_they_say(run, name):
    damaged, truth, first, second, third = run("ExamplePhoto", name=name).args
    assert damaged.shape == truth.shape and damaged.dtype == torch.float32 and len(damaged) == 1
    assert 0.01 < (damaged - truth).abs().mean() < 0.15
    assert first.shape == second.shape and not torch.equal(first, second)
    faces = [len(run("DetectFaces", image=image, detector="builtin")[0]) for image in (truth, first, second, third)]
    assert faces == ([2, 1, 1, 2] if name == "two people" else [1, 1, 1, 1])


def test_the_examples_are_small():
    assert sum(path.stat().st_size for path in (ROOT / "nodes/examples").iterdir()) < 900_000


# References


@pytest.fixture
def two_people(run):
    """The photograph of two, and the faces found in it."""
    damaged, truth, *references = run("ExamplePhoto", name="two people").args
    faces = run("DetectFaces", image=damaged, detector="builtin")[0]
    return SimpleNamespace(damaged=damaged, truth=truth, references=references, faces=faces)


@pytest.fixture
def known(run, codeformer, two_people):
    """References of the two, read by a small CodeFormer."""
    anna, bob, both = two_people.references
    found = None
    for person, images in (("anna", [anna, both]), ("bob", [bob, both])):
        given = {"references": found} if found else {}
        found, report = run("EncodeReferences", image=images, person=person, restorer=codeformer, **given).args
    return SimpleNamespace(references=found, report=json.loads(report))


def people(faces):
    return [face.person for face in faces.faces]


def test_references_are_read_from_lists_of_any_size_and_added_to_others(known, two_people, codeformer):
    anna, bob = known.references.people
    assert [p.name for p in (anna, bob)] == ["anna", "bob"] and [len(anna), len(bob)] == [2, 2]
    assert known.report["people"] == {"anna": ["anna 1", "anna 2"], "bob": ["bob 1", "bob 2"]}
    assert known.report["restorer"] == codeformer.fingerprint and not known.report["refused"]
    # Of the photograph that shows both, each took their own face.
    assert (
        (anna.matching_embeddings[0] @ anna.matching_embeddings[1])
        > 0.5
        > (anna.matching_embeddings[1] @ bob.matching_embeddings[1])
    )


def test_photographs_of_one_name_belong_to_one_person(run, codeformer):
    first, second, third = run("ExamplePhoto", name="woman").args[2:]
    batch = torch.cat([first, second])
    references = run("EncodeReferences", image=batch, restorer=codeformer)[0]
    references = run("EncodeReferences", image=third, restorer=codeformer, references=references, weight=0.5)[0]
    (person,) = references.people
    assert person.name == "person" and person.weights == (1.0, 1.0, 0.5)
    assert person.sources == ("person 1", "person 2", "person 3")


def test_photographs_that_cannot_be_used_are_named(run, codeformer):
    good, blank = run("ExamplePhoto", name="woman")[2], torch.full((1, 96, 128, 3), 0.5)
    references, report = run("EncodeReferences", image=[blank, good], person="anna", restorer=codeformer).args
    assert [p.sources for p in references.people] == [("anna 2",)]
    (refused,) = json.loads(report)["refused"]
    assert refused["photograph"] == "anna 1" and "no face was found" in refused["reason"]
    with pytest.raises(ValueError, match=r"None of the photographs of 'anna' can be used \(anna 1: no face was found"):
        run("EncodeReferences", image=blank, person="anna", restorer=codeformer)


def test_references_may_be_read_by_insightface(run, codeformer, two_people, models_dir, assets):
    pytest.importorskip("insightface.model_zoo")
    from resemblance.core.training.assets import asset
    from resemblance.nodes import models as ours

    anna, bob, _ = two_people.references
    given = {"restorer": codeformer, "embedder": "insightface"}
    with pytest.raises(FileNotFoundError, match=r"'insightface' found no .*choose 'built-in'"):
        run("EncodeReferences", image=anna, person="anna", **given)
    folder = models_dir / "insightface" / "models" / "buffalo_s"
    folder.mkdir(parents=True)
    (folder / "w600k_mbf.onnx").write_bytes(asset("arcface", assets).read_bytes())
    known = run("EncodeReferences", image=anna, person="anna", **given)[0]
    insightface, builtin = map(ours.get_embedder, ("insightface", "built-in"))
    assert (known.embedder, known.embedded_by) == ("insightface", (insightface.fingerprint, builtin.fingerprint))
    (person,) = known.people
    assert torch.equal(person.matching_embeddings, insightface.embed(person.faces))
    assert torch.equal(person.identity_embeddings, builtin.embed(person.faces))
    # What is added is read by the same, whatever is chosen.
    both = run("EncodeReferences", image=bob, person="bob", references=known, **given | {"embedder": "built-in"})[0]
    assert both.embedder == "insightface" and both.embedded_by == known.embedded_by
    assert (
        both.people[1].matching_embeddings.shape == person.matching_embeddings.shape != person.identity_embeddings.shape
    )
    faces = run("MatchReferences", faces=two_people.faces, image=two_people.damaged, references=both)[0]
    assert people(faces) == ["anna", "bob"]


def test_faces_are_matched_by_likeness_and_by_hand(run, known, two_people, monkeypatch):
    given = {"faces": two_people.faces, "image": two_people.damaged, "references": known.references}

    def matched(**settings):
        faces, report = run("MatchReferences", **given, **settings).args
        entries = json.loads(report)
        assert [entry["person"] or "" for entry in entries] == people(faces)
        assert all(entry["reason"] for entry in entries)
        return people(faces)

    assert people(two_people.faces) == [None, None]
    assert matched() == ["anna", "bob"]
    shown, report = run("MatchReferences", **given).args
    assert [entry["chance"] for entry in json.loads(report)] == [round(face.match_chance, 3) for face in shown.faces]
    # Where a look says but a little, two faces and two people are told apart, but not surely.
    monkeypatch.setattr("resemblance.core.faces.evidence.CERTAIN", 1.0)
    assert matched() == matched(threshold=0.7) == ["anna", "bob"]
    assert matched(threshold=0.95) == ["", ""]
    assert matched(manual="0=none") == ["", "bob"]
    assert [face.by_hand for face in run("MatchReferences", **given, manual="0=none")[0].faces] == [True, False]
    assert matched(manual="0=bob, 1=anna") == ["bob", "anna"]
    monkeypatch.setattr("resemblance.core.faces.evidence.CERTAIN", 3.0)  # too little to be in two places
    given["references"] = replace(known.references, people=known.references.people[:1])
    assert matched() == ["anna", ""]
    assert matched(manual="1=anna") == ["", "anna"]
    given["references"] = known.references
    swapped = torch.cat([two_people.damaged, two_people.damaged.flip(2)])
    faces = run("DetectFaces", image=swapped, detector="builtin")[0]
    assert people(run("MatchReferences", **given | {"faces": faces, "image": swapped})[0]) == [
        "anna",
        "bob",
        "bob",
        "anna",
    ]


def test_frames_of_a_film_are_judged_together(run, known, two_people, monkeypatch):
    """A face that stays in place: what each frame says of it is one number in the end."""
    dark = two_people.damaged * 0.6 + 0.1
    film = torch.cat([two_people.damaged, dark])
    faces = run("DetectFaces", image=film, detector="builtin")[0]
    given = {"references": known.references}
    shown = run("MatchReferences", faces=faces, image=film, **given)[0].faces
    assert [face.person for face in shown] == ["anna", "bob"] * 2
    assert [face.match_chance for face in shown[:2]] == pytest.approx(
        [face.match_chance for face in shown[2:]], abs=1e-6
    )
    linked = []
    monkeypatch.setattr(
        "resemblance.core.references.matching.linked_faces", lambda faces, _: linked.append(len(faces)) or []
    )
    apart = run("MatchReferences", faces=faces, image=film, **given)[0].faces
    assert linked == [4] and [face.match_chance for face in apart] != [face.match_chance for face in shown]


def test_transfer_changes_the_matched_faces_alone(run, codeformer, known, two_people):
    crops = run("CropFaces", faces=two_people.faces, image=two_people.damaged, size=448, margin=0.25)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    blind = run("DecodeTokens", tokens=tokens)[0]
    anna = run(
        "MatchReferences",
        faces=two_people.faces,
        image=two_people.damaged,
        references=known.references,
        manual="1=none",
    )[0]
    labelled = run(
        "EncodeTokens",
        crops=run("CropFaces", faces=anna, image=two_people.damaged, size=448, margin=0.25)[0],
        restorer=codeformer,
    )[0]
    for given, wanted in ((tokens, ["anna", "bob"]), (labelled, ["anna", None])):
        result, picture, report = run("TransferTexture", tokens=given, references=known.references).args
        entries = json.loads(report)
        assert [entry["person"] for entry in entries] == wanted
        assert [list(entry["taken"]) for entry in entries] == [
            [f"{name} 1", f"{name} 2"] if name else [] for name in wanted
        ]
        assert picture.shape == (2, 448, 448, 3)
        decoded = run("DecodeTokens", tokens=result)[0]
        assert [torch.equal(*pair) for pair in zip(decoded, blind, strict=True)] == [name is None for name in wanted]
        # Grey where nothing was taken: in the margin, and all over a face that is nobody's.
        coloured = (picture.amax(-1) - picture.amin(-1)) > 0.01
        assert not coloured[:, :60].any() and [bool(face.any()) for face in coloured] == [
            name is not None for name in wanted
        ]
        nothing = run("TransferTexture", tokens=given, references=known.references, strength=0.0)[0]
        assert torch.equal(run("DecodeTokens", tokens=nothing)[0], blind)


def test_restore_crops_with_references_is_the_chain(run, codeformer, known, two_people):
    crops = run("CropFaces", faces=two_people.faces, image=two_people.damaged)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    tokens = run("TransferTexture", tokens=tokens, references=known.references, strength=0.6)[0]
    given = {"crops": crops, "restorer": codeformer, "references": known.references}
    restored, report = run("RestoreCrops", **given, reference_strength=0.6).args
    assert torch.equal(restored, run("DecodeTokens", tokens=tokens)[0])
    assert [face["person"] for face in json.loads(report)] == ["anna", "bob"]
    blind = run("RestoreCrops", crops=crops, restorer=codeformer)[0]
    assert torch.equal(run("RestoreCrops", **given, reference_strength=0.0)[0], blind)


def test_restore_faces_takes_references_or_photographs(run, codeformer, known, two_people):
    given = {"image": two_people.damaged, "restorer": codeformer, "detector": "builtin", "strength": 1.0}
    blind = run("RestoreFaces", **given)[0]
    guided, mask, report = run("RestoreFaces", **given, references=known.references).args
    faces = json.loads(report)["images"][0]["faces"]
    assert [face["person"] for face in faces] == ["anna", "bob"] and all(face["with_references"] for face in faces)
    assert all(set(face["identity_to_references"]) >= {"before", "restored_with"} for face in faces)
    assert not torch.equal(guided, blind) and torch.equal(guided[mask == 0], two_people.damaged[mask == 0])
    assert torch.equal(run("RestoreFaces", **given, references=known.references, reference_strength=0.0)[0], blind)
    one = run("RestoreFaces", **given, references=known.references, manual="0=none")[0]
    assert torch.equal(one[:, :, :544], blind[:, :, :544]) and torch.equal(one[:, :, 640:], guided[:, :, 640:])
    # A photograph of one of the two: the other is restored as without.
    one, mask, report = run("RestoreFaces", **given, reference_image=two_people.references[0]).args
    faces = json.loads(report)["images"][0]["faces"]
    assert [face["person"] for face in faces] == ["person", None] and "needed" in faces[1]["match"]["reason"]
    # Beyond this column [px] nothing of the first face's crop is left.
    assert not torch.equal(one[:, :, :640], blind[:, :, :640]) and torch.equal(one[:, :, 640:], blind[:, :, 640:])


def test_identity_is_compared_before_and_after(run, known, two_people):
    given = {"before": two_people.damaged, "after": two_people.truth}
    scores, picture = run("CompareIdentity", **given, references=known.references).args
    scores = json.loads(scores)
    assert [face["person"] for face in scores["faces"]] == ["anna", "bob"]
    assert all(face["gain"] > 0 and face["sure"] > 0.5 for face in scores["faces"])
    assert "same_from" not in scores and not any("same" in face for face in scores["faces"])
    assert picture.shape == (1, 512, 1024, 3)  # two rows: before, after, and two references
    scores = json.loads(run("CompareIdentity", **given, truth=two_people.truth)[0])
    assert [face["after"] for face in scores["faces"]] == [1, 1] and all(face["before"] < 1 for face in scores["faces"])
    assert all(0.9 < face["sure"] <= 1 for face in scores["faces"])
    blank = torch.full((1, 96, 128, 3), 0.5)
    scores, picture = run("CompareIdentity", before=blank, after=blank, truth=blank).args
    assert json.loads(scores)["faces"] == [] and picture.shape == (1, 256, 256, 3)


def test_what_is_asked_of_references_must_be_there(run, codeformer, known, two_people):
    whole = {"image": two_people.damaged, "references": known.references}
    given = whole | {"faces": two_people.faces}
    for name, values, message in (
        ("MatchReferences", given | {"manual": "0=carl"}, "'carl' is not among the people .* one of anna, bob"),
        (
            "RestoreFaces",
            {"image": two_people.damaged, "references": known.references, "manual": "0=carl"},
            "'carl' is not among the people",
        ),
        ("MatchReferences", given | {"manual": "anna"}, "The matches were 'anna'; expected numbers of faces and names"),
        ("MatchReferences", given | {"image": two_people.damaged[:, :99]}, "found in other photographs"),
        ("EncodeReferences", {"image": two_people.truth[:0], "restorer": codeformer}, "empty batch"),
        ("EncodeReferences", {"image": two_people.truth, "person": "", "restorer": codeformer}, "names no person"),
    ):
        with pytest.raises(ValueError, match=message):
            run(name, **values)


def test_references_of_another_restorer_are_refused(run, known, two_people):
    crops = run("CropFaces", faces=two_people.faces, image=two_people.damaged)[0]
    tokens = run("EncodeTokens", crops=crops)[0]
    for name, given in (
        ("TransferTexture", {"tokens": tokens}),
        ("RestoreCrops", {"crops": crops}),
        ("RestoreFaces", {"image": two_people.damaged}),
    ):
        with pytest.raises(ValueError, match=r"references were encoded by the restorer .* expected the same one"):
            run(name, references=known.references, **given)


# Refining


@pytest.fixture
def refining(run):
    """The built-in restorer, with a small prior of random weights."""
    from resemblance.core.models.prior import Prior, PriorConfig

    torch.manual_seed(0)
    prior = Prior(PriorConfig(dim=32, layers=1, heads=1)).eval().requires_grad_(False)
    torch.nn.init.normal_(prior.out.weight, std=0.1)
    restorer = run("LoadRestorer")[0]
    like = next(restorer.network.parameters())
    own, restorer.network.prior = restorer.network.prior, prior.to(like.device, like.dtype)
    yield restorer
    restorer.network.prior = own


@pytest.fixture
def person(run, refining):
    """A damaged photograph's crop and tokens, and references of the person."""
    damaged, _, *references = run("ExamplePhoto", name="woman").args
    faces = run("DetectFaces", image=damaged, detector="builtin")[0]
    crops = run("CropFaces", faces=faces, image=damaged, size=448, margin=0.25)[0]
    tokens = run("EncodeTokens", crops=crops)[0]
    known = run("EncodeReferences", image=references[0], person="anna")[0]
    return SimpleNamespace(damaged=damaged, crops=crops, tokens=tokens, references=known)


def test_refining_stands_between_encoding_and_drawing(run, person):
    from resemblance.core.refinement import RefinementOptions, refine_tokens

    tokens = person.tokens
    same, _, _, report = run("RefineLatent", tokens=tokens, steps=0, identity=1.0, candidates=8).args
    assert same is tokens and json.loads(report)[0]["candidate"] is None
    refined, mask, invented, report = run("RefineLatent", tokens=tokens, steps=2, seed=5).args
    expected = refine_tokens(tokens, RefinementOptions(2, seed=5))
    assert torch.equal(refined.content, expected.tokens.content) and not torch.equal(refined.content, tokens.content)
    assert json.loads(report) == [{"image": 0, "index": 0, "candidate": 0, "stopped": None, "spread": None}]
    assert torch.allclose(mask, expected.mask[:, 0].clamp(0, 1)) and mask.shape == (1, 448, 448)
    assert not mask[:, :60].any() and mask[0, 224, 224] > 0.99 and mask.max() <= 1 and not invented.any()
    other = run("RefineLatent", tokens=tokens, steps=2)[0]
    assert not torch.equal(other.content, refined.content)
    drawn = run("DecodeTokens", tokens=other)[0]
    assert torch.allclose(drawn, run("RestoreCrops", crops=person.crops, refine=2)[0], atol=1e-6)


def test_several_candidates_show_what_is_invented(run, person):
    from resemblance.core.refinement import RefinementOptions, refine_tokens
    from resemblance.nodes import models as ours

    given = {"tokens": person.tokens, "steps": 1, "candidates": 2}
    _, _, invented, report = run("RefineLatent", **given).args
    expected = refine_tokens(person.tokens, RefinementOptions(1, candidates=2), None, ours.get_embedder("built-in"))
    assert torch.allclose(invented, (5 * expected.spread[:, 0]).clamp(0, 1)) and invented.any()
    (face,) = json.loads(report)
    assert face["candidate"] == expected.chosen[0] and 0 < face["spread"] < 1


def test_a_person_steers_as_the_host_runs_it(run, person):
    given = {"tokens": person.tokens, "steps": 1}
    free, steered = (run("RefineLatent", **given, identity=strength)[0] for strength in (0.0, 1.0))
    assert not torch.equal(free.content, steered.content)
    read, _, _, report = run("RefineLatent", **given, references=person.references).args
    assert not torch.equal(read.content, free.content) and read.reference is None
    assert json.loads(report)[0]["person"] == "anna"


def labelled(tokens, sure):
    """The tokens of one face that shows anna, as sure as that."""
    (face,) = tokens.crops.faces
    return replace(tokens, crops=replace(tokens.crops, faces=(replace(face, person="anna", match_chance=sure),)))


def test_less_is_taken_where_it_is_not_sure_of_the_person(run, person):
    from resemblance.core.faces.evidence import amount

    def transferred(tokens):
        result, _, report = run("TransferTexture", tokens=tokens, references=person.references).args
        assert result.crops is tokens.crops  # whom a face shows is for each node to find
        return result.reference.gates[32][:, 0].float(), json.loads(report)[0]

    trusted, _ = transferred(labelled(person.tokens, None))
    for sure in (0.6, 1.0):
        gate, entry = transferred(labelled(person.tokens, sure))
        assert entry["chance"] == sure and entry["reason"] == "matched before"
        torch.testing.assert_close(gate, amount(sure) * trusted, rtol=1e-2, atol=1e-3)
    gate, entry = transferred(person.tokens)
    assert entry["person"] == "anna" and 0.5 < entry["chance"] <= 1
    torch.testing.assert_close(gate, amount(entry["chance"]) * trusted, rtol=1e-2, atol=2e-3)


def test_references_are_read_in_refining_as_far_as_it_is_sure(run, person):
    def refined(tokens):
        result, _, _, report = run("RefineLatent", tokens=tokens, steps=1, references=person.references).args
        assert result.crops is tokens.crops
        return result.content, json.loads(report)[0]["chance"]

    trusted, _ = refined(labelled(person.tokens, 1.0))
    assert not torch.equal(refined(labelled(person.tokens, 0.6))[0], trusted)
    found, chance = refined(person.tokens)
    assert torch.allclose(found, refined(labelled(person.tokens, chance))[0], atol=0.02)
    assert torch.equal(found, trusted) == (chance >= 0.9)


def test_one_setting_refines_in_restore_crops_and_restore_faces(run, person):
    given = {"crops": person.crops, "references": person.references}
    tokens = run("RefineLatent", tokens=person.tokens, steps=1, references=person.references)[0]
    tokens = run("TransferTexture", tokens=tokens, references=person.references)[0]
    restored, report = run("RestoreCrops", **given, refine=1).args
    assert torch.allclose(restored, run("DecodeTokens", tokens=tokens)[0], atol=1e-6)
    (face,) = json.loads(report)
    assert face["refined"]["candidate"] == 0 and face["with_references"]
    given = {"image": person.damaged, "detector": "builtin", "strength": 1.0}
    plain = run("RestoreFaces", **given, refine=0)
    assert torch.equal(plain[0], run("RestoreFaces", **given)[0]) and "refined" not in plain[2]
    image, mask, report = run("RestoreFaces", **given, refine=1).args
    assert torch.equal(mask, plain[1]) and not torch.equal(image, plain[0])
    assert json.loads(report)["images"][0]["faces"][0]["refined"]["candidate"] == 0


def test_refining_no_faces_gives_blank_maps(run, refining, photos):
    crops = run("CropFaces", faces=found(photos, []), image=photos, size=256)[0]
    tokens = run("EncodeTokens", crops=crops)[0]
    refined, mask, invented, report = run("RefineLatent", tokens=tokens, steps=2, candidates=2).args
    assert len(refined) == 0 and json.loads(report) == []
    assert mask.shape == invented.shape == (1, 256, 256) and not mask.any() and not invented.any()


def test_a_restorer_that_cannot_refine_says_so(run, codeformer, photos):
    crops = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    for name, given in (
        ("RefineLatent", {"tokens": tokens, "steps": 1}),
        ("RestoreCrops", {"crops": crops, "restorer": codeformer, "refine": 1}),
        ("RestoreFaces", {"image": photos, "restorer": codeformer, "refine": 1}),
    ):
        with pytest.raises(ValueError, match="'CodeFormer' has no prior over clean latents and cannot refine; use"):
            run(name, **given)


# Selecting


def test_faces_are_selected_by_number_order_and_size(run, photos):
    from resemblance.core.records import FaceQuality, PhotoFaces

    faces = found(photos, [(0, 0), (0, 100), (0, 200), (1, 0), (1, 100)])
    sides = (50, 90, 70, 30, 110)
    sharp = (0.9, 0.2, 0.5, 0.5, 0.5)
    given = PhotoFaces(
        tuple(
            replace(face, box=(face.box[0], 30.0, face.box[0] + side, 40.0), quality=FaceQuality(s, 20.0, 0.0, 0.0))
            for face, side, s in zip(faces.faces, sides, sharp, strict=True)
        ),
        faces.photos,
    )

    def kept(**settings):
        chosen, count = run("SelectFaces", faces=given, **settings).args
        assert count == len(chosen) and chosen.photos == given.photos
        return [(face.image, face.index) for face in chosen.faces]

    assert kept() == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert kept(indices="1") == [(0, 1), (1, 1)]
    assert kept(indices=" 0, 2-9") == [(0, 0), (0, 2), (1, 0)]
    assert kept(order="large-small", indices="0") == [(0, 1), (1, 1)]
    assert kept(order="large-small", indices="0", max_size=80) == [(0, 2), (1, 0)]
    assert kept(min_size=60, max_size=100) == [(0, 1), (0, 2)]
    assert kept(min_sharpness=0.4, max_sharpness=0.6) == [(0, 2), (1, 0), (1, 1)]
    assert kept(indices="7") == []
    for wrong in ("a", "1,,2", "3-1", "-1", "1.5"):
        with pytest.raises(ValueError, match=r"The indices were .*; expected numbers and ranges such as '0, 2-4'"):
            kept(indices=wrong)


# Bad input


def test_bad_input_is_named(run, nodes, photos, models_dir):
    faces = found(photos, [(0, 0), (1, 0)])
    crops, image, _ = run("CropFaces", faces=faces, image=photos).args
    empty = torch.zeros(0, 240, 400, 3)
    paste = {"image": photos, "crops": crops, "restored": image}
    cases = [
        ("DetectFaces", {"image": empty}, "empty batch .*connect at least one picture"),
        ("RestoreFaces", {"image": empty}, "empty batch .*connect at least one picture"),
        ("RestoreFaces", {"image": torch.zeros(1, 8, 8)}, r"was \(1, 8, 8\); expected an IMAGE"),
        ("RestoreFaces", {"image": torch.full((1, 64, 64, 3), torch.nan)}, "finite|NaN"),
        ("CropFaces", {"faces": faces, "image": photos[:1]}, "found in other photographs: 2 of 400x240, but got 1"),
        ("CropFaces", {"faces": faces, "image": photos[:, :200]}, "2 of 400x240, but got 2 of 400x200"),
        ("CropFaces", {"faces": faces, "image": photos, "size": 500}, "size was 500; expected a multiple of 64"),
        ("PasteFaces", paste | {"restored": image[:1]}, "Got 1 pictures as restored for 2 crops; give exactly one"),
        ("PasteFaces", paste | {"restored": image[:, :400]}, r"expected \(N, 3, side, side\)"),
        ("PasteFaces", paste | {"restored": image * torch.nan}, "not numbers"),
        ("PasteFaces", paste | {"image": photos[:1]}, "came from 2 photographs .* but got 1"),
        (
            "PasteFaces",
            paste | {"photo_mask": torch.ones(1, 100, 100)},
            r"masks of .*\(100, 100\).* for .*\(240, 400\)",
        ),
        ("PasteFaces", paste | {"photo_mask": torch.ones(3, 240, 400)}, "Got 3 masks as photo_mask, but 2 are needed"),
        ("PasteFaces", paste | {"crop_masks": torch.ones(3, 64, 64)}, "Got 3 masks as crop_masks, but 2 are needed"),
        ("PasteFaces", paste | {"background": photos[:1]}, "Got 1 backgrounds for 2 photographs"),
        ("RestoreCrops", {"crops": crops, "image": image[:1]}, "Got 1 pictures as image for 2 crops"),
        ("EncodeTokens", {"crops": crops, "image": image[:1]}, "Got 1 pictures as image for 2 crops"),
        ("FacesFromBoxes", {"image": photos}, "Got neither of boxes and landmarks; connect exactly one"),
        ("FacesFromBoxes", {"image": photos, "boxes": [[], [], []]}, "boxes for 3 images, but 2 images"),
        ("FacesFromBoxes", {"image": photos, "boxes": [[{"x": 1}], []]}, "expected x, y, width and height"),
        ("FacesFromBoxes", {"image": photos, "landmarks": {"frames": []}}, "connect a FACE_LANDMARKS output"),
        ("SegsToFaces", {"segs": ((240, 400), []), "image": photos}, "SEGS describe one image, but got a batch of 2"),
        ("SegsToFaces", {"segs": ((9, 9), []), "image": photos[:1]}, "image of 9x9, but got one of 400x240"),
        ("FacesToSegs", {"crops": crops, "image": photos}, "SEGS describe one image, but got a batch of 2"),
        (
            "CompareIdentity",
            {"before": photos, "after": photos},
            "Got neither of references and truth",
        ),
        (
            "CompareIdentity",
            {"before": photos, "after": photos[:1], "truth": photos},
            "2 as before, 1 as after, 2 as",
        ),
        ("ExamplePhoto", {"name": "dog"}, "expected one of woman, man, two people"),
    ]
    for name, given, message in cases:
        with pytest.raises(ValueError, match=message):
            run(name, **given)


def test_a_restorer_without_tokens_is_refused_in_one_sentence(run, photos, codeformer):
    class Whole:
        name, fingerprint, licence, network = "GFPGAN", "0" * 16, "", None
        host = codeformer.host

    crops = run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0]
    with pytest.raises(ValueError, match="'GFPGAN' restores whole faces and has no tokens; expected a restorer with"):
        run("EncodeTokens", crops=crops, restorer=Whole())


# Memory, progress, interrupt


def test_tokens_that_would_not_fit_are_refused(run, comfy, codeformer, photos, monkeypatch):
    crops = run("CropFaces", faces=found(photos, [(0, 0), (1, 0), (1, 90)]), image=photos)[0]
    monkeypatch.setattr(comfy.management, "get_free_memory", lambda device: 60 << 20)
    with pytest.raises(ValueError, match=r"tokens of 3 faces may need 0.1 GiB, .*; use Restore Crops or Restore Faces"):
        run("EncodeTokens", crops=crops, restorer=codeformer)
    monkeypatch.setattr(comfy.management, "get_free_memory", lambda device: 80 << 20)
    assert len(run("EncodeTokens", crops=crops, restorer=codeformer)[0]) == 3


def test_networks_are_under_the_hosts_management(run, comfy, codeformer, photos):
    run("RestoreCrops", crops=run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0], restorer=codeformer)
    run("DetectFaces", image=photos, detector="builtin")
    held = [type(loaded.model.model).__name__ for loaded in comfy.management.current_loaded_models]
    assert "CodeFormer" in held and "FaceDetector" in held


def test_the_user_can_interrupt_between_two_blocks(run, comfy, codeformer, refining, photos, monkeypatch):
    crops = run("CropFaces", faces=found(photos, [(0, 0), (1, 0)]), image=photos)[0]
    tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    many = photos.repeat(3, 1, 1, 1)
    crops6 = run("CropFaces", faces=found(many, [(5, 0)]), image=many)[0]
    woman = run("ExamplePhoto", name="woman")[2]
    read = {"references": run("EncodeReferences", image=woman, restorer=codeformer)[0]}
    faces5 = found(photos, [(0, 0), (0, 90), (0, 180), (1, 0), (1, 90)], person="person")
    named = run("CropFaces", faces=faces5, image=photos)[0]
    named = run("EncodeTokens", crops=named, restorer=codeformer)[0]
    blurred = run("EncodeTokens", crops=crops)[0]
    calls = []

    def interrupted():
        calls.append(1)
        if len(calls) == 5:
            raise comfy.management.InterruptProcessingException

    monkeypatch.setattr(comfy.management, "throw_exception_if_processing_interrupted", interrupted)
    for name, given in (
        ("RestoreCrops", {"crops": crops, "restorer": codeformer}),
        ("EncodeTokens", {"crops": crops, "restorer": codeformer}),
        ("DecodeTokens", {"tokens": tokens}),
        ("RefineLatent", {"tokens": blurred, "steps": 3}),
        ("EncodeReferences", {"image": woman, "restorer": codeformer}),
        ("MatchReferences", {"faces": found(many, [(5, 0)]), "image": many} | read),
        ("TransferTexture", {"tokens": named} | read),
        ("CompareIdentity", {"before": many, "after": many, "truth": many}),
        ("RestoreFaces", {"image": many, "detector": "builtin"}),
        ("DetectFaces", {"image": many, "detector": "builtin"}),
        ("FacesFromBoxes", {"image": many, "boxes": []}),
        ("CropFaces", {"faces": found(photos, [(0, n) for n in range(5)]), "image": photos}),
        ("PasteFaces", {"image": many, "crops": crops6, "restored": crops6.pixels.movedim(1, -1)}),
    ):
        calls.clear()
        with pytest.raises(comfy.management.InterruptProcessingException):
            run(name, **given)
        assert len(calls) == 5, name


def test_the_bar_moves_per_face_and_step(run, codeformer, refining, photos, monkeypatch):
    import comfy.utils

    shown = []
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, *_, **__: shown.append(value / total))
    crops = run("CropFaces", faces=found(photos, [(0, 0), (1, 0), (1, 90)]), image=photos)[0]
    for _ in range(2):  # the second time, the number of steps is known
        shown.clear()
        run("RestoreCrops", crops=crops, restorer=codeformer)
        assert shown == sorted(shown) and shown[-1] == 1 and len(set(shown)) > 10
    assert any(0.3 < share < 0.37 for share in shown) and any(0.63 < share < 0.7 for share in shown)
    tokens = run("EncodeTokens", crops=crops)[0]
    for _ in range(2):
        shown.clear()
        run("RefineLatent", tokens=tokens, steps=4)
    assert shown == [n * 100 // 4 / 300 for n in range(1, 12)] + [0.99, 1]
    shown.clear()
    run("RestoreFaces", image=photos, detector="builtin")
    assert shown == sorted(shown) and shown[-1] == 1


def test_too_little_memory_halves_the_batch_and_says_so(run, codeformer, photos, monkeypatch, caplog):
    from resemblance.core.restorers import token_restorer

    crops = run("CropFaces", faces=found(photos, [(0, 0), (0, 60), (0, 120), (1, 0), (1, 60)]), image=photos)[0]
    expected = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    monkeypatch.setattr(token_restorer, "batch_size", lambda device: 4)
    network, sizes = codeformer.network, []
    encode = type(network).encode

    def limited(self, faces, *args, **kwargs):
        sizes.append(len(faces))
        if len(faces) > 1:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return encode(self, faces, *args, **kwargs)

    monkeypatch.setattr(type(network), "encode", limited)
    with caplog.at_level(logging.WARNING):
        tokens = run("EncodeTokens", crops=crops, restorer=codeformer)[0]
    assert sizes == [4, 2, 1, 1, 1, 1, 1] and torch.equal(tokens.content, expected.content)
    assert "going on with 1 faces" in caplog.text
    assert len(run("RestoreCrops", crops=crops, restorer=codeformer)[0]) == 5
