import socket

import httpx
import pytest
from resemblance.core.apps.files import UsageError
from resemblance.core.apps.page.listening import Listening
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse


def greeting():
    app = Starlette()
    app.add_route("/", lambda request: PlainTextResponse("hello"))
    return app


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1", "[::1]"])
def test_it_answers_until_it_is_closed(host):
    if ":" in host and not _has_ipv6():
        pytest.skip("no IPv6 here")
    server = Listening(greeting(), host, 0)
    assert httpx.get(server.url, trust_env=False).text == "hello"
    server.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url, trust_env=False)


@pytest.mark.parametrize(
    "host, port, words",
    [
        ("127.0.0.1", 70000, "expected a port from 0 to 65535. Choose another"),
        ("127.0.0.1", -1, "expected a port from 0 to 65535"),
        ("no such name", 0, "no such name or address .* Give one of this computer's"),
        ("192.0.2.1", 0, "cannot listen there .*assign requested address"),
        ("x" * 300, 0, "no such name or address"),
    ],
)
def test_where_nothing_can_listen_one_sentence_says_so(host, port, words):
    with pytest.raises(UsageError, match=words) as caught:
        Listening(greeting(), host, port)
    assert str(caught.value).startswith("--host") and "\n" not in str(caught.value)


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--host 127.0.0.1 --port {port}: cannot listen there .*already in use"):
            Listening(greeting(), "127.0.0.1", port)


def test_an_application_that_does_not_start_is_told_in_one_sentence():
    async def broken(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no such thing"})

    with pytest.raises(UsageError, match="The page could not start") as caught:
        Listening(broken, "127.0.0.1", 0)
    assert "\n" not in str(caught.value)


def _has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
