import pytest
import torch
from resemblance.core.records import Crops, Lookup, ReferenceFeatures


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "farthest"}, "mode was 'farthest'; expected 'auto', 'nearest', 'top-k', 'mean'"),
        ({"k": 0}, "k=0, temperature=1.0; expected k >= 1 and temperature > 0"),
        ({"temperature": 0.0}, "k=4, temperature=0.0; expected"),
        ({"temperature": float("nan")}, "temperature=nan; expected"),
    ],
)
def test_lookups_that_make_no_sense(settings, words):
    with pytest.raises(ValueError, match=words):
        Lookup(**settings)


def test_crops_are_as_many_as_their_faces_and_as_large_as_their_pixels():
    crops = Crops(torch.zeros(0, 3, 64, 64), torch.zeros(0, 1, 64, 64), torch.zeros(0, 2, 3), 0.0, (), ((4, 4),))
    assert (len(crops), crops.size) == (0, 64)


def features(value):
    """Of one face, all of one value."""
    x = torch.full((1, 1), float(value))
    return ReferenceFeatures({32: x, 64: x + 1}, x, {32: x}, {}, {32: x}, x, x)


def test_a_change_reaches_each_tensor_with_the_same_of_others():
    joined = features(1).each(lambda own, other: torch.cat([own, 10 * other]), features(5))
    assert joined.latent.tolist() == joined.style.tolist() == joined.gates[32].tolist() == [[1.0], [50.0]]
    assert joined.warped[64].tolist() == [[2.0], [60.0]] and joined.words == {}
