"""What the page says, as small pieces of HTML; whatever comes from a visitor is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ...faces.preview import COLOURS
from ...sentences import condition
from .faces import DrawnFace
from .people import Matched, Reference, Verdict
from .pictures import thumbnail
from .session import Opened

HEAD = """<header class="top"><h1>Resemblance</h1>
<p>Gives the faces in an old or damaged photograph back, with the help of better photographs of the same people where
you have some. {where}</p></header>"""
ALONE = "Everything stays on this computer."
SERVED = (
    "Your photographs stay on the computer that serves this page, are shown to nobody else, and are deleted after an "
    "hour."
)
EMPTY = '<p class="hint">The restored face appears here as soon as a photograph with a face is chosen.</p>'
CLEARLY = 0.05  # a likeness that moved by less is not called a change


def status(text: str, kind: str = "note") -> str:
    """A line that screen readers speak; `kind` is ``note``, ``good`` or ``bad``."""
    return f'<p class="say {kind}" role="status">{escape(text)}</p>' if text else ""


def statuses(lines: Sequence[tuple[str, str]]) -> str:
    """Several (text, kind) lines."""
    return "".join(status(text, kind) for text, kind in lines)


def found(opened: Opened) -> tuple[str, str]:
    """How many faces there are, and what to do now."""
    number = len(opened.faces)
    if not number:
        return "No face was found in this photograph, so there is nothing to restore. Try a larger scan of it.", "bad"
    sharp = [n + 1 for n in range(number) if n not in opened.chosen]
    if number == 1:
        if sharp:
            return "One face was found. It looks sharp already; choose it to restore it all the same.", "note"
        return "One face was found.", "good"
    if opened.more:
        text = (
            f"More than {number} faces were found; the page takes {number}, the largest. The command "
            "'resemblance restore' takes all."
        )
    else:
        text = f"{number} faces were found."
    text += " Click on a face, or tick its box, to choose it or leave it out."
    if sharp:
        faces = "Face " + ", ".join(map(str, sharp)) if len(sharp) == 1 else "Faces " + ", ".join(map(str, sharp))
        text += f" {faces} {'looks' if len(sharp) == 1 else 'look'} sharp already."
    return text, "good"


def label(opened: Opened, face: int) -> str:
    """What a face is called where it can be chosen."""
    quality = opened.faces[face].quality
    return f"Face {face + 1} – {condition(quality.severity if quality else 1.0)}"


def verdicts(rows: Sequence[Verdict], references: Sequence[Reference]) -> str:
    """What became of the reference photographs, each with the face that was read."""
    items = []
    for row, reference in zip(rows, references, strict=True):
        kind = "good" if row.used else "bad"
        face = f'<img src="{thumbnail(reference.seen.faces[0])}" alt="">' if reference.seen else "<i></i>"
        items.append(f'<li class="{kind}">{face}<span><b>{escape(row.name)}</b><br>{escape(row.text)}</span></li>')
    return f'<ul class="verdicts">{"".join(items)}</ul>'


def identity(drawn: DrawnFace, face: int, matched: Matched) -> str:
    """How true the face is, as far as anybody can tell, and what was made of what."""
    lines, found = [], matched.matches[face]
    if drawn.likeness:
        before, after = drawn.likeness
        if after - before > CLEARLY:
            change = "more like the reference photographs than before"
        elif before - after > CLEARLY:
            change = "less like the reference photographs than before"
        else:
            change = "about as like the reference photographs as before"
        assert found and found.chance is not None, "a face that was given references was matched"
        told = "what you said and its likeness" if found.by_hand else "its likeness"
        lines.append(
            f"<b>Face {face + 1} is {change}:</b> likeness {before:.2f} before, {after:.2f} after, of at most 1. "
            f"It is {found.chance:.0%} sure that it is the same person, by {told} before. "
            "Likeness rises by copying alone, so look for yourself."
        )
    elif matched.references:
        why = "as you said" if found and found.by_hand else "it is not likely to be the person on any of them"
        lines.append(f"<b>Face {face + 1} is restored without the reference photographs</b> ({why}).")
    else:
        lines.append(
            "<b>Nobody can say yet how true this face is:</b> there is no other photograph of this person to compare "
            "it with. Add one or more as reference photographs."
        )
    lines.append(f"About {drawn.invented:.0%} of what you see in it is invented; the rest comes from photographs.")
    lines += [f"{escape(Path(path).name)} is passed over for this face: {escape(why)}." for path, why in drawn.unused]
    return "".join(f"<p>{line}</p>" for line in lines)


def legend(drawn: DrawnFace, view: str) -> str:
    """What the colours of an overlay mean."""
    if view == "Invented":
        return '<p class="legend"><span style="background:#e69f00"></span>invented: the stronger, the less to trust</p>'
    if view == "From references":
        if not drawn.taken:
            return '<p class="legend">No reference photograph was used for this face.</p>'
        colours = ["#{:02x}{:02x}{:02x}".format(*COLOURS[n % len(COLOURS)]) for n in range(len(drawn.taken))]
        swatches = "".join(
            f'<span style="background:{colour}"></span>{escape(Path(path).name)}, {share:.0%} of the face<br>'
            for colour, (path, share) in zip(colours, drawn.taken, strict=True)
        )
        return f'<p class="legend">{swatches}grey: none of them</p>'
    return ""
