"""What happens on the page when something is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import gradio as gr

from . import words
from .demonstration import Demonstration, copied
from .downloads import Downloads, Lines, Updates, settings_of, visitor_of
from .graph import Settings
from .people import NOBODY
from .session import Session, told
from .sessions import Sessions
from .showing import compared, listed, staged, views


class Page(Downloads):
    """The page of one server.

    Args:
        sessions: of its visitors.
        alone: whether only this computer can reach it.
        shown: what is seen before there is a photograph.
    """

    def __init__(self, sessions: Sessions, alone: bool, shown: Demonstration) -> None:
        with gr.Blocks(title=words.TITLE, analytics_enabled=False) as self.blocks:
            super().__init__(sessions, alone, shown)
            self._connect()

    def _connect(self) -> None:
        self.settings = [self.content, self.quality, self.strength, self.steps]
        looking = [self.view, *self.settings]
        seen = [self.stage, self.trust, self.legend, self.view, self.graph]
        photograph = [self.notice, self.welcome, self.work, self.stage, self.people, self.one, self.all, self.where]
        quiet: Updates = {"api_visibility": "private", "show_progress": "hidden"}
        light = quiet | {"concurrency_limit": 2, "concurrency_id": "look"}

        def then_look(event: Any) -> None:
            event.then(self.preview, looking, seen, trigger_mode="always_last", **light)

        then_look(self.blocks.load(self.come_back, None, photograph, **light))
        for part in (self.welcome, self.stage):
            then_look(part.give(self.take_photos, None, photograph, **light))
        then_look(self.welcome.example(self.take_example, None, photograph, **light))
        then_look(self.stage.photo(self.turn_to, None, photograph, **light))
        then_look(self.stage.away(self.leave_out, None, photograph, **light))
        for part in (self.stage, self.people):
            then_look(part.face(self.turn_to_face, None, [self.people, self.view], **light))
        listing = [self.people, self.notice]
        for event, function in (
            (self.people.give, self.take_references),
            (self.people.take_away, self.leave_reference_out),
            (self.people.move, self.say),
            (self.people.tick, self.choose),
            (self.people.only, self.choose_only),
            (self.people.all, self.choose_all),
        ):
            then_look(event(function, None, listing, **light))
        self.preset.input(self.take_look, [self.preset], [*self.settings, self.sets], **light)
        gr.on(
            [slider.input for slider in self.settings],
            self.own_look,
            self.settings,
            [self.preset, self.sets],
            **light,
        )
        touched = [slider.change for slider in self.settings] + [self.view.input]
        gr.on(touched, self.preview, looking, seen, trigger_mode="always_last", **light)
        then_look(self.where.click(self.show_where, None, [self.view], **light))
        saved = [self.progress, self.download, self.one, self.all, self.stop]
        heavy = quiet | {"concurrency_limit": 1, "concurrency_id": "save"}
        for button, save in ((self.one, self.save_one), (self.all, self.save_all)):
            then_look(button.click(save, [*self.settings, self.format], saved, **heavy))
        self.stop.click(self.halt, None, [self.stop], queue=False, **quiet)

    # Photographs

    def come_back(self, request: gr.Request) -> Updates:
        """The page was loaded, perhaps again."""
        session = self.session_of(request)
        return self._photograph(session, []) if session and session.photos else {self.notice: ""}

    def take_photos(self, request: gr.Request, event: gr.EventData) -> Iterator[Updates]:
        """Photographs were dropped: read them, find the faces of the first new one."""
        yield {self.notice: words.status(words.LOOKING)}
        yield self._take(self.sessions.begin(visitor_of(request)), _files(event, request))

    def take_example(self, request: gr.Request, event: gr.EventData) -> Iterator[Updates]:
        """An example was chosen."""
        yield {self.notice: words.status(words.LOOKING)}
        visitor = visitor_of(request)
        session = self.sessions.begin(visitor)
        photos, others = copied(event.name, visitor)
        list(session.take_references(others))
        yield self._take(session, photos)

    def turn_to(self, request: gr.Request, event: gr.EventData) -> Updates:
        """Another of the photographs is to be shown."""
        session, number = self.session_of(request), int(event.number)
        if not session or not 0 <= number < len(session.photos):
            return self._gone()
        try:
            session.look_at(number)
        except (OSError, ValueError) as error:
            return {self.notice: words.status(f"{told(error, session.photos[number])} {words.GONE}", "bad")}
        return self._photograph(session, [])

    def leave_out(self, request: gr.Request, event: gr.EventData) -> Updates:
        """A photograph is not wanted any more."""
        session = self.session_of(request)
        if not session:
            return self._gone()
        left = [path for number, path in enumerate(session.photos) if number != int(event.number)]
        return self._take(session, [], left)

    def _take(self, session: Session, new: Sequence[Path], before: Sequence[Path] | None = None) -> Updates:
        """New photographs beside those that were there before; the first new one is shown."""
        before = list(session.photos if before is None else before)
        lines: Lines = []
        try:
            for path, problem in session.take_photos([*before, *new]):
                if problem:
                    lines.append((f"{path.name}: {problem}", "bad"))
            added = [path for path in new if path in session.photos]
            if added:
                session.look_at(session.photos.index(added[0]))
        except (OSError, ValueError) as error:
            lines.append((str(error), "bad"))
        return self._photograph(session, lines)

    def _photograph(self, session: Session, lines: Lines) -> Updates:
        opened = session.opened
        faces = bool(opened and opened.faces)
        return {
            self.notice: words.statuses([*lines, words.found(opened)] if opened else lines),
            self.welcome: gr.update(visible=opened is None),
            self.work: gr.update(visible=opened is not None),
            self.stage: staged(session, Settings(), words.WHOLE),
            self.people: listed(session),
            self.one: gr.update(visible=faces),
            self.all: gr.update(visible=len(session.photos) > 1),
            self.where: gr.update(visible=faces),
        }

    # Faces and people

    def turn_to_face(self, request: gr.Request, event: gr.EventData) -> Updates:
        """A face was clicked: it is looked at."""
        session = self.session_of(request)
        if not session or not session.opened:
            return gr.skip()
        session.face = min(int(event.face), len(session.opened.faces) - 1)
        return {self.people: listed(session), self.view: words.ONE}

    def choose(self, request: gr.Request, event: gr.EventData) -> Updates:
        """A face is to be restored, or not."""
        return self._choose(request, lambda chosen, all: chosen | {event.face} if event.on else chosen - {event.face})

    def choose_only(self, request: gr.Request, event: gr.EventData) -> Updates:
        """One face alone is to be restored."""
        return self._choose(request, lambda chosen, all: {event.face})

    def choose_all(self, request: gr.Request, event: gr.EventData) -> Updates:
        """All faces are to be restored, or none."""
        return self._choose(request, lambda chosen, all: all if event.on else set())

    def _choose(self, request: gr.Request, change: Any) -> Updates:
        session = self.session_of(request)
        if not session or not session.opened:
            return self._gone()
        every = set(range(len(session.opened.faces)))
        new = change(set(session.opened.chosen), every) & every
        session.opened.chosen.clear()
        session.opened.chosen.update(new)
        return {self.people: listed(session), self.notice: words.statuses([words.found(session.opened)])}

    def take_references(self, request: gr.Request, event: gr.EventData) -> Iterator[Updates]:
        """Better photographs were dropped: read those that are new, and match them, or take them as it was said."""
        session = self.session_of(request)
        if not session:
            yield self._gone()
            return
        new = _files(event, request)
        before = [reference.path for reference in session.references]
        try:
            for number, (path, _) in enumerate(session.take_references([*before, *new]), 1):
                if path in new:
                    line = f"Reading {path.name} ({number - len(before)} of {len(new)}) …"
                    yield {self.notice: words.status(line)}
        except ValueError as error:
            yield {self.notice: words.status(str(error), "bad")}
            return
        if event.face is not None:
            for number in range(len(before), len(session.references)):
                session.belongs(number, int(event.face))
        yield {self.people: listed(session), self.notice: ""}

    def leave_reference_out(self, request: gr.Request, event: gr.EventData) -> Updates:
        """A better photograph is not wanted any more."""
        session = self.session_of(request)
        if not session:
            return self._gone()
        left = [one.path for number, one in enumerate(session.references) if number != int(event.reference)]
        list(session.take_references(left))
        return {self.people: listed(session), self.notice: ""}

    def say(self, request: gr.Request, event: gr.EventData) -> Updates:
        """It was said whose a better photograph is."""
        session, number = self.session_of(request), int(event.reference)
        if not session or not session.opened or not 0 <= number < len(session.references):
            return self._gone()
        face = None if event.face == "" else int(event.face)
        if face is None or face == NOBODY or 0 <= face < len(session.opened.faces):
            session.belongs(number, face)
        return {self.people: listed(session), self.notice: ""}

    # The look

    def take_look(self, name: str) -> Updates:
        """A look was chosen."""
        if name not in self.looks:
            return gr.skip()
        settings = self.looks[name]
        return {**dict(zip(self.settings, astuple(settings), strict=True)), self.sets: words.look(settings)}

    def own_look(self, *settings: float) -> Updates:
        """A slider was moved by hand."""
        mine = settings_of(settings)
        name = next((name for name, look in self.looks.items() if look == mine), words.OWN)
        return {self.preset: name, self.sets: words.look(mine)}

    def show_where(self) -> str:
        """Where the program guessed is to be shown."""
        return words.GUESSED

    def preview(self, request: gr.Request, view: str, *settings: float) -> Iterator[Updates]:
        """What the settings make of the face that is looked at, and then of the photograph as large as it is shown."""
        session = self.session_of(request)
        if not session or not session.opened:
            return
        chosen = settings_of(settings)
        if not session.opened.faces:
            yield {self.stage: staged(session, chosen, words.WHOLE), self.trust: "", self.legend: ""}
            return
        face = min(session.face, len(session.opened.faces) - 1)
        drawn = session.drawn(face, chosen)
        offered = views(drawn)
        view = view if view in offered else words.WHOLE
        known: Updates = {
            self.trust: words.trust(drawn, face, session.matched()),
            self.legend: words.legend(drawn, view),
            self.view: gr.update(choices=offered, value=view),
            self.graph: str(session.workflow(chosen)),
        }
        if view != words.WHOLE:
            yield known | {self.stage: staged(session, chosen, view, compared(drawn, view))}
            return
        if len(session.opened.chosen) > 1:
            yield known | {self.stage: staged(session, chosen, view, session.whole(chosen, face))}
        yield known | {self.stage: staged(session, chosen, view, session.whole(chosen))}

    def _gone(self) -> Updates:
        return {self.notice: words.status(words.GONE, "bad")}


def _files(event: gr.EventData, request: gr.Request) -> list[Path]:
    """Files that were sent before: none but the visitor's own, which the door has looked at, too."""
    paths = [str(file["path"]) for file in event.files]
    return [Path(path) for path in paths if visitor_of(request).owns(path)]
