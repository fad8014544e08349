"""What is on the page, in a headless Chromium."""

from pathlib import Path

import pytest
from pages import DESKTOP, EXAMPLES, PHONE, RULES, changed, give, settle, shown, with_photograph


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
