import re
from pathlib import Path

import numpy as np
from pages import MAN, TWO, WOMAN, references, take
from PIL import Image
from resemblance.core.apps.page import words
from resemblance.core.apps.page.graph import Settings
from resemblance.core.apps.page.people import NOBODY


def test_who_is_who_is_found_out(session, tmp_path):
    empty = tmp_path / "wall.png"
    Image.fromarray(np.full((300, 400, 3), 128, np.uint8)).save(empty)
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear Anna")
    given = [*references("two_people", 1, 2, 3), *references("woman", 1), empty, letter]
    take(session, [TWO], given)
    verdicts = session.matched().verdicts
    assert [bool(verdict.serves) for verdict in verdicts] == [True, True, True, False, False, False]
    for n, verdict in enumerate(verdicts[:2]):
        assert words.verdict(verdict) == f"Used for face {n + 1} ({session.matched().matches[n].chance:.0%} sure)."
    assert [served.face for served in verdicts[2].serves] == [0, 1] and verdicts[2].plain  # it shows both
    assert " and face 2 (" in words.verdict(verdicts[2])
    assert re.match(
        r"Not used: no face here is likely to be this person \(the likeliest is face [12], \d+% sure\)\. If you know",
        words.verdict(verdicts[3]),
    )
    assert words.verdict(verdicts[4]) == "Not used: no face was found in it; expected a photograph that shows one."
    assert words.verdict(verdicts[5]).startswith("Not used: not a picture that can be read")
    for face in (0, 1):
        sources = {Path(source).name for source, _ in session.drawn(face, Settings()).taken}
        assert sources == {f"two_people_reference_{face + 1}.jpg", "two_people_reference_3.jpg"}


def test_what_is_said_by_hand_holds(session):
    take(session, [WOMAN], references("man", 1, 2))
    assert session.drawn(0, Settings()).likeness is None
    session.belongs(0, 0)
    assert session.matched().matches[0].by_hand and session.said_of(0) == 0
    # The other one is of the same man, as it shows.
    assert [bool(verdict.serves) for verdict in session.matched().verdicts] == [True, True]
    assert len(session.drawn(0, Settings()).taken) == 2
    session.belongs(0, NOBODY)
    assert words.verdict(session.matched().verdicts[0]) == "Left out, as you said."
    session.belongs(0, None)
    assert [bool(verdict.serves) for verdict in session.matched().verdicts] == [False, False]


def test_what_is_said_by_hand_is_doubted_where_much_speaks_against_it(biased):
    doubting = biased(-7.0)
    take(doubting, [MAN], references("man", 1, 2))
    # Nothing is of one person: each photograph is its own, and no face is likely to be either.
    assert {person for _, person in doubting.matched().named} == {"person 1", "person 2"}
    assert all("the likeliest is face 1, 1% sure" in words.verdict(verdict) for verdict in doubting.matched().verdicts)
    doubting.belongs(0, 0)
    first = doubting.matched().verdicts[0]
    assert first.serves and not first.plain
    assert words.verdict(first) == "Used for face 1, as you said, but probably somebody else (3% likely)."
    believing = biased(0.0)
    take(believing, [MAN], references("man", 1))
    believing.belongs(0, 0)
    assert words.verdict(believing.matched().verdicts[0]) == "Used for face 1 (as you said)."


def test_who_is_said_to_be_one_face_is_no_other(session):
    take(session, [TWO], references("two_people", 1))
    assert [found.person for found in session.matched().matches] == ["person 1", None]
    session.belongs(0, 1)
    assert [found.person for found in session.matched().matches] == [None, "person 1"]
    assert session.matched().manual == {0: None, 1: "person 1"}
    session.belongs(0, None)
    assert [found.person for found in session.matched().matches] == ["person 1", None]


def test_a_person_may_be_on_two_faces(biased):
    certain = biased(7.0)
    take(certain, [TWO], references("two_people", 1, 2))
    matched = certain.matched()
    assert {person for _, person in matched.named} == {"person 1"}  # all are one
    first, second = (f"face {n + 1} ({found.chance:.0%} sure)" for n, found in enumerate(matched.matches))
    assert [words.verdict(verdict) for verdict in matched.verdicts] == [f"Used for {first} and {second}."] * 2


def test_a_doubtful_photograph_is_told_of(biased):
    doubtful = biased(-1.5)  # by which two photographs are not joined, but believed where they were
    take(doubtful, [MAN], references("man", 1, 2))
    assert {person for _, person in doubtful.matched().named} == {"person 1", "person 2"}
    doubtful.belongs(0, 0)
    doubtful.belongs(1, 0)
    told = "Used for face 1 (as you said). It counts for less: it may show somebody else than the others (67% sure)."
    assert [words.verdict(verdict) for verdict in doubtful.matched().verdicts] == [told] * 2
