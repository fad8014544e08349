"""The web page: its sessions, and how a visitor uses it in a browser."""

import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "nodes" / "examples"
PATIENCE = 60_000  # ms that a busy machine may take
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SHOWN = (
    "(() => [...document.querySelectorAll('#compare img, #single img')].filter(i => i.offsetParent).map(i => i.src))"
)
# Until the page was drawn ten times: what follows upon an answer is asked for between two of them.
FRAMES = """() => new Promise(done => {
    const next = left => left ? requestAnimationFrame(() => next(left - 1)) : done();
    next(10);
})"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


def give(page, where, *files):
    page.set_input_files(f"#{where} input[type=file]", [str(file) for file in files])


def with_photograph(page, *files):
    give(page, "photos", *(files or (EXAMPLES / "man_damaged.jpg",)))
    page.wait_for_selector("#compare img")
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
