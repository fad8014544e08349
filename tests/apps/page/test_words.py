from pages import MAN, WOMAN, references, take
from resemblance.core.apps.page import words
from resemblance.core.apps.page.graph import Settings


def test_words_of_visitors_are_escaped():
    said = words.status("<script>alert(1)</script>.jpg: not a picture", "bad")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.jpg: not a picture" in said and "<script" not in said


def test_identity_is_told_in_words(session):
    take(session, [MAN])
    text = words.identity(session.drawn(0, Settings()), 0, session.matched())
    assert "Nobody can say yet" in text and "likeness" not in text
    take(session, [MAN], references("man", 1))
    drawn = session.drawn(0, Settings())
    text = words.identity(drawn, 0, session.matched())
    before, after = drawn.likeness
    sure = session.matched().matches[0].chance
    assert f"{before:.2f} before, {after:.2f} after" in text and "Likeness rises by copying alone" in text
    assert f"It is {sure:.0%} sure that it is the same person, by its likeness before." in text
    session.belongs(0, 0)
    text = words.identity(session.drawn(0, Settings()), 0, session.matched())
    sure = session.matched().matches[0].chance
    assert f"It is {sure:.0%} sure that it is the same person, by what you said and its likeness before." in text
    take(session, [WOMAN], references("man", 1))
    text = words.identity(session.drawn(0, Settings()), 0, session.matched())
    assert "without the reference photographs" in text
