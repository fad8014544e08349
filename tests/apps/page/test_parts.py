import re

import pytest
from resemblance.core.apps.page import parts, words
from resemblance.core.files.images import FORMATS


@pytest.mark.parametrize(
    "part, events",
    [
        (lambda: parts.welcome("a", "b", []), ["give", "example"]),
        (parts.stage, ["give", "face", "photo", "away"]),
        (parts.people, ["give", "face", "tick", "only", "all", "move", "take_away"]),
    ],
    ids=["welcome", "stage", "people"],
)
def test_a_part_tells_what_it_says_it_tells(part, events):
    import gradio as gr

    with gr.Blocks():
        made = part()
        for event in events:
            getattr(made, event)(lambda: None)
        with pytest.raises(AttributeError, match="nothing_like_it"):
            made.nothing_like_it(lambda: None)
    # Templates are filled in by gradio, and nothing in ours is to be.
    assert not re.search(r"\$\{|\{\{|`", made.html_template)
    for file in re.findall(r'accept="([^"]+)"', made.html_template):
        assert file.split(",") == list(FORMATS)


def test_examples_are_escaped():
    import gradio as gr

    with gr.Blocks():
        made = parts.welcome("a", "b", [("x", "data:,", "<b>bold</b>")])
    assert "&lt;b&gt;bold" in made.html_template and words.HEADLINE in made.html_template
