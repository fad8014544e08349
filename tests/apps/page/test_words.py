import string

import pytest
from pages import MAN, TWO, WOMAN, references, take
from resemblance.core.apps.page import words
from resemblance.core.apps.page.graph import Settings


def test_words_of_visitors_are_escaped():
    said = words.status("<script>alert(1)</script>.jpg: not a picture", "bad")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.jpg: not a picture" in said and "<script" not in said
    assert "<b>" not in words.saved("<b>.png", "address")


def test_how_true_a_face_is_is_told_in_words(session):
    take(session, [MAN])
    drawn = session.drawn(0, Settings())
    text = words.trust(drawn, 0, session.matched())
    assert f"<b>There is nothing yet to check face 1 against.</b> Guessed: {drawn.invented:.0%}." in text
    assert f"About {drawn.invented:.0%} of this face is the program&#x27;s guess" in text
    take(session, [MAN], references("man", 1))
    drawn = session.drawn(0, Settings())
    text = words.trust(drawn, 0, session.matched())
    before, after = drawn.likeness
    sure = session.matched().matches[0].chance
    assert f"<b>Face 1 matches your photos: yes, {sure:.0%}.</b>" in text and sure > 0.8
    assert f"Likeness to your other photos rose: {before:.2f} before, {after:.2f} after" in text and after > before
    assert "Likeness rises by copying alone" in text
    take(session, [WOMAN], references("man", 1))
    text = words.trust(session.drawn(0, Settings()), 0, session.matched())
    assert "restored without your other photos: it is probably nobody on them" in text


def test_a_face_is_described_in_few_words(session):
    take(session, [TWO], references("two_people", 1))
    assert words.state(session.opened, 1, session.matched()) == "Badly damaged"
    sure = session.matched().matches[0].chance
    assert words.state(session.opened, 0, session.matched()) == f"Damaged; {sure:.0%} sure"
    session.belongs(0, 1)
    assert words.state(session.opened, 1, session.matched()) == "Badly damaged; as you said"


@pytest.mark.parametrize("name", [name for name in vars(words) if name.isupper()])
def test_no_word_of_the_workshop_is_said(name):
    value = vars(words)[name]
    said = " ".join(value.values()) if isinstance(value, dict) else str(value)
    spoken = set(said.lower().translate(str.maketrans("", "", string.punctuation)).split())
    assert not spoken & {"token", "tokens", "codebook", "latent", "quality", "content", "reference", "references"}
