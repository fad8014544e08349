import os
from dataclasses import replace

import numpy as np
import pytest
from pages import EXAMPLES, MAN, TWO, WOMAN, references, take
from PIL import Image
from resemblance.core.apps.page import words
from resemblance.core.apps.page.graph import Settings
from resemblance.core.apps.page.limits import Run


def test_references_that_were_read_are_not_read_again(session, monkeypatch):
    take(session, [MAN], references("man", 1))
    read = []
    monkeypatch.setattr(
        "resemblance.core.apps.page.session.look_at",
        lambda name, path, studio: (read.append(name), first)[1],
    )
    first = session.references[0]
    take(session, [WOMAN], references("man", 1, 2))
    assert read == ["man_reference_2.jpg"]


def test_a_click_finds_the_face_under_it(session):
    take(session, [TWO])
    opened = session.opened
    for face in opened.faces:
        x0, y0, x1, y1 = (v * opened.scale for v in face.box)
        assert opened.face_at((x0 + x1) / 2, (y0 + y1) / 2) == face.index
    assert opened.face_at(1, 1) is None


def test_a_large_photograph_is_shown_smaller_and_clicked_at_the_right_place(session, tmp_path):
    large = tmp_path / "large.png"
    Image.open(MAN).resize((2560, 2560)).save(large)
    take(session, [large])
    (face,) = session.opened.faces
    x0, y0, x1, y1 = face.box
    assert session.opened.small.shape[1:] == (1280, 1280)
    assert session.opened.face_at((x0 + x1) / 4, (y0 + y1) / 4) == 0
    assert session.opened.face_at((x0 + x1) / 2, (y0 + y1) / 2) is None
    before, after = session.whole(Settings())
    changed = (before - after).abs().amax(0) > 0.02
    rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
    assert int(rows.min()) < y1 / 2 and int(rows.max()) > y0 / 2
    assert abs(float(columns.float().mean()) - (x0 + x1) / 4) < 0.1 * (x1 - x0)


def test_sharp_faces_are_left_out_until_they_are_chosen(session):
    truth = EXAMPLES / "man_truth.jpg"
    take(session, [truth])
    assert session.opened.chosen == set() and "sharp already" in words.found(session.opened)[0]
    (_, step) = session.restore([truth], Settings(), ".png", Run.begin())
    assert step.file is None and "left as it is" in step.text
    session.opened.chosen.add(0)
    (_, step) = session.restore([truth], Settings(), ".png", Run.begin())
    assert step.file is not None


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_photograph_is_saved_whole_with_what_belongs_to_it(session, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010E] = "Grandfather, 1952"
    source = tmp_path / "grandfather.jpg"
    Image.open(TWO).save(source, exif=exif, quality=95, dpi=(300, 300))
    take(session, [source])
    session.opened.chosen.discard(0)
    (begun, step) = session.restore([source], Settings(), suffix, Run.begin())
    assert (begun.done, step.done, step.file.name) == (0, 1, f"grandfather_restored{suffix}")
    before, after = Image.open(source), Image.open(step.file)
    assert after.size == before.size and after.getexif()[0x010E] == "Grandfather, 1952"
    if suffix == ".png":
        changed = np.any(np.array(before) != np.array(after), axis=2)
        x0, _, x1, _ = session.opened.faces[1].box
        assert changed.any() and not changed[:, : int(x0 - (x1 - x0))].any()
    (*_, again) = session.restore([source], Settings(content=0), suffix, Run.begin())
    assert again.file != step.file and step.file.is_file()


def test_several_photographs_go_on_when_one_fails(session, tmp_path):
    gone = tmp_path / "gone.jpg"
    gone.write_bytes(MAN.read_bytes())
    take(session, [gone, WOMAN])
    session.opened = None
    gone.unlink()
    steps = list(session.restore([gone, WOMAN], Settings(), ".jpg", Run.begin()))
    assert [(step.failed, step.file is not None) for step in steps] == [
        (False, False),
        (True, False),
        (False, False),
        (False, True),
    ]


def test_bad_files_are_told_in_a_sentence_and_the_good_ones_go_on(session, tmp_path):
    files = {name: tmp_path / name for name in ("empty.jpg", "text.png", "cut.jpg", "wide.png", "heavy.jpg")}
    files["empty.jpg"].write_bytes(b"")
    files["text.png"].write_text("no picture")
    files["cut.jpg"].write_bytes(MAN.read_bytes()[:300])
    Image.new("1", (9000, 6000)).save(files["wide.png"])
    files["heavy.jpg"].write_bytes(MAN.read_bytes())
    os.truncate(files["heavy.jpg"], 61_000_000)
    problems = take(session, [*files.values(), WOMAN])
    told = dict(zip(files, problems, strict=False))
    assert problems[-1] is None and session.opened.path == WOMAN and session.photos == [WOMAN]
    assert told["empty.jpg"].startswith("The file is empty")
    assert told["text.png"].startswith("Not a picture")
    assert told["cut.jpg"].startswith("Broken")
    assert told["wide.png"].startswith("The photograph has 54 megapixels; the page takes 50")
    assert told["heavy.jpg"].startswith("The file has 61 MB; the page takes 60 MB")
    assert not any(str(tmp_path) in text for text in told.values())


def test_a_photograph_that_is_added_leaves_the_one_that_is_looked_at(session):
    take(session, [MAN, TWO])
    session.look_at(1)
    take(session, [MAN, TWO, WOMAN])
    assert session.opened.path == TWO and session.photos == [MAN, TWO, WOMAN]
    take(session, [MAN, WOMAN])
    assert session.opened.path == MAN and session.photos == [MAN, WOMAN]


def test_a_photograph_without_a_face_says_so(session, tmp_path):
    wall = tmp_path / "wall.png"
    Image.new("RGB", (300, 200), "grey").save(wall)
    take(session, [wall])
    assert "No face was found" in words.found(session.opened)[0]
    (_, step) = session.restore([wall], Settings(), ".png", Run.begin())
    assert step.file is None and "no face" in step.text


@pytest.mark.parametrize(
    "there, told", [(3, "3 faces were found."), (4, "More than 3 faces were found; the page takes 3")]
)
def test_a_limit_is_told_as_a_limit(session, monkeypatch, there, told):
    detect = session.studio.detect

    def crowd(photos):
        """The same face again and again, each a little smaller; the smallest stands first."""
        (face,) = detect(photos)
        x0, y0, x1, y1 = face.box
        return [replace(face, index=n, box=(x0, y0, x1 - there + n, y1)) for n in range(there)]

    monkeypatch.setattr("resemblance.core.apps.page.session.FACES", 3)
    session.studio = replace(session.studio, detect=crowd)
    take(session, [MAN])
    assert words.found(session.opened)[0].startswith(told)
    assert len(session.opened.faces) == 3 and session.opened.found_as == tuple(range(there))[-3:]


def test_what_a_visitor_leaves_behind_is_deleted(session):
    take(session, [MAN])
    (*_, step) = session.restore([MAN], Settings(), ".jpg", Run.begin())
    assert step.file.is_file()
    session.close()
    assert not step.file.parent.exists()
