"""What is on the page: the photograph, and beside it the people, the look, how true it is, and saving it."""

from __future__ import annotations

import math
from pathlib import Path

import gradio as gr

from ...refinement import STEPS
from . import parts, words
from .demonstration import Demonstration
from .graph import Settings
from .people import Studio

SUFFIXES = {words.PNG: ".png", words.JPEG: ".jpg"}
CSS, SCRIPT = (Path(__file__).with_name(name) for name in ("page.css", "page.js"))
# gradio's own colours of small text and buttons fall short of 4.5 to 1 (WCAG 2, AA).
CONTRAST = {
    "button_primary_background_fill": "*primary_700",
    "button_primary_background_fill_dark": "*primary_700",
    "button_primary_background_fill_hover": "*primary_800",
    "button_primary_background_fill_hover_dark": "*primary_800",
    "button_primary_text_color": "white",
    "slider_color": "*primary_700",
    "slider_color_dark": "*primary_600",
    "checkbox_background_color_selected": "*primary_700",
    "checkbox_background_color_selected_dark": "*primary_700",
    "body_text_color_subdued": "*neutral_600",
    "body_text_color_subdued_dark": "*neutral_300",
    "block_label_text_color": "*neutral_700",
    "block_title_text_color": "*neutral_800",
    "block_info_text_color": "*neutral_600",
    "block_info_text_color_dark": "*neutral_300",
    "link_text_color_dark": "*primary_300",
}


def looks(content: float) -> dict[str, Settings]:
    """The looks that can be chosen, for a restorer whose own content weight is so much."""
    return {
        words.FAITHFUL: Settings(content, 0.6, 0.6, 0),
        words.BALANCED: Settings(content, 1.0, 1.0, 0),
        words.STRONG: Settings(math.floor(15 * content) / 20, 1.0, 1.0, 1),
    }


class Layout:
    """The components, each under its name.

    Args:
        studio: the networks; the page shows no control for what they cannot do.
        alone: whether only this computer can reach the page.
        shown: what is seen before there is a photograph.
    """

    def __init__(self, studio: Studio, alone: bool, shown: Demonstration) -> None:
        self.studio = studio
        self.looks = looks(studio.restorer.default_content)
        gr.HTML(words.head(alone), padding=False)
        self.notice = gr.HTML(padding=False, elem_id="notice")
        self.welcome = parts.welcome(shown.before, shown.after, shown.examples)
        with gr.Row(visible=False, elem_id="work") as self.work:
            with gr.Column(scale=2, min_width=320, elem_id="left"):
                self.view = gr.Radio(
                    [words.WHOLE],
                    value=words.WHOLE,
                    label=words.SHOW,
                    show_label=False,
                    container=False,
                    elem_id="view",
                )
                self.stage = parts.stage()
                self.legend = gr.HTML(padding=False, elem_id="legend")
            with gr.Column(scale=1, min_width=320, elem_id="right"):
                self.tabs = gr.Radio(
                    [words.PEOPLE, words.LOOK, words.SAVE],
                    value=words.PEOPLE,
                    label=words.SHOW,
                    show_label=False,
                    container=False,
                    interactive=True,
                    elem_id="tabs",
                )
                with gr.Column(elem_id="steps-of-work"):
                    self._lay_people()
                    self._lay_look()
                self._lay_saving()

    def _lay_people(self) -> None:
        with gr.Column(elem_id="people"):
            gr.HTML(f"<h2>{words.PEOPLE}</h2>", padding=False)
            self.people = parts.people()

    def _lay_look(self) -> None:
        balanced = self.looks[words.BALANCED]
        with gr.Column(elem_id="look"):
            gr.HTML(f"<h2>{words.LOOK}</h2>", padding=False)
            self.preset = gr.Radio(
                [*self.looks, words.OWN],
                value=words.BALANCED,
                label=words.LOOK,
                show_label=False,
                container=False,
                elem_id="preset",
            )
            self.sets = gr.HTML(words.look(balanced), padding=False)
            with gr.Accordion(words.ADJUST, open=False, elem_id="adjust"):
                self.content = gr.Slider(
                    0, 1, balanced.content, step=0.05, label=words.CLOSE, info=words.CLOSE_HINT, elem_id="content"
                )
                self.quality = gr.Slider(
                    0, 1, balanced.quality, step=0.05, label=words.SHARPEN, info=words.SHARPEN_HINT, elem_id="quality"
                )
                self.strength = gr.Slider(
                    0, 1, balanced.strength, step=0.05, label=words.OTHERS, info=words.OTHERS_HINT, elem_id="strength"
                )
                self.steps = gr.Slider(
                    0,
                    STEPS,
                    balanced.steps,
                    step=1,
                    label=words.REBUILD,
                    info=words.REBUILD_HINT,
                    visible=self.studio.restorer.prior is not None,
                    elem_id="steps",
                )

    def _lay_saving(self) -> None:
        with gr.Column(elem_id="save"):
            with gr.Row(elem_id="truth"):
                self.trust = gr.HTML(padding=False, elem_id="trust")
                self.where = gr.Button(words.WHERE, size="sm", elem_id="where", scale=0, min_width=120)
            with gr.Row():
                self.one = gr.Button(words.SAVE_ONE, variant="primary", elem_id="save-one")
                self.all = gr.Button(words.SAVE_ALL, visible=False, elem_id="save-all")
                self.stop = gr.Button(words.STOP, variant="stop", visible=False, elem_id="stop")
            self.format = gr.Radio(
                list(SUFFIXES),
                value=words.PNG,
                label=words.FORMAT,
                show_label=False,
                container=False,
                elem_id="format",
            )
            self.progress = gr.HTML(padding=False, elem_id="progress")
            self.download = parts.download()
            with gr.Accordion(words.GRAPH, open=False, elem_id="comfy"):
                self.graph = gr.DownloadButton(words.GRAPH_SAVE, size="sm", elem_id="workflow")
                gr.HTML(f'<p class="hint">{words.GRAPH_HINT}</p>', padding=False)
            gr.HTML(f'<p class="hint">{words.ONLY_FACES}</p>', padding=False)
