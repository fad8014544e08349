"""A server in a thread, at an address that is free."""

from __future__ import annotations

import logging
import socket
import threading
import time

import uvicorn
from starlette.types import ASGIApp

from ..files import UsageError

STARTING = 60.0  # [s] that it may take
ENDING = 1  # [s] that open connections get at the end

logger = logging.getLogger(__name__)


class Listening:
    """Serves an application from the time it is made until it is closed.

    Args:
        app: what answers.
        host: a name or address of this computer.
        port: 0 takes a free one.

    Attributes:
        url: where the page is, for a browser on this computer.

    Raises:
        UsageError: nothing can listen there, or the application does not start.
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        taken = _take(host.strip("[]"), port)
        config = uvicorn.Config(
            app, log_level="warning", ws="none", server_header=False, timeout_graceful_shutdown=ENDING
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(taken,), daemon=True)
        self.url = _url(taken)
        self._failure: BaseException | None = None
        self._thread.start()
        end = time.monotonic() + STARTING
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                self.close()
                why = " ".join(str(self._failure or "it did not answer").split())
                raise UsageError(f"The page could not start: {why}. Reinstall it: pip install 'resemblance[app]'.")
            time.sleep(0.01)

    def close(self) -> None:
        """End it, and whatever connections are open: those of pages in browsers always are, so that is no error."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server.should_exit = True
        self._thread.join(5 * ENDING)

    def _run(self, taken: socket.socket) -> None:
        with taken:
            try:
                self._server.run([taken])
            except (Exception, SystemExit) as error:  # so uvicorn ends where an application does not start
                self._failure = error
                logger.debug("The server ended.", exc_info=True)


def _take(host: str, port: int) -> socket.socket:
    """A socket at an address."""
    where = f"--host {host} --port {port}"
    if not 0 <= port <= 65535:
        raise UsageError(f"{where}: expected a port from 0 to 65535. Choose another.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{where}: no such name or address ({error}). Give one of this computer's.") from error
    try:
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise UsageError(f"{where}: cannot listen there ({error.strerror or error}). Choose another port.") from error


def _url(taken: socket.socket) -> str:
    """The address in a browser; where the server listens at all addresses, that of this computer."""
    host, port = taken.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not to listen at
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
