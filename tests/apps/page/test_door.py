"""Two visitors, one of whom is up to no good, at the real page."""

import http.server
import inspect
import json
import re
import threading
from urllib.parse import quote, unquote

import pytest
from resemblance.core.apps.page import door
from resemblance.core.apps.page.hosts import Hosts
from visitors import Guest


@pytest.fixture
def anna(address):
    return Guest(address[0], "anna")


@pytest.fixture
def bob(address):
    return Guest(address[0], "bob")


def pictures_told(news):
    """Paths in what a page was told."""
    return [unquote(path) for path in re.findall(r'gradio_api/file=([^"]+)', news)]


def test_a_visitor_is_served_their_own_files(anna):
    (photo,) = anna.upload().json()
    shown = pictures_told(anna.take(photo))
    assert shown
    for path in (photo, *shown):
        answer = anna.http.get(f"/gradio_api/file={quote(path)}")
        assert answer.status_code == 200 and answer.content.startswith(b"\xff\xd8")


def test_no_address_leads_to_another_visitors_file(anna, bob):
    (photo,) = anna.upload().json()
    (mine,) = bob.upload().json()
    paths = [photo, f"/{photo}", f"{mine}/../{photo}", f"{mine.rsplit('/', 2)[0]}/../{photo.split('/', 3)[3]}"]
    paths += [quote(path, safe="") for path in paths] + [quote(quote(path, safe="")) for path in paths]
    routes = ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/file/", "//gradio_api/file=", "/gradio_api//file=")
    routes += ("/gradio_api/file%3D", "/gradio_api/stream/", "/gradio_api/proxy=", "/static/", "/assets/", "/static/..")
    for route in routes:
        for path in paths:
            for method in ("GET", "HEAD", "POST"):
                answer = bob.http.request(method, route + path, headers={"x-forwarded-prefix": "/gradio_api"})
                assert answer.status_code in (403, 404, 405), (method, route, path)
    assert anna.http.get(f"/gradio_api/file={photo}").status_code == 200


def test_nobody_is_served_files_of_the_server(bob):
    for path in ("/etc/passwd", door.__file__, "http://127.0.0.1/", "https://example.org/a.png"):
        assert bob.http.get(f"/gradio_api/file={path}").status_code == 404


def test_another_visitors_path_is_no_input(anna, bob):
    (photo,) = anna.upload().json()
    folder = photo.rsplit("/", 1)[0]
    for path in (photo, f"//{photo}", f"{folder}/./man_damaged.jpg", "/etc/passwd", 7, None, [photo]):
        for event in ("take_photos", "take_references", "preview", "turn_to"):
            for given in ({"data": [[{"path": path}]]}, {"event_data": {"files": [{"path": path}], "face": None}}):
                answer = bob.http.post(
                    "/gradio_api/queue/join",
                    json={"fn_index": bob.events[event], "data": [], "session_hash": "bob"} | given,
                )
                assert answer.status_code == 403 and "not yours" in answer.text
    hidden = {"deep": [{"value": {"path": photo}}]}
    assert bob.join("turn_to", event_data=hidden).status_code == 403
    run = bob.http.post("/gradio_api/run/halt", json={"fn_index": bob.events["halt"], "data": [{"path": photo}]})
    assert run.status_code == 403


def test_the_photograph_that_is_shown_is_one_that_was_given(anna, bob):
    (photo,) = anna.upload().json()
    bob.take(*bob.upload().json())
    for which in (photo, "/etc/passwd", -1, 1, 99):
        assert bob.join("turn_to", event_data={"number": which}).status_code == 200
        assert pictures_told(json.dumps(bob.heard())) == []
    assert bob.join("turn_to", event_data={"number": 0}).status_code == 200
    assert pictures_told(json.dumps(bob.heard()))


def test_nothing_is_fetched_from_elsewhere(bob):
    asked = []

    class Trap(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trap) as trap:
        threading.Thread(target=trap.serve_forever, daemon=True).start()
        url = f"http://localhost:{trap.server_port}/a.png"
        for path in (url, url.upper(), f" {url}", url.replace("http:", "https:")):
            assert bob.join("take_photos", event_data={"files": [{"path": path}]}).status_code == 403
            assert bob.http.get(f"/gradio_api/file={path}").status_code == 404
            assert bob.http.get(f"/gradio_api/proxy={path}").status_code == 404
        (mine,) = bob.upload().json()
        assert bob.join("take_photos", event_data={"files": [{"path": mine, "url": url}]}).status_code == 200
        bob.heard()
        trap.shutdown()
    assert asked == []


def test_nobody_enters_another_visitors_session(anna, bob):
    anna.take(*anna.upload(name="secret.jpg").json())
    looking = ("Whole photo", 0.5, 1, 1, 0)
    bob.join("preview", *looking, session_hash="anna")
    assert not pictures_told(json.dumps(bob.heard("anna")))
    bob.join("save_all", 0.5, 1, 1, 0, "PNG", session_hash="anna")
    assert "secret" not in json.dumps(bob.heard("anna"))
    anna.join("preview", *looking)
    # What anna waits for bob neither hears nor ends.
    assert pictures_told(json.dumps(bob.heard("anna", seconds=2))) == []
    bob.http.post("/gradio_api/cancel", json={"session_hash": "anna", "fn_index": anna.events["preview"]})
    assert pictures_told(json.dumps(anna.heard()))


def test_a_site_that_took_on_the_pages_address_is_refused(anna):
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}):
        for method, path in (("GET", "/"), ("GET", "/config"), ("POST", "/gradio_api/upload"), ("OPTIONS", "/config")):
            answer = anna.http.request(method, path, headers=headers)
            assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_without_the_cookie_there_is_a_page_and_nothing_else(anna):
    key = anna.http.cookies[door.COOKIE]
    for cookie in ("", "short", key[:-1], f"{key}x", "ä"):
        anna.http.cookies.clear()
        headers = {"cookie": f"{door.COOKIE}={cookie}".encode()}
        answer = anna.http.get("/gradio_api/queue/data?session_hash=anna", headers=headers)
        assert answer.status_code == 403 and "Allow it cookies" in answer.text
        assert door.COOKIE in anna.http.get("/", headers=headers).headers["set-cookie"]


def test_the_page_may_ask_no_other_host(anna):
    headers = anna.http.get("/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
    fresh = Guest(str(anna.http.base_url), "x").http.cookies.jar
    assert [(c.has_nonstandard_attr("HttpOnly"), c.get_nonstandard_attr("SameSite")) for c in fresh] == [(True, "Lax")]


@pytest.mark.parametrize(
    "body, status",
    [
        (b"no json", 400),
        (b"[" * 100_000, 400),
        (b"[]", 400),
        (b'{"session_hash": 1}', 400),
        (b'{"fn_index": 999, "session_hash": "x"}', 404),
        (b'{"fn_index": [0], "session_hash": "x"}', 404),
        (b'{"api_name": "halt", "data": [], "session_hash": "x"}', 404),
        (b" " * (door.BODY + 1), 413),
    ],
)
def test_an_event_that_the_page_does_not_have_is_refused(bob, body, status):
    answer = bob.http.post("/gradio_api/queue/join", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status and answer.text.count(".") >= 1


def test_of_all_that_gradio_serves_only_what_the_page_needs_is_let_in(tmp_path):
    """Whatever a new version of gradio adds, it is refused until it stands in this list."""
    import gradio.routes
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.testclient import TestClient

    through = Starlette()
    through.add_route("/{path:path}", lambda request: PlainTextResponse("through"), ["GET", "POST", "DELETE", "PUT"])
    client = TestClient(door.Door(through, tmp_path, Hosts.of("testserver"), {0}))
    client.get("/")
    source = inspect.getsource(gradio.routes)
    routes = re.findall(r'@(app|router)\.(get|head|post|put|delete)\(\s*"([^"]+)"', source)
    assert len(routes) > 60
    let_in = set()
    for place, method, path in routes:
        path = f"/gradio_api{path}" if place == "router" else path
        event = {"json": {"fn_index": 0}} if method == "post" else {}
        if client.request(method, re.sub(r"\{[^}]*\}", "x", path), **event).text == "through":
            let_in.add(f"{method} {path}")
    assert let_in == {
        "get /",
        "get /config",
        "get /theme.css",
        "get /favicon.ico",
        "get /assets/{path:path}",
        "get /static/{path:path}",
        "get /gradio_api/app_id",
        "get /gradio_api/heartbeat/{session_hash}",
        "get /gradio_api/queue/data",
        "post /gradio_api/queue/join",
        "post /gradio_api/run/{api_name}",
        "post /gradio_api/cancel",
        "post /gradio_api/reset",
    }
