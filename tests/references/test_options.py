import pytest
from resemblance.core.references.options import ReferenceOptions


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strength": 2.0}, "strength of the references was 2"),
        ({"match_threshold": 1.0}, "threshold of matching was 1; expected a chance"),
    ],
)
def test_options_out_of_range(settings, words):
    with pytest.raises(ValueError, match=words):
        ReferenceOptions(**settings)
