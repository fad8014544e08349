"""What stands between visitors: each is known by a cookie, and is served the files that are their own.

gradio serves a file to whoever knows its address. Addresses cannot be guessed, but they can be passed on; here a file
is also bound to the visitors who gave it or were told of it. And the page may ask nothing of any other host.
"""

from __future__ import annotations

import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from starlette.middleware import Middleware

COOKIE = "resemblance_visitor"
FILE = "/file="
MOST_FILES = 20_000  # whose owners are remembered
# In what gradio tells a page: paths of files, and what an upload is answered with.
PATH = re.compile(rb'"path": ?"((?:[^"\\]|\\.)*)"')
UPLOADED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
# Scripts and styles of gradio's page are partly written into it.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Visitors:
    """ASGI middleware around gradio's application.

    Args:
        app: what it stands in front of.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._owners: dict[str, set[str]] = {}

    @classmethod
    def layer(cls) -> Middleware:
        """For an application that is yet to be made."""
        from starlette.middleware import Middleware

        return Middleware(cls)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = _cookie(scope)
        visitor = known or secrets.token_urlsafe(24)
        path = unquote(scope["path"])
        if FILE in path and visitor not in self._owners.get(path.split(FILE, 1)[1].lstrip("/"), ()):
            await send({"type": "http.response.start", "status": 404, "headers": [*HEADERS]})
            await send({"type": "http.response.body", "body": b"No such file, or not yours."})
            return
        told = UPLOADED if path.endswith("/upload") else PATH if "/queue/" in path or "/run/" in path else None

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *HEADERS]
                if not known:
                    cookie = f"{COOKIE}={visitor}; Path=/; HttpOnly; SameSite=Strict"
                    headers.append((b"set-cookie", cookie.encode()))
                message = {**message, "headers": headers}
            elif told:
                for found in told.findall(message.get("body", b"")):
                    self._own(found, visitor)
            await send(message)

        await self._app(scope, receive, answer)

    def _own(self, quoted: bytes, visitor: str) -> None:
        import json

        file = str(json.loads(b'"' + quoted + b'"')).lstrip("/")
        self._owners.setdefault(file, set()).add(visitor)
        while len(self._owners) > MOST_FILES:
            del self._owners[next(iter(self._owners))]


def _cookie(scope: Any) -> str | None:
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            except CookieError:
                continue
            if found and len(found.value) >= 24:
                return found.value
    return None
