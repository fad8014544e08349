"""What the page's own parts are told of a session: the photograph on the stage, and the people beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from . import pictures, words
from .faces import DrawnFace
from .graph import Settings
from .people import Verdict
from .session import Opened, Session
from .visitors import address

Value = dict[str, Any]


def staged(session: Session, settings: Settings, view: str, pair: tuple[Tensor, Tensor] | None = None) -> Value:
    """What :func:`.parts.stage` shows.

    Args:
        session: of the visitor.
        settings: of the sliders.
        view: what is looked at.
        pair: two pictures (3,h,w) to compare; without them the photograph as it is, while it is worked on.
    """
    opened = session.opened
    if opened is None:
        return {"photos": []}
    waiting = None
    if pair is None:
        pair = opened.small, opened.small
        waiting = words.WORKING if opened.chosen else None
    labels = [words.AFTER, words.GUESSED] if view == words.GUESSED else [words.BEFORE, words.AFTER]
    if view == words.TAKEN:
        labels[1] = words.TAKEN
    return {
        "pair": [shown(session, picture) for picture in pair],
        "labels": labels,
        "waiting": waiting,
        "faces": _boxes(opened) if view == words.WHOLE else [],
        "face": f"{opened.path} {view} {'' if view == words.WHOLE else session.face}",
        "photos": [_photo(session, path, settings) for path in session.photos],
        "shown": session.photos.index(opened.path),
    }


def compared(drawn: DrawnFace, view: str) -> tuple[Tensor, Tensor]:
    """The two pictures of one face that a view compares."""
    if view == words.GUESSED:
        return drawn.after, pictures.invented(drawn.after, drawn.invention)
    if view == words.TAKEN and drawn.attribution is not None:
        return drawn.before, drawn.attribution
    return drawn.before, drawn.after


def views(drawn: DrawnFace) -> list[str]:
    """What can be looked at: no view that says nothing."""
    found = [words.WHOLE, words.ONE, words.GUESSED]
    return found if drawn.attribution is None else [*found, words.TAKEN]


def listed(session: Session) -> Value:
    """What :func:`.parts.people` shows."""
    opened = session.opened
    if opened is None:
        return {"faces": [], "references": []}
    matched = session.matched()
    faces = [
        {
            "n": n,
            "name": words.name(n),
            "thumb": pictures.thumbnail(opened.crops.pixels[n]),
            "on": n in opened.chosen,
            "shown": n == session.face and len(opened.faces) > 1,
            "text": words.state(opened, n, matched),
        }
        for n in range(len(opened.faces))
    ]
    return {
        "faces": faces,
        "references": [_reference(session, verdict, n) for n, verdict in enumerate(matched.verdicts)],
    }


def shown(session: Session, picture: Tensor) -> str:
    """Where the page serves a picture (3,h,w) to the visitor alone."""
    return address(pictures.show(pictures.array(picture), session.folder / "shown"))


def _boxes(opened: Opened) -> list[Value]:
    width, height = opened.size
    found = []
    for face in opened.faces:
        x0, y0, x1, y1 = face.box
        box = [(x0 + 0.5) / width, (y0 + 0.5) / height, (x1 - x0) / width, (y1 - y0) / height]
        found.append({"n": face.index, "box": box, "on": face.index in opened.chosen, "name": words.name(face.index)})
    return found


def _photo(session: Session, path: Path, settings: Settings) -> Value:
    saved = session.saved.get(path)
    state = "" if saved is None else "saved" if saved == session.made_with(path, settings) else "earlier"
    said = {"saved": words.SAVED, "earlier": words.EARLIER, "": path.name}[state]
    return {"name": path.name, "thumb": session.thumbnails[path], "state": state, "said": said}


def _reference(session: Session, verdict: Verdict, number: int) -> Value:
    reference = session.references[number]
    return {
        "id": number,
        "name": reference.name,
        "thumb": reference.thumbnail,
        "serves": [{"face": served.face, "thumb": served.thumbnail} for served in verdict.serves],
        "plain": verdict.plain,
        "said": session.said_of(number),
        "text": words.verdict(verdict),
    }
