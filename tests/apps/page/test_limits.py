import io
import shutil
import threading
import time

import pytest
from pages import MAN, WOMAN, laborious, take
from PIL import Image
from resemblance.core.apps.page import limits
from resemblance.core.apps.page.cleaning import delete_old
from resemblance.core.apps.page.graph import Settings
from resemblance.core.apps.page.limits import Run, Stopped, check_file, check_room, count_scans
from resemblance.core.apps.page.saving import restore
from resemblance.core.files.images import PictureError


def test_a_run_stops_when_it_is_told_to_and_when_its_time_is_over(session):
    take(session, [MAN, WOMAN])
    run = Run.begin()
    steps = restore(session, [MAN, WOMAN], Settings(), ".jpg", run)
    assert [next(steps), next(steps)][1].file.is_file()
    session.run = run
    session.stop()
    with pytest.raises(Stopped, match="as you wished"):
        list(steps)
    late = Run(run.stop.__class__(), time.monotonic() - 1)
    with pytest.raises(Stopped, match="30 minutes"):
        list(restore(session, [WOMAN], Settings(), ".jpg", late))


def test_more_files_than_the_page_takes_are_refused(session):
    with pytest.raises(ValueError, match="You gave 21 photos; the page takes 20 at once"):
        list(session.take_photos([MAN] * 21))
    with pytest.raises(ValueError, match="17 photos of these people"):
        list(session.take_references([MAN] * 17))


def saved(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_scans_are_counted_and_nothing_else():
    photo = Image.open(MAN).resize((64, 64))
    plain, progressive = saved(photo), saved(photo, progressive=True)
    assert (count_scans(plain), count_scans(progressive)) == (1, 10)
    # A thumbnail, a comment that looks like scans, what stands behind the picture, and no JPEG.
    exif = Image.Exif()
    exif[0x010E] = "x"
    embedded = b"\xff\xe1" + (len(progressive) + 2).to_bytes(2, "big") + progressive
    assert count_scans(plain[:2] + embedded + plain[2:]) == 1
    assert count_scans(plain[:2] + b"\xff\xfe\x01\x00" + b"\xff\xda" * 127 + plain[2:]) == 1
    assert count_scans(plain + b"\xff\xda" * 200) == 1
    assert count_scans(b"\x89PNG" + b"\xff\xda" * 200) == 0 and count_scans(b"\xff\xd8\xff") == 0


def test_a_small_file_that_is_a_great_labour_is_refused_before_it_is_decoded(session, tmp_path):
    path = laborious(tmp_path / "slow.jpg")
    assert path.stat().st_size < 2e6
    begun = time.monotonic()
    with pytest.raises(PictureError, match="the JPEG has 1200 scans; the page takes 100"):
        check_file(path)
    assert time.monotonic() - begun < 1
    assert take(session, [path, MAN], [path])[0].startswith("The JPEG has 1200 scans; the page takes 100")
    assert session.opened.path == MAN and "1200 scans" in session.references[0].problem


def test_a_visitor_who_has_too_much_here_is_told(session, monkeypatch):
    take(session, [WOMAN])
    monkeypatch.setattr(limits, "OWN_MEGABYTES", 0.001)
    (session.folder.parent / "sent.jpg").parent.mkdir(parents=True, exist_ok=True)
    (session.folder.parent / "sent.jpg").write_bytes(bytes(2000))
    with pytest.raises(ValueError, match=r"you have 0 MB here; the limit is 0\.001 MB for each visitor"):
        check_room(session.folder.parent)
    (*_, step) = restore(session, [WOMAN], Settings(), ".jpg", Run.begin())
    assert step.failed and "the limit is 0.001 MB" in step.text


def test_what_is_in_a_folder_is_summed(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(bytes(1_500_000))
    (tmp_path / "d").write_bytes(bytes(500_000))
    assert limits.megabytes_in(tmp_path) == 2 and limits.megabytes_in(tmp_path / "none") == 0


@pytest.mark.parametrize("walk", [limits.megabytes_in, lambda folder: delete_old(folder, -60)])
def test_folders_may_go_while_they_are_walked_through(tmp_path, walk):
    """Sessions end and visitors leave while others' uploads are counted."""
    done = threading.Event()

    def come_and_go():
        while not done.is_set():
            for n in range(30):
                (tmp_path / f"{n}" / "a" / "b").mkdir(parents=True, exist_ok=True)
            for n in range(30):
                shutil.rmtree(tmp_path / f"{n}", ignore_errors=True)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(300):
            walk(tmp_path)
    finally:
        done.set()
        thread.join()
