"""What is on the page, in a headless Chromium: on a laptop, a large screen and a phone."""

import time
from pathlib import Path

import pytest
from pages import EXAMPLES, LAPTOP, LARGE, PHONE, RULES, changed, give, look, settle, shown, with_photograph

SCREENS = [(LAPTOP, "light"), (LARGE, "dark"), (PHONE, "dark")]
IDS = ["laptop", "large", "phone"]
# What is seen of the controls: each with its box, and whether something lies over its middle once it is scrolled to.
CONTROLS = """() => [...document.querySelectorAll(`button, select, summary, label.drop, label.add, #view label,
    #preset label, #tabs label, .who > input, input[type=range]:not(.line)`)]
    .filter(e => e.checkVisibility({opacityProperty: true}) && !e.closest('.faces'))
    .map(e => [e, e.getBoundingClientRect()]).filter(([e, b]) => b.width && b.height)
    .map(([e, b]) => ({name: (e.id || e.getAttribute('aria-label') || e.textContent || e.className).trim().slice(0, 40),
        box: [b.left, b.top, b.right, b.bottom], wide: e.scrollWidth - e.clientWidth, covered: (() => {
            e.scrollIntoView({block: 'end'});
            const now = e.getBoundingClientRect();
            const [x, y] = [(now.left + now.right) / 2, (now.top + now.bottom) / 2];
            const hit = document.elementFromPoint(x, y);
            return !hit || !(e.contains(hit) || hit.contains(e));
        })()}))"""


# The names of what has the focus and of all it lies in.
REACHED = """() => {
    const names = [];
    for (let e = document.activeElement; e; e = e.parentElement) names.push(e.id, ...e.classList);
    return names;
}"""


def restored(visit, viewport=LAPTOP, scheme="light"):
    page = visit(viewport, scheme)
    with_photograph(page, EXAMPLES / "two_people_damaged.jpg", EXAMPLES / "man_damaged.jpg")
    give(page, "references", EXAMPLES / "two_people_reference_1.jpg", EXAMPLES / "woman_reference_3.jpg")
    page.wait_for_selector("li.reference >> nth=1", state="attached")
    settle(page)
    return page


def test_the_keyboard_reaches_everything_and_moves_a_slider(visit):
    page = visit()
    with_photograph(page)
    page.click("#adjust button")
    page.click("#comfy button")
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached |= set(page.evaluate(REACHED))
    wanted = {"view", "stage", "rail", "preset", "content", "quality", "format", "save-one", "workflow", "where"}
    assert wanted | {"line", "hold", "look"} <= reached
    before = shown(page)
    page.locator("#content input[type=range]").focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    assert changed(page, before)[1] != before[1]


def findings(page):
    import axe_playwright_python

    page.evaluate((Path(axe_playwright_python.__file__).with_name("axe.min.js")).read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    assert len(found["passes"]) > 10
    return [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in found["violations"]]


@pytest.mark.parametrize("viewport, scheme", SCREENS, ids=IDS)
def test_the_page_is_accessible_and_nothing_is_cut_or_covered(visit, viewport, scheme):
    page = visit(viewport, scheme)
    assert findings(page) == []
    page.context.close()
    page = restored(visit, viewport, scheme)
    tabs = ["People", "Look", "Save"] if viewport is PHONE else [None]
    for tab in tabs:
        if tab:
            page.locator("#tabs label", has_text=tab).click()
        if tab in (None, "Save"):
            page.click("#save-one")
            page.wait_for_selector("#progress a")
            settle(page)
            page.click("#comfy button")
        if tab in (None, "Look"):
            page.click("#adjust button")
        page.wait_for_timeout(400)  # they unfold
        assert findings(page) == [], tab
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        controls = page.evaluate(CONTROLS)
        assert [c["name"] for c in controls if c["wide"] > 1 and "…" not in c["name"]] == []
        assert [c["name"] for c in controls if c["covered"]] == []
        if viewport is PHONE:
            small = [c for c in controls if min(c["box"][2] - c["box"][0], c["box"][3] - c["box"][1]) < 23.5]
            assert [c["name"] for c in small] == []


@pytest.mark.parametrize("viewport", [LAPTOP, LARGE], ids=["laptop", "large"])
def test_the_picture_and_its_controls_stand_beside_each_other(visit, viewport):
    page = restored(visit, viewport)
    assert page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")
    frame, rail = (page.locator(where).bounding_box() for where in (".frame", "#right"))
    assert frame["width"] > 1.6 * rail["width"] and frame["height"] > 0.6 * viewport["height"]
    assert frame["x"] + frame["width"] <= rail["x"]
    for part in ("#save-one", "#trust .sure", ".film", ".hold", "#view", ".who"):
        box = page.locator(part).first.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= viewport["height"], part


def test_on_a_phone_the_picture_stays_above(visit):
    page = restored(visit, PHONE)
    for tab, part in (("People", ".who"), ("Look", "#preset"), ("Save", "#save-one")):
        page.locator("#tabs label", has_text=tab).click()
        page.locator(part).first.scroll_into_view_if_needed()
        box = page.locator(".frame").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] < PHONE["height"] / 2 + 20
        assert page.locator(part).first.is_visible()
        for button in page.locator("#tabs label, #preset label, #save button, .who button").all():
            if button.is_visible():
                assert button.bounding_box()["height"] >= 43.5


class Clicks:
    """A visitor who counts their clicks, and how long they wait for what they want to see."""

    def __init__(self, page):
        self.page, self.count, self.began = page, 0, time.monotonic()

    def click(self, where):
        self.count += 1
        self.page.click(where)

    def seconds(self):
        return time.monotonic() - self.began


WAITING = 40  # s, many times what it takes: a machine that runs tests is busy


@pytest.mark.parametrize("viewport", [LAPTOP, LARGE], ids=["laptop", "large"])
def test_one_photograph_is_restored_and_saved_in_three_clicks_without_scrolling(visit, viewport, tmp_path):
    page = visit(viewport)
    hand = Clicks(page)
    with page.expect_file_chooser() as chooser:
        hand.click("#welcome .drop")
    chooser.value.set_files(str(EXAMPLES / "woman_damaged.jpg"))
    hand.count += 1  # "Open"
    page.wait_for_selector("#stage .after[src]")
    settle(page)
    assert len(set(shown(page))) == 2  # it is restored, after two
    with page.expect_download() as download:
        hand.click("#save-one")
    assert download.value.suggested_filename == "woman_damaged_restored.png"
    assert hand.count == 3 and hand.seconds() < WAITING and page.evaluate("window.scrollY") == 0


@pytest.mark.parametrize("name", ["ruined", "with others", "group"])
def test_an_example_is_one_click(visit, name):
    page = visit()
    hand = Clicks(page)
    hand.click(f"[data-example='{name}']")
    page.wait_for_selector("#stage .after[src]")
    settle(page)
    assert len(set(shown(page))) == 2 and hand.count == 1 and hand.seconds() < WAITING
    assert page.locator("li.reference").count() == (0 if name == "ruined" else 2)


def test_one_of_six_faces_is_one_click(visit, tmp_path):
    from PIL import Image

    row = Image.new("RGB", (1740, 1160), "grey")
    for number in range(6):
        name = ("man", "woman")[number % 2]
        face = Image.open(EXAMPLES / f"{name}_damaged.jpg").resize((560, 560))
        row.paste(face, (10 + 580 * (number % 3), 10 + 580 * (number // 3)))
    row.save(tmp_path / "six.png")
    page = visit()
    with_photograph(page, tmp_path / "six.png")
    assert page.locator(".who").count() == 6
    hand, before = Clicks(page), shown(page)
    hand.click(".people > li:nth-child(4) .only")
    changed(page, before)
    assert [b.is_checked() for b in page.locator(".who > input").all()] == [n == 3 for n in range(6)]
    assert hand.count == 1 and hand.seconds() < WAITING


def test_a_wrong_match_is_put_right_in_two(visit):
    page = restored(visit)
    before = shown(page)
    moved = page.locator("li.reference", has_text="two_people_reference_1")
    moved.locator("select").select_option(label="Face 2")  # open, choose
    changed(page, before)
    row = page.locator(".people > li:nth-child(2)")
    assert row.locator("li.reference", has_text="two_people_reference_1").count() == 1


def test_where_the_program_guessed_is_one_click(visit):
    page = restored(visit)
    before = shown(page)
    page.click("#where")
    changed(page, before)
    assert "orange" in page.inner_text("#legend")
    look(page, "Whole photo")
    settle(page)
    assert page.inner_text("#legend").strip() == ""
