import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips", "skimage"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from PIL import Image
from resemblance.core.training import gallery

EXAMPLES = Path(__file__).parents[2] / "nodes" / "examples"


class Mirror:
    """A restorer that mirrors faces."""

    name, fingerprint, licence, network = "mirror", "0" * 16, "none", None
    with_tokens = None

    def restore(self, faces, fidelity=None, progress=None):
        return faces.flip(-1)


def test_the_gallery_shows_the_face_and_what_was_done(detect):
    photo = torch.zeros(3, 300, 400)
    photo[:, 100:200, 240:340] = 1  # a box of 100 px, whose surroundings of 170 px reach over the edge
    around = gallery._around(photo, (240.0, 100.0, 339.0, 199.0))
    assert around.shape == (3, gallery.SIDE, gallery.SIDE)
    assert float(around.mean()) == pytest.approx(1 / gallery.AROUND**2, rel=0.05)
    case = gallery.Case("", "grey", shrink=2)
    pictures = gallery.before_and_after(case, torch.full((3, 96, 80), 0.5), Mirror(), detect)
    assert [words for _, words in pictures] == ["grey, 1/2", "no face found", "as it was"]
    face = torch.from_numpy(np.array(Image.open(EXAMPLES / "woman_damaged.jpg"))).permute(2, 0, 1) / 255
    (before, words), (after, said) = gallery.before_and_after(gallery.Case("", "woman"), face, Mirror(), detect)
    assert (words, said.split(",")[0]) == ("woman", "restored")
    changed = (before - after).abs().mean(0)
    third = gallery.SIDE // 3
    assert changed[third:-third, third:-third].mean() > 0.02
    assert changed[:8, :8].max() == 0  # outside the face
