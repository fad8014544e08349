"""The web page in a headless Chromium, as visitors use it."""

import argparse
import importlib.util
import json
import socket
import tempfile
import time
from pathlib import Path

import pytest
from host_browser import find_chromium
from host_server import unavailable
from PIL import Image
from resemblance.core.apps.page import serve

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "nodes" / "examples"
PATIENCE = 60_000  # ms that a busy machine may take
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SHOWN = (
    "(() => [...document.querySelectorAll('#compare img, #single img')].filter(i => i.offsetParent).map(i => i.src))"
)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


@pytest.fixture(scope="module")
def address():
    """Where the page is, and whom its server called."""
    for name in ("gradio", "playwright", "axe_playwright_python"):
        if importlib.util.find_spec(name) is None:
            unavailable(f"The package {name} is not installed: pip install -e '.[dev]'.")
    called = set()
    connect = socket.socket.connect

    def recorded(self, address):
        called.add(address[0] if isinstance(address, tuple) else "local")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="resemblance-") as folder:
        patch.setattr(socket.socket, "connect", recorded)
        patch.setenv("GRADIO_TEMP_DIR", folder)
        studio = serve.open_studio(argparse.Namespace(device="cpu", detector="builtin", models_dir=None))
        app = serve.serve(studio, "127.0.0.1", 0, folder)
        yield app.local_url, called
        app.close(verbose=False)


@pytest.fixture(scope="module")
def browser(address):
    from playwright.sync_api import sync_playwright

    executable = find_chromium()
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--no-proxy-server"]
        flags.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """A new visitor: a browser of their own, with the page open."""
    contexts = []

    def open_page(viewport=DESKTOP, scheme="light"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address[0])
        page.wait_for_selector("#photos input[type=file]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()


def give(page, where, *files):
    page.set_input_files(f"#{where} input[type=file]", [str(file) for file in files])


def with_photograph(page, *files):
    give(page, "photos", *(files or (EXAMPLES / "man_damaged.jpg",)))
    page.wait_for_selector("#compare img")
    settle(page)


def settle(page):
    """Until the picture has been the same for a while."""
    before, since = None, time.monotonic()
    while time.monotonic() - since < 1.0:
        now = shown(page)
        if now != before:
            before, since = now, time.monotonic()
        page.wait_for_timeout(100)


def shown(page):
    """The addresses of the pictures of the result that are seen."""
    return page.eval_on_selector_all(
        "#compare img, #single img", "all => all.filter(i => i.offsetParent).map(i => i.src)"
    )


def changed(page, before):
    """Wait until other pictures are shown than before, and until they stay."""
    page.wait_for_function(
        f"before => {{ const now = {SHOWN}(); return now.length && JSON.stringify(now) !== JSON.stringify(before); }}",
        arg=before,
    )
    settle(page)
    return shown(page)


def slide(page, name, value):
    """Type a value beside a slider, as one may."""
    page.locator(f"#{name} input[type=number]").fill(str(value))
    page.keyboard.press("Tab")


def saved(page, click, tmp_path):
    with page.expect_download() as download:
        page.click(click)
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    return file


def test_a_photograph_is_restored_with_two_references(visit, address, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "Uncle, 1961"
    photo = tmp_path / "uncle.jpg"
    Image.open(EXAMPLES / "man_damaged.jpg").save(photo, exif=exif, quality=95)
    page = visit()
    with_photograph(page, photo)
    assert page.inner_text("#notice") == "One face was found."
    assert "Nobody can say yet" in page.inner_text("#identity")
    alone = shown(page)
    give(page, "references", *(EXAMPLES / f"man_reference_{n}.jpg" for n in (1, 2)))
    page.wait_for_selector("#verdicts li")
    assert page.inner_text("#verdicts").count("Used for face 1 (") == 2
    now = changed(page, alone)
    assert now[0] == alone[0] and now[1] != alone[1]  # before stays, after changes
    assert "of at most 1" in page.inner_text("#identity")
    controls = ["content", "quality", "strength"] + (["steps"] if page.is_visible("#steps") else [])
    for name in controls:
        slide(page, name, 4 if name == "steps" else 0.5)
        other = changed(page, now)
        assert other[1] != now[1], name
        now = other
    for view in ("Before", "After", "Invented", "From references"):
        page.get_by_label(view, exact=True).check()
        now = changed(page, now)
        assert len(now) == 1
    assert "man_reference_2.jpg" in page.inner_text("#legend")
    page.get_by_label("Whole photograph").check()
    changed(page, now)
    page.get_by_label("JPEG (smaller file)").check()
    page.click("#restore")
    page.wait_for_selector("#files a")
    restored = Image.open(saved(page, "#files a", tmp_path))
    assert (restored.format, restored.size) == ("JPEG", Image.open(photo).size)
    assert restored.getexif()[0x010E] == "Uncle, 1961"
    graph = json.loads(saved(page, "#workflow", tmp_path).read_text())
    loaded = [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "LoadImage"]
    assert loaded == ["uncle.jpg", "man_reference_1.jpg", "man_reference_2.jpg"]
    assert {url.split("/")[2] for url in page.asked if url.startswith("http")} == {address[0].split("/")[2]}
    assert "127.0.0.1" in address[1] and address[1] <= {"127.0.0.1", "local"}


def test_faces_are_chosen_by_a_click_and_by_their_boxes(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "two_people_damaged.jpg")
    boxes = page.locator("#chosen input")
    assert [boxes.nth(n).is_checked() for n in range(boxes.count())] == [True, True]
    picture = page.locator("#numbered img")
    numbered = picture.get_attribute("src")
    place = picture.bounding_box()
    picture.click(position={"x": place["width"] * 0.28, "y": place["height"] * 0.5})
    page.wait_for_function("before => document.querySelector('#numbered img').src !== before", arg=numbered)
    assert [boxes.nth(n).is_checked() for n in range(2)] == [False, True]
    numbered = picture.get_attribute("src")
    boxes.nth(0).focus()
    page.keyboard.press("Space")
    page.wait_for_function("before => document.querySelector('#numbered img').src !== before", arg=numbered)
    assert [boxes.nth(n).is_checked() for n in range(2)] == [True, True]


def test_whose_a_reference_is_can_be_said(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "woman_damaged.jpg")
    give(page, "references", EXAMPLES / "man_reference_1.jpg")
    page.wait_for_selector("#verdicts li.bad")
    assert "no face here is likely to be this person" in page.inner_text("#verdicts")
    settle(page)
    before = shown(page)
    page.click("#by-hand button")
    page.click("#belongs input")
    page.get_by_role("option", name="face 1").click()
    page.wait_for_selector("#verdicts li.good")
    assert "Used for face 1" in page.inner_text("#verdicts") and "as you said" in page.inner_text("#verdicts")
    assert changed(page, before)[1] != before[1]


def test_a_bad_file_is_told_and_the_good_one_goes_on(visit, tmp_path):
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear Anna")
    page = visit()
    give(page, "photos", bad)
    page.wait_for_selector("#notice .bad")
    assert page.inner_text("#notice").startswith("letter.jpg: Not a picture that can be read")
    assert page.is_hidden("#work")
    page = visit()
    with_photograph(page, bad, EXAMPLES / "woman_damaged.jpg")
    assert "letter.jpg: Not a picture" in page.inner_text("#notice") and "One face" in page.inner_text("#notice")


def test_a_queue_is_stopped(visit, tmp_path, monkeypatch):
    from resemblance.core.apps.page import session

    write = session.write_photo
    monkeypatch.setattr(session, "write_photo", lambda *given: (time.sleep(1), write(*given)))
    photos = [tmp_path / f"{n}.jpg" for n in range(6)]
    for number, photo in enumerate(photos):
        Image.open(EXAMPLES / "woman_damaged.jpg").save(photo, quality=80 + number)
    page = visit()
    with_photograph(page, *photos)
    page.click("#restore-all")
    page.wait_for_selector("#progress .good")
    assert page.is_disabled("#restore-all") and page.is_visible("#progress progress")
    page.click("#stop")
    page.wait_for_selector("#stop", state="hidden")
    assert "Stopped" in page.inner_text("#progress")
    page.wait_for_timeout(2500)
    done = page.locator("#files a").count()
    assert 1 <= done <= 3 and page.is_enabled("#restore-all")
    page.wait_for_timeout(1500)
    assert page.locator("#files a").count() == done


def test_two_visitors_at_once_see_nothing_of_each_other(visit):
    anna, bob = visit(), visit()
    give(anna, "photos", EXAMPLES / "woman_damaged.jpg")
    give(bob, "photos", EXAMPLES / "man_damaged.jpg")
    for page in (anna, bob):
        page.wait_for_selector("#compare img")
        settle(page)
    assert not set(shown(anna)) & set(shown(bob))
    for url in [*shown(anna), anna.locator("#numbered img").get_attribute("src")]:
        assert anna.request.get(url).status == 200
        assert bob.request.get(url).status == 404
    before = shown(bob)
    slide(bob, "content", 0)
    changed(bob, before)
    assert "woman" not in bob.content() and "man_damaged" in bob.content()


def test_the_keyboard_reaches_everything_and_moves_a_slider(visit):
    page = visit()
    with_photograph(page)
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[id]:not([id^=range_id]):not(input)')?.id ?? ''"))
    wanted = {"photos", "chosen", "references", "scope", "view", "content", "quality", "format", "restore", "workflow"}
    assert wanted <= reached
    before = shown(page)
    page.locator("#content input[type=range]").focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    assert changed(page, before)[1] != before[1]


@pytest.mark.parametrize("viewport, scheme", [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_the_page_is_accessible_and_fits(visit, viewport, scheme):
    import axe_playwright_python

    page = visit(viewport, scheme)
    with_photograph(page, EXAMPLES / "two_people_damaged.jpg", EXAMPLES / "man_damaged.jpg")
    give(page, "references", EXAMPLES / "two_people_reference_1.jpg", EXAMPLES / "two_people_reference_3.jpg")
    page.wait_for_selector("#verdicts li")
    page.click("#by-hand button")
    page.click("#restore")
    page.wait_for_selector("#files a")
    settle(page)
    page.evaluate((Path(axe_playwright_python.__file__).with_name("axe.min.js")).read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    told = [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in found["violations"]]
    assert told == [] and len(found["passes"]) > 10
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
