"""The web page in a headless Chromium, as visitors use it."""

import json
import threading

import httpx
import pytest
from pages import EXAMPLES, PATIENCE, changed, give, saved, settle, shown, slide, with_photograph
from PIL import Image


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
    for name in ("content", "quality", "strength", "steps"):
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
    assert page.refused == []
    assert {url.split("/")[2] for url in page.asked if url.startswith("http")} == {address[0].split("/")[2]}
    assert address[1] <= {"local"}  # the server calls nobody, not even itself
    httpx.get(address[0], trust_env=False)
    assert address[1] <= {"local", "127.0.0.1"} and "127.0.0.1" in address[1]  # it would have been seen


def test_faces_are_chosen_by_a_click_and_by_their_boxes(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "two_people_damaged.jpg")
    boxes = page.locator("#chosen input")
    assert [boxes.nth(n).is_checked() for n in range(boxes.count())] == [True, True]
    picture = page.locator("#numbered img")
    numbered = picture.get_attribute("src")
    place = picture.bounding_box()
    # Beside the faces nothing happens, and the next click is heard.
    picture.click(position={"x": 3, "y": 3})
    page.wait_for_timeout(1000)
    assert page.locator(".toast-body").count() == 0 and picture.get_attribute("src") == numbered
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

    write, restore = session.write_photo, session.Session.restore
    written, second, goes_on, over = [], threading.Event(), threading.Event(), threading.Event()

    def held(file, photo):
        """The second photograph is written when it may be."""
        if written:
            second.set()
            assert goes_on.wait(PATIENCE / 1000)
        written.append(file)
        write(file, photo)

    def watched(*given):
        try:
            yield from restore(*given)
        finally:
            over.set()

    monkeypatch.setattr(session, "write_photo", held)
    monkeypatch.setattr(session.Session, "restore", watched)
    photos = [tmp_path / f"{n}.jpg" for n in range(6)]
    for number, photo in enumerate(photos):
        Image.open(EXAMPLES / "woman_damaged.jpg").save(photo, quality=80 + number)
    page = visit()
    with_photograph(page, *photos)
    page.click("#restore-all")
    page.wait_for_selector("#progress .good")
    assert page.is_disabled("#restore-all") and page.is_visible("#progress progress")
    assert second.wait(PATIENCE / 1000)
    page.click("#stop")
    page.wait_for_selector("#stop", state="hidden")
    assert "Stopped" in page.inner_text("#progress")
    goes_on.set()
    assert over.wait(PATIENCE / 1000)
    settle(page)
    assert [file.name for file in written] == ["0_restored.png", "1_restored.png"]
    assert page.locator("#files a").count() == 1 and page.is_enabled("#restore-all")


@pytest.mark.parametrize("name", ["a%20b.jpg", "#1 why?.jpg", 'it\'s "her".jpg'])
def test_a_result_is_saved_whatever_its_name(visit, tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes((EXAMPLES / "woman_damaged.jpg").read_bytes())
    page = visit()
    with_photograph(page, tmp_path / "in" / name)
    page.get_by_label("JPEG (smaller file)").check()
    page.click("#restore")
    page.wait_for_selector("#files a")
    assert page.inner_text("#progress").startswith(f"{name}: 1 face restored")
    kept = saved(page, "#files a", tmp_path)
    assert Image.open(kept).size == Image.open(EXAMPLES / "woman_damaged.jpg").size
    # What a browser's own file system may not hold it replaces.
    assert kept.name.replace("_", "").replace("?", "").replace('"', "") == (
        name.replace(".jpg", "restored.jpg").replace("?", "").replace('"', "")
    )
    graph = json.loads(saved(page, "#workflow", tmp_path).read_text())
    assert name in [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "LoadImage"]
    assert page.refused == []


def test_the_whole_photograph_is_there_before_and_after_at_every_visit(visit):
    """What is told of two pictures comes in two messages, the second as a difference from the first."""
    for _ in range(3):
        page = visit()
        with_photograph(page, EXAMPLES / "two_people_damaged.jpg")
        before = shown(page)
        page.get_by_label("Whole photograph").check()
        changed(page, before)
        widths = page.eval_on_selector_all("#compare img", "all => all.map(i => i.naturalWidth)")
        assert len(widths) == 2 and all(widths) and page.refused == []
        page.context.close()


def test_a_limit_that_an_upload_meets_is_told(visit, monkeypatch):
    from resemblance.core.apps.page import uploads

    monkeypatch.setattr(uploads, "OWN_MEGABYTES", 0.001)
    page = visit()
    give(page, "photos", EXAMPLES / "woman_damaged.jpg")
    page.get_by_text("the limit is 0.001 MB for each visitor").wait_for()


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
