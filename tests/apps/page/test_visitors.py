import asyncio

from resemblance.core.apps.page import visitors


def ask(app, path, cookie=None):
    """Status, headers and body that an ASGI application answers a path with."""
    sent = []

    async def send(message):
        sent.append(message)

    headers = [(b"cookie", cookie.encode())] if cookie else []
    asyncio.run(app({"type": "http", "path": path, "headers": headers}, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(part.get("body", b"") for part in sent[1:])


async def gradio_like(scope, receive, send):
    """Tells of one file, and would serve any."""
    body = b'data: {"path": "/kept/Anna \\u00e4.png"}' if "queue" in scope["path"] else b"content"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_a_file_is_served_only_to_who_was_told_of_it():
    app = visitors.Visitors(gradio_like)
    status, headers, _ = ask(app, "/gradio_api/queue/data")
    cookie = headers[b"set-cookie"].decode().split(";")[0]
    assert status == 200 and b"HttpOnly" in headers[b"set-cookie"]
    file = "/gradio_api/file=/kept/Anna ä.png"
    assert ask(app, file, cookie)[0] == 200
    assert ask(app, file)[0] == 404
    assert ask(app, file, f"{visitors.COOKIE}={'x' * 32}")[0] == 404
    assert ask(app, "/gradio_api/file=/etc/passwd", cookie)[0] == 404
    # gradio would fetch it from there.
    assert ask(app, "/gradio_api/file=https://example.org/a.png", cookie)[0] == 404


def test_the_page_may_ask_no_other_host():
    policy = ask(visitors.Visitors(gradio_like), "/")[1][b"content-security-policy"].decode()
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
