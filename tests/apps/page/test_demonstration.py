import base64
import io

import pytest
from PIL import Image
from resemblance.core.apps.page import demonstration
from resemblance.core.apps.page.demonstration import EXAMPLES, SIDE, copied, demonstrate
from resemblance.core.apps.page.visitors import Visitor


def picture(address):
    return Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("L")


def test_a_face_is_restored_as_the_page_starts(studio, tmp_path):
    shown = demonstrate(studio, tmp_path)
    before, after = picture(shown.before), picture(shown.after)
    assert before.size == after.size == (SIDE, SIDE)

    def edges(image):
        return sum(abs(a - b) for a, b in zip(image.tobytes(), image.tobytes()[1:], strict=False))

    assert edges(after) > 1.3 * edges(before)
    assert [name for name, _, _ in shown.examples] == list(EXAMPLES)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_copied_to_the_visitor(tmp_path, name):
    visitor = Visitor.known_by("a" * 32, tmp_path)
    photos, others = copied(name, visitor)
    assert len(photos) == 1 and len(others) == len(EXAMPLES[name].others)
    for path in (*photos, *others):
        assert visitor.owns(str(path)) and path.read_bytes() == (demonstration.PLACE / path.name).read_bytes()


def test_an_example_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected one of ruined, with others, group"):
        copied("../../secret", Visitor.known_by("a" * 32, tmp_path))
