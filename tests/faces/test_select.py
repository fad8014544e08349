import pytest
import torch
from resemblance.core.faces.select import Choice, measure_faces, parse_indices, select_faces
from resemblance.core.geometry import TEMPLATE
from resemblance.core.records import Face, FaceQuality


def face(image: int, index: int, side: float, sharpness: float | None = None) -> Face:
    quality = None if sharpness is None else FaceQuality(sharpness, side / 3, 0.0, 0.0)
    left = 300.0 - 100 * index
    return Face(image, index, (left, 10.0, left + side / 2, 10.0 + side), 0.5 + 0.1 * index, ((0.0, 0.0),) * 5, quality)


FACES = [face(0, 0, 50, 0.9), face(0, 1, 90, 0.2), face(0, 2, 70), face(2, 0, 30, 0.5), face(2, 1, 110, 0.5)]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), [0, 1, 2, 3, 4]),
        (Choice(indices="2"), [1, 4]),
        (Choice(indices="1, 3-9"), [0, 2, 3]),
        (Choice("large-small", "1"), [1, 4]),
        (Choice("large-small", "1", max_size=80), [2, 3]),
        (Choice("left-right", "1"), [2, 4]),  # they were numbered from the right
        (Choice("score", "1-2"), [1, 2, 3, 4]),
        (Choice("large-small"), [0, 1, 2, 3, 4]),
        (Choice(min_size=70, max_size=90), [1, 2]),
        (Choice(min_sharpness=0.4, max_sharpness=0.6), [2, 3, 4]),  # what was not measured passes
        (Choice(indices="7"), []),
    ],
)
def test_faces_are_selected(choice, expected):
    assert select_faces(FACES, choice) == [FACES[n] for n in expected]


def test_indices_are_numbers_and_ranges():
    assert parse_indices("") is parse_indices("  ") is None
    assert parse_indices("3") == {2} and parse_indices(" 1,3 - 5, 4 ") == {0, 2, 3, 4}
    for wrong in ("a", "1,,2", "3-1", "-1", "1.5", "1;2", "0", "0-2", "9999999"):
        with pytest.raises(ValueError, match=r"indices were '.*'; expected numbers and ranges such as '1, 3-5'"):
            parse_indices(wrong)


def test_an_unknown_order_is_named():
    with pytest.raises(ValueError, match="order was 'size'; expected one of number, left-right"):
        select_faces(FACES, Choice("size"))


def test_faces_are_measured_and_what_is_none_left_out(caplog):
    rng = torch.Generator().manual_seed(0)
    crisp = torch.rand(3, 512, 512, generator=rng)
    soft = torch.nn.functional.interpolate(torch.rand(1, 3, 20, 20, generator=rng), (512, 512), mode="bicubic")[0]
    good = [Face(n, 0, (0.0, 0.0, 9.0, 9.0), 1.0, TEMPLATE) for n in (0, 1)]
    swapped = tuple((512 - x, y) for x, y in TEMPLATE)
    swapped = Face(1, 1, (0.0, 0.0, 9.0, 9.0), 1.0, swapped)
    measured = measure_faces([crisp, soft.clamp(0, 1)], [*good, swapped])
    assert [(f.image, f.index) for f in measured] == [(0, 0), (1, 0)] and "It is left out" in caplog.text
    assert measured[1].quality.sharpness < 0.3 and measured[0].quality.size == pytest.approx(125.9, abs=0.1)
