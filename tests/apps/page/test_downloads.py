"""Photographs saved on the page, in a headless Chromium."""

import json
import threading
import zipfile

import pytest
from pages import EXAMPLES, PATIENCE, saved, settle, with_photograph
from PIL import Image


def test_a_queue_is_stopped(visit, tmp_path, monkeypatch):
    from resemblance.core.apps.page import saving

    write, restore = saving.write_photo, saving.restore
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

    monkeypatch.setattr(saving, "write_photo", held)
    monkeypatch.setattr(saving, "restore", watched)
    photos = [tmp_path / f"{n}.jpg" for n in range(6)]
    for number, photo in enumerate(photos):
        Image.open(EXAMPLES / "woman_damaged.jpg").save(photo, quality=80 + number)
    page = visit()
    with_photograph(page, *photos)
    with page.expect_download() as download:
        page.click("#save-all")
        assert second.wait(PATIENCE / 1000)
        page.wait_for_selector("#progress progress")
        assert page.is_disabled("#save-all") and page.is_disabled("#save-one")
        page.click("#stop")
        goes_on.set()
        assert over.wait(PATIENCE / 1000)
    settle(page)
    assert "Stopped, as you wished." in page.inner_text("#progress")
    assert [file.name for file in written] == ["0_restored.png", "1_restored.png"]
    with zipfile.ZipFile(download.value.path()) as archive:  # what was done is not lost
        assert archive.namelist() == ["0_restored.png", "1_restored.png"]
    assert page.is_hidden("#stop") and page.is_enabled("#save-all")
    assert page.locator(".film li.saved").count() == 2


@pytest.mark.parametrize("name", ["a%20b.jpg", "#1 why?.jpg", 'it\'s "her".jpg'])
def test_a_result_is_saved_whatever_its_name(visit, tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes((EXAMPLES / "woman_damaged.jpg").read_bytes())
    page = visit()
    with_photograph(page, tmp_path / "in" / name)
    kept = saved(page, "#save-one", tmp_path)
    settle(page)
    assert page.inner_text("#progress").startswith(f"{name}: 1 face restored")
    assert Image.open(kept).size == Image.open(EXAMPLES / "woman_damaged.jpg").size
    # What a browser's own file system may not hold it replaces.
    assert kept.name.replace("_", "").replace("?", "").replace('"', "") == (
        name.replace(".jpg", "restored.png").replace("?", "").replace('"', "")
    )
    page.click("#comfy button")
    graph = json.loads(saved(page, "#workflow", tmp_path).read_text())
    assert name in [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "LoadImage"]
    assert page.refused == []
