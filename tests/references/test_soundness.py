from dataclasses import replace

import pytest
import torch
from resemblance.core.records import FaceQuality, Person, References
from resemblance.core.references.soundness import LARGEST, check_shape, check_sound


def somebody(name="anna", count=2):
    latent, unit = torch.zeros(count, 4, 8, 8), torch.eye(count, 3)
    skips = {16: torch.zeros(count, 5, 16, 16, dtype=torch.bfloat16)}
    faces, sources = torch.zeros(count, 3, 512, 512), tuple(f"{n}.jpg" for n in range(count))
    return Person(name, faces, latent, latent.clone(), skips, unit, unit.clone(), (1.0,) * count, sources)


def of(*people, **changes):
    return replace(References(people, "0" * 16, "built-in", ("c" * 16,) * 2), **changes)


def test_what_is_sound():
    check_sound(of())
    check_sound(of(somebody(), somebody("bob", 1), refused=(("a", "b"),), doubted=(("c", "d"),)))
    quality = FaceQuality(0.5, 60.0, 0.01, 0.2)
    check_sound(of(replace(somebody(), given=(1.0, 2), qualities=(quality, quality), weights=(0.5, 1e6))))


@pytest.mark.parametrize("count", [0, 9])
def test_numbers_of_photographs(count):
    with pytest.raises(ValueError, match=f"{count} photographs of one person; expected 1 to 8"):
        check_shape("0.faces", (count, 3), count)


@pytest.mark.parametrize("shape", [(), (2, 3), (3, 0), (3, LARGEST + 1), (3, 1 << 40, 1 << 40)])
def test_shapes_of_tensors(shape):
    check_shape("x", (3, LARGEST), 3)
    with pytest.raises(ValueError, match=r"'x' has the shape .*; expected 3 rows of 1 to \d+ numbers"):
        check_shape("x", shape, 3)


# What else is refused is tried where files are read (`test_saving`): there it is seen to come from a file.


@pytest.mark.parametrize(
    ("references", "clause"),
    [
        (of(restorer=None), "fingerprint is None; expected sixteen"),
        (of(embedder="x"), "embedder is 'x'; expected one of insightface, built-in"),
        (of(somebody(), somebody()), r"names are \['anna', 'anna'\]; expected each once"),
        (of(replace(somebody(), skips={"16": torch.zeros(2)})), r"sides \['16'\]; expected whole numbers"),
        (of(replace(somebody(), weights=(1.0,))), "'anna' has 1 weights of 2 photographs; expected one for each"),
        (
            of(replace(somebody(), faces=torch.ones(2, 3, 512, 512) * 2)),
            "'faces' of 'anna' holds 2 to 2; expected 0 to 1",
        ),
    ],
)
def test_what_is_not_sound(references, clause):
    with pytest.raises(ValueError, match=clause):
        check_sound(references)
