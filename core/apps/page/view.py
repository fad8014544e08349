"""What happens on the page when something is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from torch import Tensor

from . import pictures, words
from .faces import DrawnFace
from .graph import Settings
from .layout import BEFORE, COMPARE, INVENTED, ONE, SUFFIXES, TAKEN, VIEWS, Layout
from .limits import KEPT, Run, Stopped
from .people import NOBODY, Studio
from .session import Session, told
from .visitors import Visitor

RECOGNISED = "as recognised"
GONE = "Photographs are kept for an hour; yours are deleted. Choose them again."
Updates = dict[Any, Any]


class Page(Layout):
    """The page of one server.

    Args:
        studio: the networks.
        alone: whether only this computer can reach it.
    """

    def __init__(self, studio: Studio, alone: bool) -> None:
        with gr.Blocks(title="Resemblance", analytics_enabled=False) as self.blocks:
            self.session = gr.State(None, time_to_live=KEPT, delete_callback=_forget)
            super().__init__(studio, alone)
            self._connect()

    def _connect(self) -> None:
        settings = [self.content, self.quality, self.strength, self.steps]
        looking = [self.session, *settings, self.scope, self.face, self.view]
        shown = [self.compare, self.single, self.legend, self.identity, self.graph, self.view]
        photograph = [self.session, self.notice, self.which, self.numbered, self.chosen, self.face, self.work]
        photograph += [self.empty, self.restore, self.all, self.progress, self.files]
        people = [self.session, self.unread, self.verdicts, self.by_hand, self.whose, self.belongs]
        people += [self.strength]
        quiet: Updates = {"api_visibility": "private", "show_progress": "hidden"}
        light = quiet | {"concurrency_limit": 2, "concurrency_id": "look"}

        def then_look(event: Any) -> None:
            event.then(self.preview, looking, shown, **light)

        def then_match(event: Any) -> None:
            then_look(event.then(self.sort_references, [self.session], people, **light))

        then_match(self.photos.change(self.take_photos, [self.session, self.photos], photograph, **light))
        then_match(self.which.input(self.turn_to, [self.session, self.which], photograph, **light))
        choice = [self.numbered, self.chosen, self.face]
        then_look(self.numbered.select(self.click, [self.session], choice, **light))
        then_look(self.chosen.input(self.choose, [self.session, self.chosen], choice, **light))
        given = [self.session, self.references]
        then_look(self.references.change(self.take_references, given, people, **light))
        self.whose.input(self.show_said, [self.session, self.whose], [self.belongs], **light)
        then_look(self.belongs.input(self.say, [self.session, self.whose, self.belongs], people, **light))
        touched = [control.change for control in settings]
        touched += [control.input for control in (self.scope, self.face, self.view)]
        gr.on(touched, self.preview, looking, shown, trigger_mode="always_last", **light)
        saved = [self.progress, self.files, self.restore, self.all, self.stop]
        heavy = quiet | {"concurrency_limit": 1, "concurrency_id": "save"}
        runs = [
            button.click(function, [self.session, *settings, self.format], saved, **heavy)
            for button, function in ((self.restore, self.save_one), (self.all, self.save_all))
        ]
        self.stop.click(self.halt, [self.session], saved, cancels=[*runs], queue=False, **quiet)

    # What happens

    def take_photos(self, session: Session | None, files: list[str] | None, request: gr.Request) -> Iterator[Updates]:
        """Photographs were dropped: read them, find the faces of the first good one."""
        session = session or self._begin(request)
        lines: list[tuple[str, str]] = []
        if files:
            yield {self.notice: words.status("Looking for faces …")}
        try:
            for path, problem in session.take_photos([Path(file) for file in files or ()]):
                if problem:
                    lines.append((f"{path.name}: {problem}", "bad"))
        except ValueError as error:
            lines.append((str(error), "bad"))
        yield self._photograph(session, lines)

    def _begin(self, request: gr.Request) -> Session:
        """A session whose files are the visitor's that the door let in."""
        visitor: Visitor = request.state.visitor
        return Session(self.studio, visitor.new_folder())

    def turn_to(self, session: Session | None, number: int) -> Updates:
        """Another of the photographs is to be shown."""
        if not session or not 0 <= number < len(session.photos):
            return {self.notice: words.status(GONE, "bad")}
        try:
            session.look_at(number)
        except (OSError, ValueError) as error:
            return {self.notice: words.status(f"{told(error, session.photos[number])} {GONE}", "bad")}
        return self._photograph(session, [])

    def _photograph(self, session: Session, lines: list[tuple[str, str]]) -> Updates:
        opened = session.opened
        if not opened:
            hidden = (self.which, self.numbered, self.chosen, self.work, self.all)
            updates: Updates = {part: gr.update(visible=False) for part in hidden}
            return updates | {
                self.session: session,
                self.notice: words.statuses(lines),
                self.numbered: gr.update(value=None, visible=False),
                self.empty: gr.update(visible=True),
                self.progress: "",
            }
        several = len(session.photos) > 1
        names = [(path.name, n) for n, path in enumerate(session.photos)]
        faces = bool(opened.faces)
        return {
            self.session: session,
            self.notice: words.statuses([*lines, words.found(opened)]),
            self.which: gr.update(choices=names, value=session.photos.index(opened.path), visible=several),
            self.work: gr.update(visible=faces or several),
            self.empty: gr.update(visible=not faces),
            self.restore: gr.update(visible=faces),
            self.all: gr.update(value=f"Restore all {len(session.photos)}", visible=several),
            self.progress: "",
            self.files: gr.update(visible=False, value=None) if not several else gr.update(),
            **self._choice(session),
        }

    def _choice(self, session: Session, face: int | None = None) -> Updates:
        opened = session.opened
        assert opened is not None
        names = [(words.label(opened, n), n) for n in range(len(opened.faces))]
        if face is None:
            face = min(opened.chosen) if opened.chosen else 0
        return {
            self.numbered: gr.update(value=_show(session, pictures.numbered(opened)), visible=True),
            self.chosen: gr.update(choices=names, value=sorted(opened.chosen), visible=len(names) > 0),
            self.face: gr.update(
                choices=[(f"Face {n + 1}", n) for n in range(len(names))],
                value=face if names else None,
                visible=len(names) > 1,
            ),
        }

    def click(self, session: Session | None, event: gr.SelectData) -> Updates:
        """The picture was clicked: the face there is chosen, or left out where it was chosen."""
        if not session or not session.opened:
            return gr.skip()
        face = session.opened.face_at(*event.index)
        if face is None:
            return gr.skip()
        session.opened.chosen.symmetric_difference_update({face})
        return self._choice(session, face)

    def choose(self, session: Session | None, chosen: list[int]) -> Updates:
        """The boxes of the faces were ticked."""
        if not session or not session.opened:
            return gr.skip()
        new = set(chosen) - session.opened.chosen
        session.opened.chosen.clear()
        session.opened.chosen.update(chosen)
        return self._choice(session, min(new) if new else None)

    def take_references(
        self, session: Session | None, files: list[str] | None, request: gr.Request
    ) -> Iterator[Updates]:
        """Reference photographs were dropped: read those that are new, and match them."""
        session = session or self._begin(request)
        files = files or []
        try:
            for number, (path, _) in enumerate(session.take_references([Path(file) for file in files]), 1):
                yield {self.unread: words.status(f"Read {path.name} ({number} of {len(files)}) …")}
        except ValueError as error:
            yield {self.unread: words.status(str(error), "bad")}
            return
        yield {self.unread: "", **self.sort_references(session)}

    def sort_references(self, session: Session | None) -> Updates:
        """Who is who."""
        if not session:
            return gr.skip()
        updates: Updates = {self.session: session}
        if not session.references or not session.opened:
            text = "They are matched as soon as there is a photograph to restore." if session.references else ""
            off = gr.update(visible=False)
            return updates | {self.verdicts: words.status(text), self.by_hand: off, self.strength: off}
        faces = [(f"face {n + 1}", n) for n in range(len(session.opened.faces))]
        names = [(reference.name, n) for n, reference in enumerate(session.references) if reference.seen]
        return updates | {
            self.verdicts: words.verdicts(session.matched().verdicts, session.references),
            self.by_hand: gr.update(visible=bool(names)),
            self.whose: gr.update(choices=names, value=names[0][1] if names else None),
            self.belongs: gr.update(
                choices=[RECOGNISED, *faces, ("nobody here", NOBODY)],
                value=_said(session, names[0][1] if names else None),
            ),
            self.strength: gr.update(visible=True),
        }

    def show_said(self, session: Session | None, reference: int) -> Any:
        """Another reference photograph is to be said something of."""
        return gr.update(value=_said(session, reference))

    def say(self, session: Session | None, reference: int, face: int | str) -> Updates:
        """It was said whose a reference photograph is."""
        if not session or reference is None:
            return gr.skip()
        session.belongs(reference, None if face == RECOGNISED else int(face))
        updates = self.sort_references(session)
        return updates | {self.whose: gr.update(), self.belongs: gr.update()}

    def preview(
        self,
        session: Session | None,
        content: float,
        quality: float,
        strength: float,
        steps: int,
        scope: str,
        face: int | None,
        view: str,
    ) -> Iterator[Updates]:
        """What the settings make of one face, or of the photograph as large as it is shown: the face comes first."""
        if not session or not session.opened or not session.opened.faces:
            return
        face = min(face or 0, len(session.opened.faces) - 1)
        settings = Settings(content, quality, strength, int(steps))
        drawn = session.drawn(face, settings)
        views = VIEWS if scope == ONE else VIEWS[:3]
        view = view if view in views else COMPARE
        known: Updates = {
            self.identity: words.identity(drawn, face, session.matched()),
            self.graph: str(session.workflow(settings)),
            self.view: gr.update(choices=list(views), value=view),
        }
        if scope == ONE:
            yield known | self._picture(session, (drawn.before, drawn.after), view, drawn)
            return
        if len(session.opened.chosen) > 1:
            yield known | self._picture(session, session.whole(settings, face), view, drawn)
        yield known | self._picture(session, session.whole(settings), view, drawn)

    def _picture(self, session: Session, pair: tuple[Tensor, Tensor], view: str, drawn: DrawnFace) -> Updates:
        before, after = map(pictures.array, pair)
        if view == COMPARE:
            return {
                self.compare: gr.update(value=(_show(session, before), _show(session, after)), visible=True),
                self.single: gr.update(visible=False),
                self.legend: "",
            }
        if view == INVENTED:
            after = pictures.invented(drawn.after, drawn.invention)
        elif view == TAKEN:
            after = after if drawn.attribution is None else pictures.array(drawn.attribution)
        return {
            self.compare: gr.update(visible=False),
            self.single: gr.update(value=_show(session, before if view == BEFORE else after), label=view, visible=True),
            self.legend: words.legend(drawn, view),
        }

    def save_one(self, session: Session | None, *settings: Any) -> Iterator[Updates]:
        """Restore the photograph that is shown, in full size."""
        yield from self._save(session, [session.opened.path] if session and session.opened else [], settings)

    def save_all(self, session: Session | None, *settings: Any) -> Iterator[Updates]:
        """Restore all photographs, one after the other."""
        yield from self._save(session, list(session.photos) if session else [], settings)

    def _save(self, session: Session | None, paths: Sequence[Path], settings: Sequence[Any]) -> Iterator[Updates]:
        if not session or not paths:
            yield {self.progress: words.status(GONE, "bad")}
            return
        session.run = run = Run.begin()
        content, quality, strength, steps, suffix = settings
        chosen = Settings(content, quality, strength, int(steps))
        lines: list[tuple[str, str]] = []
        files: list[str] = []
        yield self._running(True)
        try:
            for step in session.restore(paths, chosen, SUFFIXES[suffix], run):
                if step.file:
                    files.append(str(step.file))
                if step.file or step.failed or step.done == (len(lines) + 1) / len(paths):
                    lines.append((step.text, "bad" if step.failed else "good" if step.file else "note"))
                bar = f'<progress value="{step.done:.3f}" aria-label="Photographs done"></progress>'
                now = "" if step.done == 1 else words.status(step.text) if not step.file else ""
                yield {
                    self.progress: words.statuses(lines) + (bar + now if step.done < 1 else ""),
                    self.files: gr.update(value=files, visible=bool(files)),
                }
        except Stopped as stopped:
            yield {self.progress: words.statuses([*lines, (str(stopped), "note")])}
        yield self._running(False)

    def halt(self, session: Session | None) -> Updates:
        """Stop was pressed."""
        if session:
            session.stop()
        note = words.status("Stopped. What was done before is below; nothing else was changed.")
        return {self.progress: note, **self._running(False)}

    def _running(self, on: bool) -> Updates:
        return {
            self.stop: gr.update(visible=on),
            self.restore: gr.update(interactive=not on),
            self.all: gr.update(interactive=not on),
        }


def _show(session: Session, picture: np.ndarray) -> str:
    """The path of a picture, which is among the visitor's files before the page hears of it."""
    return pictures.show(picture, session.folder / "shown")


def _said(session: Session | None, reference: int | None) -> int | str:
    said = session.said_of(reference) if session and reference is not None else None
    return RECOGNISED if said is None else said


def _forget(session: Session | None) -> None:
    if session:
        session.close()
