import pytest
from resemblance.core.records import Face, References
from resemblance.core.references.names import check_names, check_numbers, parse_manual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("1=anna", {0: "anna"}),
        (" 1 = Anna Maria , 2=none,", {0: "Anna Maria", 1: None}),
        ("1=a\n4=b", {0: "a", 3: "b"}),
    ],
)
def test_manual(text, expected):
    assert parse_manual(text) == expected


@pytest.mark.parametrize("text", ["anna", "1=", "-1=anna", "1=a, 1=b", "x=anna", "0=anna"])
def test_manual_that_cannot_be_read(text):
    with pytest.raises(ValueError, match=r"The matches were .* expected numbers of faces, from 1, and names"):
        parse_manual(text)


def test_names_of_nobody():
    nobody = References((), "0" * 16, "built-in", ("c" * 16, "c" * 16))
    check_names([], nobody)
    with pytest.raises(ValueError, match="'anna' is not among the people of the references; expected one of nobody"):
        check_names(["anna"], nobody)


def test_names_of_people_to_come_count():
    check_names(["person"], None, ["person"])
    with pytest.raises(ValueError, match="'zoe' is not among the people of the references; expected one of person"):
        check_names(["zoe"], None, ["person"])


def test_a_number_that_no_face_has_is_refused():
    faces = [Face(image, index, (0.0, 0.0, 9.0, 9.0), 1.0, ()) for image, index in ((0, 0), (1, 0), (1, 1))]
    check_numbers({0: "anna", 1: None}, faces)
    with pytest.raises(ValueError, match="8=anna names no face: expected one of the faces 1, 2"):
        check_numbers({7: "anna"}, faces)
    with pytest.raises(ValueError, match="6=none names no face"):
        check_numbers({5: None}, faces)
    check_numbers({0: "anna"}, [])  # a photograph without faces is no mistake
