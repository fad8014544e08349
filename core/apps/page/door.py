"""The door of the page: what is not let in here never reaches gradio.

gradio serves what whoever asks: files by their address, sessions by their number, functions of components, and more
with every version. So here is a list of what the page itself needs, and all else is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .hosts import Hosts
from .uploads import Uploads
from .visitors import COOKIE, KEY, Visitor, new_key

# What is the same for all visitors.
PAGE = re.compile(r"/|/config|/theme\.css|/favicon\.ico|/gradio_api/app_id|/(assets|static)/.+")
FILE = "/gradio_api/file="
UPLOAD, PROGRESS = "/gradio_api/upload", "/gradio_api/upload_progress"
HEARTBEAT, NEWS = re.compile(r"(/gradio_api/heartbeat/)(\w+)"), "/gradio_api/queue/data"
EVENT, ITS_END = re.compile(r"/gradio_api/(queue/join|run/\w+)"), re.compile(r"/gradio_api/(cancel|reset)")
# What the page says of an event, and to end one.
OF_EVENT = ("data", "event_data", "fn_index", "trigger_id", "session_hash")
OF_END = ("event_id", "fn_index", "session_hash")
BODY = 1_000_000  # bytes of an event
# Scripts and styles of gradio's page are partly written into it.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {"content-security-policy": POLICY, "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}


class Refused(Exception):  # noqa: N818 - the door does as it should
    """A request is not let in; its text says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Door:
    """ASGI middleware around gradio's application.

    Args:
        app: what it stands in front of.
        folder: of all visitors' files, without links in its path.
        hosts: the names of the page.
        events: numbers of the page's events.
    """

    def __init__(self, app: ASGIApp, folder: Path, hosts: Hosts, events: Collection[int]) -> None:
        self._app = app
        self._folder = folder
        self._hosts = hosts
        self._events = events
        self._uploads = Uploads(folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page has no other
            return
        request = Request(scope, receive)
        new = new_key() if scope["path"] == "/" and _key(request) is None else None

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if new:
                    headers.append("set-cookie", f"{COOKIE}={new}; Path=/; HttpOnly; SameSite=Lax")
            await send(message)

        try:
            app, scope, receive = await self._let_in(request)
        except Refused as refused:
            app = PlainTextResponse(str(refused), refused.status)
        except ClientDisconnect:
            return
        await app(scope, receive, answer)

    async def _let_in(self, request: Request) -> tuple[ASGIApp, Scope, Receive]:
        """Who answers a request, and what they are asked."""
        why = self._hosts.refusal(request.headers.get("host"), request.headers.get("origin"))
        if why:
            raise Refused(403, why)
        scope, path = request.scope, request.scope["path"]
        reads = request.method in ("GET", "HEAD")
        if reads and PAGE.fullmatch(path):
            return self._app, scope, request.receive
        visitor = self._visitor(request)
        scope = {**scope, "state": {**scope.get("state", {}), "visitor": visitor}}
        if reads and path.startswith(FILE):
            if not visitor.owns(path[len(FILE) :]):
                raise Refused(404, "No such file, or not yours.")
            return self._app, scope, request.receive
        if reads and path == PROGRESS:  # an upload is told of when it is done
            return _done(), scope, request.receive
        if reads and (found := HEARTBEAT.fullmatch(path)):
            path = found[1] + visitor.session(found[2])
            return self._app, {**scope, "path": path, "raw_path": path.encode()}, request.receive
        if reads and path == NEWS:
            session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
            query = urlencode({"session_hash": visitor.session(session)})
            return self._app, {**scope, "query_string": query.encode()}, request.receive
        if request.method == "POST" and path == UPLOAD:
            return await self._uploads.take(request, visitor), scope, request.receive
        if request.method == "POST" and (EVENT.fullmatch(path) or ITS_END.fullmatch(path)):
            known = OF_EVENT if EVENT.fullmatch(path) else OF_END
            event = self._checked(await _body(request), known, visitor)
            return self._app, scope, _again(event, request.receive)
        raise Refused(404, "There is nothing here; the page is at /.")

    def _visitor(self, request: Request) -> Visitor:
        key = _key(request)
        if key is None:
            raise Refused(403, "The page knows you by a cookie, and got none. Allow it cookies and load it again.")
        return Visitor.known_by(key, self._folder)

    def _checked(self, body: bytes, known: Sequence[str], visitor: Visitor) -> bytes:
        """An event with what the page itself says, in the visitor's own session and with none but their own files."""
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or not isinstance(said.get("session_hash", ""), str):
            raise Refused(400, "An event was no JSON object with a session. Load the page again.")
        number = said.get("fn_index")
        if known is OF_EVENT and not (isinstance(number, int) and number in self._events):
            raise Refused(404, "The page has no such event. Load it again.")
        event = {name: said[name] for name in known if name in said}
        for path in _paths(event):
            if not isinstance(path, str) or not visitor.owns(path):
                raise Refused(403, "An event named a file that is not there or not yours. Choose your files again.")
        event["session_hash"] = visitor.session(said.get("session_hash", ""))
        return json.dumps(event).encode()


def _key(request: Request) -> str | None:
    key = request.cookies.get(COOKIE, "")
    return key if KEY.fullmatch(key) else None


def _paths(said: Any) -> Iterator[Any]:
    """All that an event calls a path, however deep."""
    left = [said]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if "path" in one:
                yield one["path"]
            left += one.values()
        elif isinstance(one, list):
            left += one


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY:
            raise Refused(413, f"An event has at most {BODY // 1000} kB. Load the page again.")
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read already, and then what comes."""
    left = [body]

    async def first() -> Message:
        return {"type": "http.request", "body": left.pop()} if left else await receive()

    return first


def _done() -> Response:
    return Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")
