"""What holds of every node."""

from pathlib import Path

import pytest
import torch
from by_hand import found

ROOT = Path(__file__).parents[2]
# Widgets by position, as saved workflows store their values: frozen from version 0.1.0. New ones go to the end, and are
# optional, for graphs saved over the API name only those that there were.
ADDED = {
    "ResemblanceRestoreFaces": ["reference_strength", "manual", "refine", "scale", "mend"],
    "ResemblanceRestoreCrops": ["reference_strength", "refine"],
    "ResemblanceEncodeReferences": ["embedder"],
    "ResemblanceFacesFromBoxes": ["units"],
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
        "scale",
        "mend",
    ],
    "ResemblanceLoadRestorer": ["file"],
    "ResemblanceDetectFaces": ["detector", "threshold", "min_size", "max_faces", "order"],
    "ResemblanceFacesFromBoxes": ["units"],
    "ResemblanceSegsToFaces": [],
    "ResemblanceTrackFaces": ["gap", "steady"],
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
    "ResemblanceExamplePhoto": ["name", "own"],
}
# What a bypassed node passes on, and so must be its first input and its first output.
PASSED = {
    "ResemblanceTrackFaces": "RESEMBLANCE_FACES",
    "ResemblanceSelectFaces": "RESEMBLANCE_FACES",
    "ResemblanceMatchReferences": "RESEMBLANCE_FACES",
    "ResemblanceRefineLatent": "RESEMBLANCE_TOKENS",
    "ResemblanceTransferTexture": "RESEMBLANCE_TOKENS",
    "ResemblanceRestoreTokens": "RESEMBLANCE_TOKENS",
    "ResemblancePasteFaces": "IMAGE",
    "ResemblanceRestoreFaces": "IMAGE",
}


@pytest.mark.parametrize("name", WIDGETS)
def test_every_node_keeps_the_rules(nodes, name):
    assert list(nodes) == list(WIDGETS)
    schema = nodes[name].GET_SCHEMA()
    assert schema.category in {f"Resemblance/{room}" for room in ("Faces", "References", "Tokens", "Interop")}
    assert schema.display_name and schema.description
    for entry in (*schema.inputs, *schema.outputs):
        assert entry.tooltip and entry.tooltip.endswith("."), f"{entry} needs a tooltip"
    assert all(output.display_name for output in schema.outputs)
    # Restore Faces takes lists, so that all references are read once, and gives as many as it is given.
    assert {output.is_output_list for output in schema.outputs} == {name == "ResemblanceRestoreFaces"}
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


def test_few_look_at_their_values_before_they_run(nodes):
    from comfy_api.latest import io

    for name, node in nodes.items():
        looks = node.validate_inputs.__func__ is not io.ComfyNode.validate_inputs.__func__
        assert looks == (name in ("ResemblanceDetectFaces", "ResemblanceRestoreFaces"))  # whose values have old names
        own = node.fingerprint_inputs.__func__ is not io.ComfyNode.fingerprint_inputs.__func__
        assert own == (name in ("ResemblanceLoadRestorer", "ResemblanceExamplePhoto"))


def test_every_node_has_a_help_page_that_names_its_sockets(nodes):
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "nodes/web/docs").glob("*.md")}
    assert set(pages) == set(nodes)
    for name, node in nodes.items():
        schema = node.GET_SCHEMA()
        for entry in (*(i.id for i in schema.inputs), *(o.display_name for o in schema.outputs)):
            assert f"**{entry}**" in pages[name], f"{name}'s help page does not explain {entry}"


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
        (
            "PasteFaces",
            paste | {"restored": image[:, :400]},
            "restored faces are 512x400 with 3 channels; expected squares with 3",
        ),
        ("PasteFaces", paste | {"restored": image * torch.nan}, "Frame 0 of the restored holds NaN"),
        ("PasteFaces", paste | {"image": photos[:1]}, "came from 2 photographs .* but got 1"),
        (
            "PasteFaces",
            paste | {"photo_mask": torch.ones(1, 100, 100)},
            r"masks of .*\(1, 100, 100\).* for .*\(240, 400\)",
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
