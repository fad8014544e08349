"""What is on the page, from top to bottom."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from ...files.images import FORMATS
from ...refinement import STEPS
from . import words
from .limits import MEGABYTES, PHOTOS, REFERENCES
from .people import Studio

COMPARE, BEFORE, AFTER, INVENTED, TAKEN = "Compare", "Before", "After", "Invented", "From references"
VIEWS = (COMPARE, BEFORE, AFTER, INVENTED, TAKEN)
ONE, WHOLE = "One face", "Whole photograph"
SUFFIXES = {"PNG (nothing is lost)": ".png", "JPEG (smaller file)": ".jpg"}
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


class Layout:
    """The components, each under its name.

    Args:
        studio: the networks; the page shows no control for what they cannot do.
        alone: whether only this computer can reach the page.
    """

    def __init__(self, studio: Studio, alone: bool) -> None:
        self.studio = studio
        gr.HTML(words.HEAD.format(where=words.ALONE if alone else words.SERVED), padding=False)
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=5, min_width=330):
                self._lay_photographs()
                self._lay_references()
            with gr.Column(scale=6, min_width=330):
                self._lay_result()

    def _lay_photographs(self) -> None:
        gr.HTML("<h2>1. The photograph</h2>", padding=False)
        self.photos = gr.File(
            label=f"Photographs, up to {PHOTOS} of {MEGABYTES} MB each",
            file_count="multiple",
            file_types=list(FORMATS),
            height=150,
            elem_id="photos",
        )
        self.notice = gr.HTML(padding=False, elem_id="notice")
        self.which = gr.Dropdown(label="Photograph that is shown", visible=False, elem_id="which")
        self.numbered = gr.Image(
            label="Faces, numbered",
            show_label=False,
            interactive=False,
            visible=False,
            buttons=[],
            format="jpeg",
            elem_id="numbered",
        )
        self.chosen = gr.CheckboxGroup(label="Faces to restore", visible=False, elem_id="chosen")

    def _lay_references(self) -> None:
        gr.HTML(
            "<h2>2. Better photographs of the same people</h2>"
            '<p class="hint">If you have some. Three to five of each person are enough; who is who is found out.</p>',
            padding=False,
        )
        self.references = gr.File(
            label=f"Reference photographs, up to {REFERENCES}",
            file_count="multiple",
            file_types=list(FORMATS),
            height=150,
            elem_id="references",
        )
        self.unread = gr.HTML(padding=False)
        self.verdicts = gr.HTML(padding=False, elem_id="verdicts")
        with gr.Accordion("Not right? Say who is who", open=False, visible=False, elem_id="by-hand") as self.by_hand:
            self.whose = gr.Dropdown(label="This reference photograph", elem_id="whose")
            self.belongs = gr.Dropdown(label="shows the person of", elem_id="belongs")

    def _lay_result(self) -> None:
        own = self.studio.restorer.default_content
        gr.HTML("<h2>3. The restored face</h2>", padding=False)
        self.empty = gr.HTML(words.EMPTY, padding=False)
        with gr.Column(visible=False, elem_id="work") as self.work:
            with gr.Row():
                self.scope = gr.Radio([ONE, WHOLE], value=ONE, label="Look at", elem_id="scope", scale=2, min_width=310)
                self.face = gr.Dropdown(label="Face", elem_id="face", min_width=120)
            self.view = gr.Radio(list(VIEWS), value=COMPARE, label="Show", elem_id="view")
            self.compare = gr.ImageSlider(
                label="Before | after: drag the line",
                interactive=False,
                buttons=["fullscreen"],
                format="jpeg",
                max_height=640,
                elem_id="compare",
            )
            self.single = gr.Image(
                label="Picture",
                interactive=False,
                visible=False,
                buttons=["fullscreen"],
                format="jpeg",
                elem_id="single",
            )
            self.legend = gr.HTML(padding=False, elem_id="legend")
            self.identity = gr.HTML(padding=False, elem_id="identity", elem_classes="identity")
            with gr.Group():
                self.content = gr.Slider(
                    0,
                    1,
                    own,
                    step=0.05,
                    label="Content: how closely to keep to the photograph",
                    info="Lower it when damage still shows, raise it when the person is not recognised.",
                    elem_id="content",
                )
                self.quality = gr.Slider(
                    0,
                    1,
                    1,
                    step=0.05,
                    label="Quality: how much fine texture to renew",
                    info="0 leaves the photograph's own texture, with its blur.",
                    elem_id="quality",
                )
                self.strength = gr.Slider(
                    0,
                    1,
                    1,
                    step=0.05,
                    label="References: how much to take from the other photographs",
                    info="Lower it when a face takes on too much of them.",
                    visible=False,
                    elem_id="strength",
                )
                self.steps = gr.Slider(
                    0,
                    STEPS,
                    0,
                    step=1,
                    label="Refinement: steps towards what faces look like",
                    info="For faces that are hardly there; what it adds is invented. 0 is off.",
                    visible=self.studio.restorer.prior is not None,
                    elem_id="steps",
                )
            gr.HTML("<h2>4. Save it in full size</h2>", padding=False)
            self.format = gr.Radio(list(SUFFIXES), value=next(iter(SUFFIXES)), label="As", elem_id="format")
            with gr.Row():
                self.restore = gr.Button("Restore this photograph", variant="primary", elem_id="restore")
                self.all = gr.Button("Restore all", visible=False, elem_id="restore-all")
                self.stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
            self.progress = gr.HTML(padding=False, elem_id="progress")
            self.files = gr.File(
                label="Restored photographs: click one to save it",
                file_count="multiple",
                interactive=False,
                visible=False,
                elem_id="files",
            )
            self.graph = gr.DownloadButton("Save the same steps as a ComfyUI workflow", size="sm", elem_id="workflow")
