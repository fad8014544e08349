from dataclasses import replace

import pytest
from by_hand import found


def test_faces_are_selected_by_number_order_and_size(run, photos):
    from resemblance.core.records import FaceQuality, PhotoFaces

    faces = found(photos, [(0, 0), (0, 100), (0, 200), (1, 0), (1, 100)])
    sides = (50, 90, 70, 30, 110)
    sharp = (0.9, 0.2, 0.5, 0.5, 0.5)
    given = PhotoFaces(
        tuple(
            replace(face, box=(face.box[0], 30.0, face.box[0] + side, 40.0), quality=FaceQuality(s, 20.0, 0.0, 0.0))
            for face, side, s in zip(faces.faces, sides, sharp, strict=True)
        ),
        faces.photos,
    )

    def kept(**settings):
        chosen, count = run("SelectFaces", faces=given, **settings).args
        assert count == len(chosen) and chosen.photos == given.photos
        return [(face.image, face.index) for face in chosen.faces]

    assert kept() == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert kept(indices="2") == [(0, 1), (1, 1)]
    assert kept(indices=" 1, 3-9") == [(0, 0), (0, 2), (1, 0)]
    assert kept(order="large-small", indices="1") == [(0, 1), (1, 1)]
    assert kept(order="large-small", indices="1", max_size=80) == [(0, 2), (1, 0)]
    assert kept(min_size=60, max_size=100) == [(0, 1), (0, 2)]
    assert kept(min_sharpness=0.4, max_sharpness=0.6) == [(0, 2), (1, 0), (1, 1)]
    assert kept(indices="7") == []
    for wrong in ("a", "1,,2", "3-1", "-1", "1.5"):
        with pytest.raises(ValueError, match=r"The indices were .*; expected numbers and ranges such as '1, 3-5'"):
            kept(indices=wrong)
