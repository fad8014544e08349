from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.faces.measure import blur_level, measure_quality, noise_levels, severity_of, shades, smooth
from resemblance.core.files.images import read_photo
from resemblance.core.geometry import TEMPLATE, scaling, transform
from resemblance.core.pipeline import SHARP
from resemblance.core.records import Face, FaceQuality

cv2 = pytest.importorskip("cv2")
data = pytest.importorskip("skimage.data")

# Eyes, nose and corners of the mouth of skimage's astronaut (NASA, public domain), by hand.
ASTRONAUT = ((203.0, 101.0), (249.0, 102.0), (227.0, 126.0), (206.0, 140.0), (246.0, 140.0))


def as_photo(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.clip(0, 255))).permute(2, 0, 1).float() / 255


def quality(image: np.ndarray, landmarks=ASTRONAUT) -> FaceQuality:
    face = Face(0, 0, (0, 0, 1, 1), 1.0, landmarks)
    return measure_quality(crop_faces([as_photo(image)], [face]))[0]


def leaves(size: int = 512, seed: int = 0) -> np.ndarray:
    """Dead leaves: discs of all sizes over one another, with sharp edges and flat insides, as float (size,size,3)."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), 128, np.uint8)
    for radius in sorted(rng.uniform(25, 110, 60), reverse=True):
        centre = tuple(int(v) for v in rng.integers(0, size, 2))
        cv2.circle(image, centre, int(radius), tuple(int(v) for v in rng.integers(40, 215, 3)), -1, cv2.LINE_AA)
    return image.astype(np.float32)


ALIGNED = tuple(map(tuple, TEMPLATE))


@pytest.fixture(scope="module")
def portrait() -> torch.Tensor:
    photo = read_photo(Path(__file__).parents[2] / "nodes" / "examples" / "woman_truth.jpg").pixels[None]
    return crop_faces(photo, detect_faces(photo, backend="built-in")).pixels[0]


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("blur", [1.0, 2.0, 4.0])
def test_blur_is_found_in_pixels(blur, noise):
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(leaves(), (0, 0), blur)[..., 1] / 255
    image = torch.from_numpy(image + rng.standard_normal(image.shape).astype(np.float32) * noise)
    found = blur_level(image, torch.ones_like(image), noise, 1.0, (1.5, 3.0))
    assert found == pytest.approx(blur, rel=0.25)


def test_gaussian_agrees_with_opencv():
    image = torch.rand(1, 40, 50)
    for sigma in (0.6, 2.0):
        reach = int(np.ceil(3 * sigma)) * 2 + 1
        expected = cv2.GaussianBlur(image[0].numpy(), (reach, reach), sigma, borderType=cv2.BORDER_REPLICATE)
        torch.testing.assert_close(smooth(image, sigma)[0], torch.from_numpy(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("noise", [0.01, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0, 1.7])
def test_noise_within_a_quarter(noise, scale):
    # A turned face of 512 * scale px in a photograph with noise of its own.
    side = round(640 * scale)
    image = cv2.GaussianBlur(cv2.resize(leaves(640), (side, side), interpolation=cv2.INTER_AREA), (0, 0), 1)
    image += np.random.default_rng(2).standard_normal(image.shape).astype(np.float32) * noise * 255
    turn = torch.tensor([[0.97, -0.24, 110], [0.24, 0.97, 10]], dtype=torch.float64)
    points = transform(scaling(scale), transform(turn, torch.tensor(TEMPLATE)))
    found = quality(image, tuple((x, y) for x, y in points.tolist())).noise
    # Where the template shrinks the photograph, averaging leaves this share of the noise.
    assert found == pytest.approx(noise / max(1.0, scale), rel=0.25)


def test_noise_of_each_channel_and_where_the_weight_is():
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.01, 0.03, 0.06])
    picture = 0.5 + torch.randn(3, 256, 256, generator=generator) * spread[:, None, None]
    torch.testing.assert_close(noise_levels(picture), spread, rtol=0.06, atol=0)
    picture[:, :, :128] = 0.5
    weight = torch.zeros(256, 256)
    weight[:, 128:] = 1
    torch.testing.assert_close(noise_levels(picture, weight), spread, rtol=0.1, atol=0)
    assert float(noise_levels(torch.rand(3, 8, 8)).max()) == 0  # too small to tell


def test_sharpness_falls_with_blur():
    levels = [quality(cv2.GaussianBlur(leaves(), (0, 0), b) if b else leaves(), ALIGNED) for b in (0, 1, 2, 3, 4, 6, 8)]
    sharpness = [level.sharpness for level in levels]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[0] > 0.9 and sharpness[-1] < 0.1
    assert all(a - b > 0.05 for a, b in pairwise(sharpness[1:]))


def test_noise_is_not_taken_for_sharpness():
    blurred = cv2.GaussianBlur(leaves(), (0, 0), 3)
    noisy = blurred + np.random.default_rng(0).standard_normal(blurred.shape).astype(np.float32) * 0.05 * 255
    assert quality(noisy, ALIGNED).sharpness == pytest.approx(quality(blurred, ALIGNED).sharpness, abs=0.1)


def test_astronaut():
    image = data.astronaut().astype(np.float32)
    clean = quality(image)
    assert clean.size == pytest.approx(np.hypot(46, 1))
    # 190 px of a good photograph, enlarged to 512: crisp edges, but not the finest texture.
    assert 0.7 < clean.sharpness < 0.95
    blurred = quality(cv2.GaussianBlur(image, (0, 0), 2))
    assert blurred.sharpness < clean.sharpness - 0.2
    noisy = quality(image + np.random.default_rng(0).standard_normal(image.shape).astype(np.float32) * 0.08 * 255)
    assert noisy.noise > clean.noise + 0.04
    assert blurred.severity > clean.severity and noisy.severity > clean.severity


def test_margin_and_size_of_the_crop_change_little():
    image = as_photo(leaves(900))
    landmarks = tuple((x + 180, y + 180) for x, y in TEMPLATE)
    face = Face(0, 0, (0, 0, 1, 1), 1.0, landmarks)
    plain = measure_quality(crop_faces([image], [face]))[0]
    wide = measure_quality(crop_faces([image], [face], size=1024, margin=0.5))[0]
    assert wide.sharpness == pytest.approx(plain.sharpness, abs=0.1)
    assert wide.size == plain.size


def test_nothing_to_see():
    for value in (0.0, 128.0, 255.0):
        found = quality(np.full((512, 512, 3), value, np.float32), ALIGNED)
        assert found.sharpness == 0 and found.noise == 0 and found.severity == 1
    assert measure_quality(crop_faces([torch.zeros(3, 50, 50)], [])) == []


def test_damage_of_a_batch_is_that_of_each_face():
    faces = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    faces[1] = torch.nn.functional.avg_pool2d(faces[1:], 9, 1, 4)[0]
    both = severity_of(faces)
    assert both == pytest.approx([severity_of(faces[:1])[0], severity_of(faces[1:])[0]], abs=1e-5)
    assert all(0 <= value <= 1 for value in both)
    assert severity_of(faces[:0]) == []


def test_every_kind_of_damage_counts(portrait):
    """Above where the product begins to touch a face; the undamaged one lies below."""
    clean = (portrait.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    rng = np.random.default_rng(0)
    _, data = cv2.imencode(".jpg", clean[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 10])
    small = cv2.resize(clean, (64, 64), interpolation=cv2.INTER_AREA)
    spoilt = {
        "compressed": np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1],
        "noisy": clean + 25 * rng.standard_normal(clean.shape),
        "blurred": cv2.GaussianBlur(clean, (0, 0), 3),
        "small": cv2.resize(small, (512, 512), interpolation=cv2.INTER_NEAREST),
    }
    (undamaged,) = severity_of(portrait[None])
    assert undamaged < SHARP
    found = {name: severity_of(as_photo(picture)[None])[0] for name, picture in spoilt.items()}
    assert min(found.values()) > 2 * SHARP, found
    assert found["small"] > found["compressed"]


def test_noise_counts_where_the_network_takes_it_for_texture(monkeypatch):
    monkeypatch.setattr("resemblance.core.faces.measure.severity_of", lambda faces: [0.0] * len(faces))
    grain = np.random.default_rng(0).standard_normal((512, 512, 3)).astype(np.float32)
    image = cv2.GaussianBlur(leaves(), (0, 0), 1)
    found = [quality(image + level * 255 * grain, ALIGNED) for level in (0.0, 0.05, 0.2)]
    assert found[0].severity == 0 and found[2].severity == 1
    assert found[1].severity == pytest.approx(0.5, abs=0.1)


def test_shades_are_counted_whatever_the_contrast(portrait):
    ramp = torch.linspace(0, 1, 512).expand(3, 512, 512)
    assert shades(ramp) == pytest.approx(shades(0.4 + 0.1 * ramp), abs=0.05) and 5.5 < shades(ramp) <= 6
    assert shades((ramp > 0.5).float()) == pytest.approx(1, abs=0.01)
    assert 1.7 < shades((4 * ramp).floor() / 4) < 2  # the outer quarters hold less of the face
    assert shades(torch.full_like(ramp, 0.3)) == 0
    assert shades(portrait) > 4.6
