"""What happens when photographs are saved: they are restored in full size, and the browser downloads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from . import saving, words
from .demonstration import Demonstration
from .graph import Settings
from .layout import SUFFIXES, Layout
from .limits import Run, Stopped
from .session import Session, told
from .sessions import Sessions
from .visitors import Visitor, address

Updates = dict[Any, Any]
Lines = list[tuple[str, str]]


class Downloads(Layout):
    """The page, as far as it saves.

    Args:
        sessions: of its visitors.
        alone: whether only this computer can reach it.
        shown: what is seen before there is a photograph.
    """

    def __init__(self, sessions: Sessions, alone: bool, shown: Demonstration) -> None:
        self.sessions = sessions
        super().__init__(sessions.studio, alone, shown)

    def save_one(self, request: gr.Request, *given: Any) -> Iterator[Updates]:
        """Restore the photograph that is shown, in full size, and save it."""
        session = self.session_of(request)
        yield from self._save(session, [session.opened.path] if session and session.opened else [], given, False)

    def save_all(self, request: gr.Request, *given: Any) -> Iterator[Updates]:
        """Restore all photographs, one after the other, and save them together."""
        session = self.session_of(request)
        yield from self._save(session, list(session.photos) if session else [], given, True)

    def _save(
        self, session: Session | None, paths: Sequence[Path], given: Sequence[Any], together: bool
    ) -> Iterator[Updates]:
        if not session or not paths:
            yield {self.progress: words.status(words.GONE, "bad")}
            return
        *settings, suffix = given
        session.run = run = Run.begin()
        lines: Lines = []
        files: list[Path] = []
        yield self._running(True)
        try:
            for step in saving.restore(session, paths, settings_of(settings), SUFFIXES[suffix], run):
                files += [step.file] if step.file else []
                if step.file or step.failed or step.done == (len(lines) + 1) / len(paths):
                    lines.append((step.text, "bad" if step.failed else "good" if step.file else "note"))
                    continue
                bar = f'<progress value="{step.done:.3f}" aria-label="Photos done"></progress>'
                yield {self.progress: words.statuses(lines) + bar + words.status(step.text)}
        except Stopped as stopped:
            lines.append((str(stopped), "note"))
        text = words.statuses(lines)
        if files:
            try:
                file = saving.packed(session, files) if together else files[0]
                url = address(file)
                text += words.saved(file.name, url)
                yield {self.download: {"url": url, "name": file.name}, self.progress: text, **self._running(False)}
                return
            except (OSError, ValueError) as error:
                text += words.status(told(error, session.folder), "bad")
        yield {self.progress: text, **self._running(False)}

    def halt(self, request: gr.Request) -> Any:
        """Stop was pressed; what is under way sees it soon."""
        session = self.session_of(request)
        if session:
            session.stop()
        return gr.update(value=words.STOPPING, interactive=False)

    def _running(self, on: bool) -> Updates:
        return {
            self.stop: gr.update(visible=on, value=words.STOP, interactive=True),
            self.one: gr.update(interactive=not on),
            self.all: gr.update(interactive=not on),
        }

    def session_of(self, request: gr.Request) -> Session | None:
        """The session of whoever asks, where it has begun and was not forgotten."""
        return self.sessions.find(visitor_of(request))


def visitor_of(request: gr.Request) -> Visitor:
    """Whom the door let in."""
    visitor: Visitor = request.state.visitor
    return visitor


def settings_of(given: Sequence[float]) -> Settings:
    """What the sliders say."""
    content, quality, strength, steps = given
    return Settings(content, quality, strength, int(steps))
