"""The nodes' names and tooltips in other languages."""

import json
import re
from pathlib import Path

import pytest

LOCALES = sorted((Path(__file__).parents[2] / "locales").iterdir())
# What a user types, chooses or looks for in a folder stays as it is.
AS_TYPED = re.compile(
    r"\d+=\w+|top-k|large-small|models/\w+|CodeFormer|GFPGAN|ONNX|insightface|facexlib|MediaPipe|\[px\]"
)


def texts(node):
    """All that is said of a node, by where it is said."""
    found = {(): node["display_name"], ("description",): node["description"]}
    for side in ("inputs", "outputs"):
        for key, entry in node[side].items():
            found |= {(side, key, kind): entry[kind] for kind in ("name", "tooltip")}
    return found


@pytest.fixture(scope="module")
def english(nodes):
    """What the nodes say, in the form of a locale."""
    said = {}
    for name, node in nodes.items():
        schema = node.GET_SCHEMA()
        said[name] = {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": {i.id: {"name": i.id, "tooltip": i.tooltip} for i in schema.inputs},
            "outputs": {str(n): {"name": o.display_name, "tooltip": o.tooltip} for n, o in enumerate(schema.outputs)},
        }
    return said


def test_there_are_six_languages():
    assert [path.name for path in LOCALES] == ["de", "es", "fr", "ja", "ko", "zh"]


@pytest.mark.parametrize("folder", LOCALES, ids=lambda path: path.name)
def test_a_language_says_all_that_the_nodes_say(english, folder):
    said = json.loads((folder / "nodeDefs.json").read_text(encoding="utf-8"))
    assert list(said) == list(english)
    names = set()
    for name, node in said.items():
        ours, theirs = texts(english[name]), texts(node)
        assert theirs.keys() == ours.keys(), name
        names.add(theirs[()])
        for where, text in theirs.items():
            assert text.strip() == text and text, (name, where)
            if where[-1:] in (("tooltip",), ("description",)):
                assert text != ours[where], (name, where)
                assert [typed for typed in AS_TYPED.findall(ours[where]) if typed not in text] == [], (name, where)
    assert len(names) == len(said), "two nodes bear one name"
    rooms = json.loads((folder / "main.json").read_text(encoding="utf-8"))["nodeCategories"]
    assert set(rooms) == {"Faces", "References", "Tokens", "Interop"}


@pytest.mark.parametrize("folder", LOCALES, ids=lambda path: path.name)
def test_a_node_is_called_one_name_wherever_it_is_spoken_of(english, folder):
    said = json.loads((folder / "nodeDefs.json").read_text(encoding="utf-8"))
    # Names of two words alone: "Refine" or "faces" are words of their own.
    called = {node["display_name"]: said[name]["display_name"] for name, node in english.items()}
    for name, node in english.items():
        for where, text in texts(node).items():
            for ours, theirs in called.items():
                if where and where[-1] in ("tooltip", "description") and re.search(rf"\b{ours}\b", text):
                    assert theirs.casefold() in texts(said[name])[where].casefold(), (name, where, ours)
