import numpy as np
from resemblance.core.training.faces import TRUNCATION, draw_person, open_faces


def test_a_person_is_a_number_and_nothing_else():
    (z, psi), (again, same), (other, _) = (draw_person(n) for n in (7, 7, 8))
    assert z.shape == (1, 512) and np.array_equal(z, again) and psi == same
    assert not np.array_equal(z, other)
    amounts = [draw_person(n)[1] for n in range(200)]
    low, high = TRUNCATION
    assert low <= min(amounts) < low + 0.02 and high - 0.02 < max(amounts) <= high


def test_an_array_of_faces_grows_and_keeps_what_it_has(tmp_path):
    path = tmp_path / "new/faces.u8"
    faces = open_faces(path, 2, 4)
    assert faces.shape == (2, 4, 4, 3) and not faces.any()
    faces[1] = 9
    faces.flush()
    more = open_faces(path, 3, 4)
    assert more.shape == (3, 4, 4, 3) and (more[1] == 9).all() and not more[2].any()
    assert len(open_faces(path, 1, 4)) == 3  # nothing is cut off
