"""What is measured on a face that stays as it is holds for all its frames."""

from dataclasses import replace
from pathlib import Path

import torch
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.faces.frames import pooled
from resemblance.core.files.images import read_photo
from resemblance.core.loading import load_models
from resemblance.core.pipeline import restore_photos

EXAMPLES = Path(__file__).parents[2] / "nodes" / "examples"


def grainy(photo, seed, level):
    return (photo + level * torch.randn(photo.shape, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)


def test_frames_that_differ_by_noise_alone_are_restored_alike():
    models = load_models(detector="built-in")
    still = read_photo(EXAMPLES / "woman_truth.jpg").pixels
    frames = torch.stack([grainy(still, seed, level) for seed, level in enumerate((0.025, 0.035, 0.03, 0.04))])
    faces = detect_faces(frames, models.detector)
    alone = [restore_photos(frames[face.image, None], models, [replace(face, image=0)]).faces[0] for face in faces]
    blends = [report.restored.blend if report.restored else 0 for report in alone]
    assert max(blends) - min(blends) > 0.05, "by themselves they differ"
    together = [report.restored.blend for report in restore_photos(frames, models, faces).faces]
    assert max(together) - min(together) == 0 and min(blends) < together[0] < max(blends)


def test_other_people_and_other_places_are_measured_by_themselves():
    detector = load_models(detector="built-in").detector
    woman, man = (read_photo(EXAMPLES / f"{name}_truth.jpg").pixels for name in ("woman", "man"))
    photos = torch.stack([woman, man, woman, grainy(woman, 0, 0.02), woman.roll(300, -1)])
    crops = crop_faces(photos, detect_faces(photos, detector))
    values = [float(2**face.image) for face in crops.faces]
    found = dict(zip([face.image for face in crops.faces], pooled(crops, values), strict=True))
    assert (found[0], found[1], found[2], found[3]) == (1, 2, 6, 6) and found.get(4, 16) == 16
    one = crop_faces(photos[:1], detect_faces(photos[:1], detector))
    assert pooled(one, [0.5]) == [0.5]
