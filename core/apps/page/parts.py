"""The page's own components, where gradio's widgets do not do: the way in, the photograph, the people, a download.

Each is a piece of HTML with a script of its own beside this file, behind what all begin with (``part.js``). The script
is told by the component's value, and tells by events whose names stand in it in quotes. Files are in the visitor's
folder before they are told of.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr

from ...files.images import FORMATS
from . import words

ACCEPT = ",".join(FORMATS)
SAVE = """watch("value", () => {
    const {url, name} = props.value ?? {};
    if (url) window.resemblance.save(url, name);
});"""


def welcome(before: str, after: str, examples: Sequence[tuple[str, str, str]]) -> gr.HTML:
    """What is seen before there is a photograph. Events: ``give`` (files) and ``example`` (name).

    Args:
        before, after: addresses of two pictures that show what is done.
        examples: (name, address of a picture, what it is) to try.
    """
    buttons = "".join(
        f'<button type="button" data-example="{name}"><img src="{picture}" alt="">'
        f"<span>{html.escape(text)}</span></button>"
        for name, picture, text in examples
    )
    return _part(
        "welcome",
        f"""<section class="welcome"><div class="pitch"><h2>{words.HEADLINE}</h2><p>{words.PITCH}</p>
<label class="drop"><input type="file" multiple accept="{ACCEPT}" aria-label="{words.DROP}"><b>{words.DROP}</b>
<small>{words.TAKES}</small></label><p class="note" role="status"></p></div>
<figure class="moving"><div><img src="{after}" alt="{words.MOVING}"><img class="old" src="{before}" alt=""></div>
<figcaption>{words.MOVING}</figcaption></figure>
<div class="examples"><h3>{words.EXAMPLES}</h3><div>{buttons}</div></div></section>""",
        words.SENDING,
    )


def stage() -> gr.HTML:
    """The photograph before and after. Its value is made by :func:`.showing.staged`.

    Events: ``give`` (files), ``face`` (its number), ``photo`` and ``away`` (the number of a photograph).
    """
    return _part(
        "stage",
        f"""<div class="stage"><div class="frame"><div class="canvas" hidden>
<img class="before" alt="{words.PHOTO_BEFORE}" draggable="false">
<img class="after" alt="{words.PHOTO_AFTER}" draggable="false">
<div class="faces"></div><span class="handle"></span></div>
<input class="line" type="range" min="0" max="100" step="1" value="50" aria-label="{words.LINE}">
<p class="busy" role="status"></p><span class="label left"></span><span class="label right"></span></div>
<div class="tools"><button type="button" class="hold" aria-pressed="false">{words.HOLD}</button>
<button type="button" class="out" aria-label="{words.FARTHER}">−</button>
<button type="button" class="in" aria-label="{words.NEARER}">+</button>
<button type="button" class="fit">{words.FIT}</button></div>
<ul class="film" aria-label="{words.PHOTOS_LABEL}"><li><label class="add">
<input type="file" multiple accept="{ACCEPT}" aria-label="{words.ADD}"><span>+</span><small>{words.ADD}</small>
</label></li></ul><p class="note" role="status"></p></div>""",
        words.SENDING,
    )


def people() -> gr.HTML:
    """Who is in the photograph. Its value is made by :func:`.showing.listed`.

    Events: ``give`` (files, face or None), ``face``, ``tick`` (face, on), ``only`` (face), ``all`` (on), ``move``
    (reference, face) and ``take_away`` (reference).
    """
    return _part(
        "rail",
        f"""<div class="rail"><p class="several" hidden><span>{words.RESTORE}</span>
<button type="button" data-all="yes">{words.ALL}</button><button type="button" data-all="no">{words.NONE}</button></p>
<ul class="people"></ul>
<label class="drop"><input type="file" multiple accept="{ACCEPT}" aria-label="{words.BETTER}"><b>{words.BETTER}</b>
<small>{words.BETTER_HINT}</small></label><p class="note" role="status"></p></div>""",
        words.RAIL,
    )


def download() -> gr.HTML:
    """Saves what its value names: ``url`` and ``name``."""
    return gr.HTML(None, html_template="", js_on_load=SAVE, elem_id="download", padding=False)


def _part(name: str, template: str, says: Mapping[str, str]) -> gr.HTML:
    told = f"const says = {json.dumps(says)}, accept = {json.dumps(ACCEPT)};\n"
    script = told + "".join(
        Path(__file__).with_name(file).read_text(encoding="utf-8") for file in ("part.js", f"{name}.js")
    )
    return gr.HTML(
        None, html_template=template, js_on_load=script, apply_default_css=False, elem_id=name, padding=False
    )
