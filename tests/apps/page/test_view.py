"""The web page in a headless Chromium, as visitors use it."""

import json

import httpx
from pages import EXAMPLES, changed, give, look, saved, settle, shown, slide, with_photograph
from PIL import Image


def reference_rows(page, face=None):
    """What stands under a face, or under "Not used"."""
    where = ".people > li.unused" if face is None else f".people > li:nth-child({face})"
    return page.locator(f"{where} li.reference")


def test_a_photograph_is_restored_with_two_references(visit, address, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "Uncle, 1961"
    photo = tmp_path / "uncle.jpg"
    Image.open(EXAMPLES / "man_damaged.jpg").save(photo, exif=exif, quality=95)
    page = visit()
    with_photograph(page, photo)
    assert "nothing yet to check face 1 against" in page.inner_text("#trust")
    assert page.locator("#view label:visible").all_inner_texts() == ["Whole photo", "This face", "What was guessed"]
    alone = shown(page)
    give(page, "references", *(EXAMPLES / f"man_reference_{n}.jpg" for n in (1, 2)))
    reference_rows(page, 1).nth(1).wait_for()
    now = changed(page, alone)
    assert now[0] == alone[0] and now[1] != alone[1]  # before stays, after changes
    assert "Face 1 matches your photos: yes" in page.inner_text("#trust")
    for view in ("This face", "What was guessed", "From your photos"):
        look(page, view)
        now = changed(page, now)
    assert "man_reference_2.jpg" in page.inner_text("#legend")
    look(page, "Whole photo")
    now = changed(page, now)
    page.click("#adjust button")
    for name in ("content", "quality", "strength", "steps"):
        slide(page, name, 4 if name == "steps" else 0.5)
        other = changed(page, now)
        assert other[1] != now[1], name
        now = other
    page.locator("#format label", has_text="JPEG").click()
    file = saved(page, "#save-one", tmp_path)
    restored = Image.open(file)
    assert (file.name, restored.format, restored.size) == ("uncle_restored.jpg", "JPEG", Image.open(photo).size)
    assert restored.getexif()[0x010E] == "Uncle, 1961"
    assert saved(page, "#progress a", tmp_path).read_bytes() == file.read_bytes()
    page.click("#comfy button")
    graph = json.loads(saved(page, "#workflow", tmp_path).read_text())
    loaded = [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "LoadImage"]
    assert loaded == ["uncle.jpg", "man_reference_1.jpg", "man_reference_2.jpg"]
    assert page.refused == []
    assert {url.split("/")[2] for url in page.asked if url.startswith("http")} == {address[0].split("/")[2]}
    assert address[1] <= {"local"}  # the server calls nobody, not even itself
    httpx.get(address[0], trust_env=False)
    assert address[1] <= {"local", "127.0.0.1"} and "127.0.0.1" in address[1]  # it would have been seen


def ticks(page):
    return [box.is_checked() for box in page.locator(".who input[type=checkbox]").all()]


def test_faces_are_chosen(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "two_people_damaged.jpg")
    assert ticks(page) == [True, True]
    for click, expected in (
        (".people > li:nth-child(1) .who > input", [False, True]),
        ("[data-all=yes]", [True, True]),
        (".people > li:nth-child(1) .only", [True, False]),
        ("[data-all=no]", [False, False]),
    ):
        before = shown(page)
        page.click(click)
        changed(page, before)
        assert ticks(page) == expected, click
    assert len(set(shown(page))) == 1  # nothing is restored
    page.locator(".who > input").nth(1).focus()
    before = shown(page)
    page.keyboard.press("Space")
    assert changed(page, before)[1] != before[1] and ticks(page) == [False, True]
    assert page.evaluate("document.activeElement.dataset.key") == "tick 1"  # from there the keyboard goes on


def test_a_click_on_a_face_shows_it_large(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "two_people_damaged.jpg")
    before = shown(page)
    face = page.locator(".faces button").nth(0).bounding_box()
    page.mouse.click(face["x"] + face["width"] / 4, face["y"] + face["height"] / 2)
    now = changed(page, before)
    size = page.evaluate("(i => [i.naturalWidth, i.naturalHeight])(document.querySelector('#stage .before'))")
    assert size == [512, 512] and page.locator("#view label", has_text="This face").locator("input").is_checked()
    assert page.inner_text("#trust").lower().count("face 1") == 1
    page.click(".people > li:nth-child(2) .look")
    changed(page, now)
    assert "face 2" in page.inner_text("#trust").lower()


def test_whose_a_reference_is_can_be_said_and_taken_back(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "woman_damaged.jpg")
    give(page, "references", EXAMPLES / "man_reference_1.jpg")
    reference_rows(page).wait_for()
    assert "no face here is likely to be this person" in reference_rows(page).inner_text()
    settle(page)
    before = shown(page)
    reference_rows(page).locator("select").select_option(label="Face 1")
    reference_rows(page, 1).wait_for()
    assert "as you said" in page.inner_text(".people > li:nth-child(1)")
    now = changed(page, before)
    assert now[1] != before[1]
    reference_rows(page, 1).locator(".away").click()
    assert changed(page, now) == before
    assert page.locator("li.reference").count() == 0


def test_a_reference_is_dragged_to_another_person(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "two_people_damaged.jpg")
    give(page, "references", EXAMPLES / "two_people_reference_1.jpg")
    reference_rows(page, 1).wait_for()
    settle(page)
    before = shown(page)
    reference_rows(page, 1).locator("img").drag_to(page.locator(".people > li:nth-child(2)"))
    reference_rows(page, 2).wait_for()
    changed(page, before)
    assert "as you said" in page.inner_text(".people > li:nth-child(2) .who")
    assert reference_rows(page, 1).count() == 0


def test_photographs_that_are_added_to_a_face_are_of_that_person(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "two_people_damaged.jpg")
    before = shown(page)
    page.locator(".who .add input").nth(1).set_input_files([str(EXAMPLES / "woman_reference_1.jpg")])
    reference_rows(page, 2).wait_for()
    changed(page, before)
    assert "as you said" in page.inner_text(".people > li:nth-child(2) .who")


def test_a_bad_file_is_told_and_the_good_one_goes_on(visit, tmp_path):
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear Anna")
    page = visit()
    give(page, "photos", bad)
    page.wait_for_selector("#notice .bad")
    assert page.inner_text("#notice").startswith("letter.jpg: Not a picture that can be read")
    assert page.is_hidden("#work")
    with_photograph(page, bad, EXAMPLES / "woman_damaged.jpg")
    assert "letter.jpg: Not a picture" in page.inner_text("#notice") and page.locator(".film li.photo").count() == 1


def test_photographs_are_added_turned_to_and_left_out(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "woman_damaged.jpg")
    before = shown(page)
    give(page, "more", EXAMPLES / "man_damaged.jpg", EXAMPLES / "two_people_damaged.jpg")
    now = changed(page, before)
    assert page.locator(".film li.photo").count() == 3
    assert page.locator(".film [aria-current]").get_attribute("title") == "man_damaged.jpg"
    page.locator(".film li.photo > button").nth(0).click()
    assert changed(page, now) == before
    page.locator(".film li.photo .away").nth(0).click()
    changed(page, before)
    assert [b.get_attribute("title") for b in page.locator(".film [data-act=photo]").all()] == [
        "man_damaged.jpg",
        "two_people_damaged.jpg",
    ]
    for _ in range(2):
        left = page.locator(".film li.photo").count()
        page.locator(".film li.photo .away").nth(0).click()
        page.wait_for_function(f"document.querySelectorAll('.film li.photo').length < {left}")
    page.wait_for_selector("#welcome .drop")


def test_what_was_done_is_there_when_the_page_is_loaded_again(visit):
    page = visit()
    with_photograph(page, EXAMPLES / "two_people_damaged.jpg")
    give(page, "references", EXAMPLES / "two_people_reference_1.jpg")
    reference_rows(page, 1).wait_for()
    settle(page)
    page.click(".people > li:nth-child(2) .who > input")
    settle(page)
    before = shown(page)
    page.reload()
    page.wait_for_selector("#stage .after[src]")
    settle(page)
    assert shown(page) == before and ticks(page) == [True, False] and reference_rows(page, 1).count() == 1


def test_the_whole_photograph_is_there_before_and_after_at_every_visit(visit):
    for _ in range(10):
        page = visit()
        with_photograph(page, EXAMPLES / "two_people_damaged.jpg")
        widths = page.eval_on_selector_all("#stage .canvas img", "all => all.map(i => i.naturalWidth)")
        assert len(widths) == 2 and all(widths) and page.refused == [] and len(set(shown(page))) == 2
        page.context.close()


def test_the_last_of_quick_changes_wins_and_is_what_is_saved(visit, tmp_path):
    page = visit()
    with_photograph(page)
    before = shown(page)
    page.click("#adjust button")
    for value in (0.9, 0.6, 0.3, 0.1):
        slide(page, "content", value)
    page.click("#save-one")  # at once
    changed(page, before)
    page.wait_for_selector("#progress a")
    assert page.locator(".film li.saved").count() == 1
    page.click("#comfy button")
    graph = json.loads(saved(page, "#workflow", tmp_path).read_text())
    (mix,) = [node for node in graph["nodes"] if node["type"] == "ResemblanceRestoreTokens"]
    assert 0.1 in mix["widgets_values"] and 0.3 not in mix["widgets_values"]
    slide(page, "content", 0.8)
    page.wait_for_selector(".film li.earlier")


def test_a_look_sets_the_sliders_and_a_slider_the_look(visit):
    page = visit()
    with_photograph(page)
    before = shown(page)
    page.locator("#preset label", has_text="Strong").click()
    now = changed(page, before)
    page.click("#adjust button")
    steps = page.locator("#steps input[type=number]")
    steps.wait_for()
    assert steps.input_value() == "1" and page.locator("#content input[type=number]").input_value() == "0.75"
    handle = page.locator("#steps input[type=range]")
    handle.focus()
    page.keyboard.press("ArrowRight")
    changed(page, now)
    page.wait_for_selector("#preset label:has([value='Your own']:checked)")


def test_the_line_moves_the_picture_comes_nearer_and_the_original_is_a_button_away(visit):
    page = visit()
    with_photograph(page)
    cut = "document.querySelector('#stage .canvas').style.getPropertyValue('--cut')"
    zoom = "Number(document.querySelector('#stage .canvas').style.getPropertyValue('--zoom'))"
    box = page.locator(".canvas").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle[1], steps=5)
    page.mouse.up()
    assert abs(float(page.evaluate(cut).rstrip("%")) - 25) < 1
    assert page.locator("#view label", has_text="Whole photo").locator("input").is_checked()  # a drag is no click
    page.locator(".line").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(cut) == "26%"
    page.mouse.move(*middle)
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"{zoom} > 2")
    before = page.locator(".canvas").bounding_box()
    page.mouse.move(middle[0] + 100, middle[1])
    page.mouse.down()
    page.mouse.move(middle[0] + 140, middle[1] + 30, steps=5)
    page.mouse.up()
    after = page.locator(".canvas").bounding_box()
    assert (round(after["x"] - before["x"]), round(after["y"] - before["y"])) == (40, 30)
    page.click(".fit")
    assert page.evaluate(zoom) == 1
    page.locator(".hold").hover()
    page.mouse.down()
    assert page.locator(".canvas .after").is_hidden()
    page.mouse.up()
    assert page.locator(".canvas .after").is_visible()


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
        page.wait_for_selector("#stage .after[src]")
        settle(page)
    assert not set(shown(anna)) & set(shown(bob))
    for url in shown(anna):
        assert anna.request.get(url).status == 200
        assert bob.request.get(url).status == 404
    before = shown(bob)
    bob.locator("#preset label", has_text="Strong").click()
    changed(bob, before)
    assert "woman" not in bob.inner_text("body") and "man_damaged" in bob.content()
