"""The web page: its sessions, and how a visitor uses it in a browser."""

import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "nodes" / "examples"
PATIENCE = 60_000  # ms that a busy machine may take
LAPTOP, LARGE, PHONE = ({"width": width, "height": height} for width, height in ((1400, 900), (1920, 1080), (390, 844)))
SHOWN = "(() => [...document.querySelectorAll('#stage .canvas img')].filter(i => i.src).map(i => i.src))"
INPUTS = {"references": "#rail > .html-container .rail > .drop input", "more": "#stage .add input"}
# Until the page was drawn ten times: what follows upon an answer is asked for between two of them.
FRAMES = """() => new Promise(done => {
    const next = left => left ? requestAnimationFrame(() => next(left - 1)) : done();
    next(10);
})"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


def give(page, where, *files):
    """Photographs at first, more of them, or references."""
    page.set_input_files(INPUTS.get(where, "#welcome input[type=file]"), [str(file) for file in files])


def with_photograph(page, *files):
    give(page, "photos", *(files or (EXAMPLES / "man_damaged.jpg",)))
    page.wait_for_selector("#stage .after[src]")
    settle(page)


def asked(page, request):
    """Note what a page asks for, and which of the work it asks for goes on: gradio's answers are streams."""
    page.asked.append(request.url)
    if "/queue/" in request.url:
        page.unanswered.add(request)


def settle(page):
    """Until all that the page asked for was done and is drawn, and nothing more is asked for."""
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end:
        before = len(page.asked)
        page.evaluate(FRAMES)
        if not page.unanswered and len(page.asked) == before:
            return
    raise AssertionError(f"The page still waits for {[request.url for request in page.unanswered]}.")


def shown(page):
    """The addresses of the pictures of the result that are seen."""
    return page.evaluate(f"{SHOWN}()")


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


def look(page, name):
    """Choose what is shown."""
    page.locator("#view label", has_text=name).click()


def saved(page, click, tmp_path):
    with page.expect_download() as download:
        page.click(click)
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    return file


MAN, WOMAN, TWO = (EXAMPLES / f"{name}_damaged.jpg" for name in ("man", "woman", "two_people"))


def references(name, *numbers):
    return [EXAMPLES / f"{name}_reference_{number}.jpg" for number in numbers]


def take(session, photos, given=()):
    """Give a session photographs and references; what is wrong with each, or None."""
    return [problem for _, problem in (*session.take_photos(photos), *session.take_references(given))]


def laborious(path, side=7000, scans=1200):
    """A small grey JPEG with so many passes over all its pixels."""
    Image.new("L", (side, side), 128).save(path, "JPEG", progressive=True)
    data = path.read_bytes()
    last = data.rindex(b"\xff\xda")
    path.write_bytes(data[:last] + data[last:-2] * (scans - data.count(b"\xff\xda") + 1) + data[-2:])
    return path
