import os
from dataclasses import replace

import pytest
from pages import EXAMPLES, MAN, TWO, WOMAN, references, take
from PIL import Image
from resemblance.core.apps.page import words
from resemblance.core.apps.page.graph import Settings
from resemblance.core.apps.page.limits import Run
from resemblance.core.apps.page.saving import restore


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


def test_the_face_to_begin_with_is_the_largest_that_is_surely_one(session):
    detect = session.studio.detect

    def with_a_hand(photos):
        """The faces, and a larger find of which the detector is not sure."""
        faces = detect(photos)
        x0, y0, x1, y1 = faces[0].box
        return [*faces, replace(faces[0], index=len(faces), box=(x0 - 9, y0 - 9, x1 + 9, y1 + 9), score=0.6)]

    session.studio = replace(session.studio, detect=with_a_hand)
    take(session, [TWO])
    opened = session.opened
    sizes = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in opened.faces]
    assert opened.doubtful == {2} and opened.chosen == {0, 1} and sizes[2] == max(sizes)
    assert session.face == opened.first == sizes.index(max(sizes[:2]))
    opened.chosen.discard(opened.first)
    assert opened.first == 1 - session.face


def test_a_large_photograph_is_shown_smaller_with_the_face_in_its_place(session, tmp_path):
    large = tmp_path / "large.png"
    Image.open(MAN).resize((2560, 2560)).save(large)
    take(session, [large])
    (face,) = session.opened.faces
    x0, y0, x1, y1 = face.box
    assert session.opened.small.shape[1:] == (1280, 1280)
    before, after = session.whole(Settings())
    changed = (before - after).abs().amax(0) > 0.02
    rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
    assert int(rows.min()) < y1 / 2 and int(rows.max()) > y0 / 2
    assert abs(float(columns.float().mean()) - (x0 + x1) / 4) < 0.1 * (x1 - x0)


def test_sharp_faces_are_left_out_until_they_are_chosen(session):
    truth = EXAMPLES / "man_truth.jpg"
    take(session, [truth])
    assert session.opened.chosen == set() and "sharp already" in words.found(session.opened)[0]
    (_, step) = restore(session, [truth], Settings(), ".png", Run.begin())
    assert step.file is None and "already sharp or not selected" in step.text
    session.opened.chosen.add(0)
    (_, step) = restore(session, [truth], Settings(), ".png", Run.begin())
    assert step.file is not None


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
    (_, step) = restore(session, [wall], Settings(), ".png", Run.begin())
    assert step.file is None and "no face" in step.text


@pytest.mark.parametrize("there, told", [(3, ""), (4, "More than 3 faces were found; the page takes the 3 largest.")])
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
    said = words.found(session.opened)[0]
    assert said.startswith(told) and bool(said) == bool(told)
    assert len(session.opened.faces) == 3 and session.opened.found_as == tuple(range(there))[-3:]


def test_what_a_photograph_was_made_with_tells_whether_it_is_as_it_would_be_now(session):
    take(session, [TWO], references("two_people", 1))
    first = session.made_with(TWO, Settings())
    assert session.made_with(TWO, Settings()) == first != session.made_with(TWO, Settings(content=0.5))
    session.opened.chosen.discard(0)
    fewer = session.made_with(TWO, Settings())
    session.belongs(0, 1)
    said = session.made_with(TWO, Settings())
    take(session, [TWO], [])
    assert len({first, fewer, said, session.made_with(TWO, Settings())}) == 4


def test_what_a_visitor_leaves_behind_is_deleted(session):
    take(session, [MAN])
    (*_, step) = restore(session, [MAN], Settings(), ".jpg", Run.begin())
    assert step.file.is_file()
    session.close()
    assert not step.file.parent.exists()
