from collections import namedtuple

import numpy as np
import pytest
from by_hand import found


def test_segs_go_out_and_come_back(run, photos):
    crops = run("CropFaces", faces=found(photos[:1], [(0, 0), (0, 180)]), image=photos[:1], margin=0.1)[0]
    (height, width), segs = run("FacesToSegs", crops=crops, image=photos[:1])[0]
    assert (height, width) == (240, 400) and len(segs) == 2
    for seg in segs:
        x0, y0, x1, y1 = seg.crop_region
        assert np.array_equal(seg.cropped_image, photos[:1, y0:y1, x0:x1].numpy())
        assert (
            seg.cropped_mask.shape == (y1 - y0, x1 - x0) and 0 <= seg.cropped_mask.min() < seg.cropped_mask.max() <= 1
        )
    # The mask lies where Paste would put the face.
    applied = run("PasteFaces", image=photos[:1], crops=crops, restored=crops.pixels.movedim(1, -1))[1][0]
    (x0, y0, x1, y1), mask = segs[0].crop_region, segs[0].cropped_mask
    assert np.abs(mask[:, :150] - applied[y0:y1, x0:x1].numpy()[:, :150]).max() < 0.05
    theirs = namedtuple("SEG", "cropped_image cropped_mask confidence crop_region bbox label control_net_wrapper")
    given = ((240, 400), [theirs(None, None, np.float32(0.5), [0, 0, 200, 240], [40, 30, 150, 190], "face", None)])
    faces = run("SegsToFaces", segs=given, image=photos[:1])[0]
    assert faces.faces[0].box == (39.5, 29.5, 149.5, 189.5) and faces.faces[0].score == 0.5
    assert len(run("SegsToFaces", segs=((240, 400), []), image=photos[:1])[0]) == 0

    alone = [theirs(None, None, None, [0, 0, 60, 240], np.array([0, 0, 60, 240]), "person", None)]
    with pytest.raises(ValueError, match="In none of the 1 regions a face was seen"):
        run("SegsToFaces", segs=((240, 400), alone), image=photos[:1])
