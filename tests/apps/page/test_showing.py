from urllib.parse import unquote

import pytest
from pages import MAN, TWO, WOMAN, references, take
from PIL import Image
from resemblance.core.apps.page import words
from resemblance.core.apps.page.graph import Settings
from resemblance.core.apps.page.showing import compared, listed, staged, views


def picture(address):
    return Image.open(unquote(address.split("file=")[1]))


def test_the_stage_shows_the_photograph_its_faces_and_the_others(session):
    take(session, [TWO, WOMAN])
    session.opened.chosen.discard(1)
    value = staged(session, Settings(), words.WHOLE, session.whole(Settings()))
    before, after = map(picture, value["pair"])
    assert before.size == after.size == Image.open(TWO).size and value["waiting"] is None
    for face, entry in zip(session.opened.faces, value["faces"], strict=True):
        left, top, width, height = entry["box"]
        assert left * before.width - 0.5 == pytest.approx(face.box[0]) and entry["on"] == (face.index == 0)
        assert width * before.width == pytest.approx(face.box[2] - face.box[0])
        assert top * before.height - 0.5 == pytest.approx(face.box[1]) and 0 < height < 1
    assert [photo["name"] for photo in value["photos"]] == [TWO.name, WOMAN.name] and value["shown"] == 0


def test_while_it_is_worked_on_the_photograph_is_shown_as_it_is(session):
    assert staged(session, Settings(), words.WHOLE) == {"photos": []}
    take(session, [TWO])
    value = staged(session, Settings(), words.WHOLE)
    assert value["waiting"] == words.WORKING and len(set(value["pair"])) == 1
    session.opened.chosen.clear()
    assert staged(session, Settings(), words.WHOLE)["waiting"] is None


def test_what_was_saved_with_other_settings_is_marked(session):
    take(session, [TWO, MAN])
    session.saved[TWO] = session.made_with(TWO, Settings())

    def states(settings):
        return [(photo["state"], photo["said"]) for photo in staged(session, settings, words.WHOLE)["photos"]]

    assert states(Settings()) == [("saved", words.SAVED), ("", MAN.name)]
    assert states(Settings(content=0.5)) == [("earlier", words.EARLIER), ("", MAN.name)]
    session.opened.chosen.discard(0)
    assert states(Settings())[0] == ("earlier", words.EARLIER)


def test_only_views_that_say_something_are_offered(session):
    take(session, [MAN])
    drawn = session.drawn(0, Settings())
    assert views(drawn) == [words.WHOLE, words.ONE, words.GUESSED]
    take(session, [MAN], references("man", 1))
    drawn = session.drawn(0, Settings())
    assert views(drawn)[-1] == words.TAKEN
    assert compared(drawn, words.ONE) == (drawn.before, drawn.after)
    assert compared(drawn, words.TAKEN) == (drawn.before, drawn.attribution)
    shown, overlay = compared(drawn, words.GUESSED)
    assert shown is drawn.after and overlay.shape == shown.shape and not overlay.equal(shown)


def test_people_are_listed_with_their_photographs(session):
    assert listed(session) == {"faces": [], "references": []}
    take(session, [TWO], [*references("two_people", 1, 2), *references("woman", 1)])
    session.opened.chosen.discard(0)
    value = listed(session)
    assert [(face["name"], face["on"]) for face in value["faces"]] == [("Face 1", False), ("Face 2", True)]
    assert all("% sure" in face["text"] for face in value["faces"])
    assert [[served["face"] for served in r["serves"]] for r in value["references"]] == [[0], [1], []]
    assert [(r["plain"], r["said"]) for r in value["references"]] == [(True, None), (True, None), (False, None)]
    session.belongs(2, 0)
    value = listed(session)
    assert value["references"][2]["serves"][0]["face"] == 0 == value["references"][2]["said"]


def test_a_group_photograph_is_listed_under_everybody_on_it(session):
    take(session, [TWO], references("two_people", 1, 2, 3))
    group = listed(session)["references"][2]
    assert [served["face"] for served in group["serves"]] == [0, 1]
    assert len({group["thumb"], *(served["thumb"] for served in group["serves"])}) == 3
