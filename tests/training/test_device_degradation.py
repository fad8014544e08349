"""The damage done by torch to batches, against the same done by OpenCV to one face."""

import numpy as np
import pytest
import torch
from resemblance.core.training.degradation import KERNEL, SEVERITIES, age, blur_kernel, degrade
from resemblance.core.training.device_degradation import Damages, age_batch, blur, degrade_batch, draw_damages, jpeg

cv2 = pytest.importorskip("cv2")
SIDE = 256


def picture(seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Smooth colours with edges and some grain, uint8 (side,side,3)."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.uniform(0, 255, (8, 8, 3)), (side, side), interpolation=cv2.INTER_CUBIC)
    image[side // 3 : side // 2, side // 4 : side // 2] = rng.uniform(0, 255, 3)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def to_batch(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of pictures in levels of 255."""
    return float(10 * torch.log10(255**2 / (a - b).square().mean()))


def test_blur_is_opencvs_filter_with_its_border():
    kernels = [blur_kernel(np.random.default_rng(seed), (2, 6)) for seed in range(3)]
    faces = [picture(seed) for seed in range(3)]
    expected = [
        cv2.filter2D(f.astype(np.float32), -1, k, borderType=cv2.BORDER_REFLECT)
        for f, k in zip(faces, kernels, strict=True)
    ]
    result = blur(to_batch(*faces), torch.from_numpy(np.stack(kernels)))
    assert torch.allclose(result, to_batch(*expected), atol=1e-2)


def test_blur_does_not_turn_a_kernel_round():
    kernel = torch.zeros(1, 3, 3)
    kernel[0, 0, 2] = 1  # what lies above and to the right
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.allclose(blur(image, kernel)[0, 0, 1:, :-1], image[0, 0, :-1, 1:], atol=1e-5)


@pytest.mark.parametrize("quality", [30, 60, 75, 95, 100])
def test_jpeg_is_opencvs(quality):
    face = picture()
    _, data = cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = to_batch(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].copy())
    result = jpeg(to_batch(face), torch.tensor([float(quality)]))
    assert psnr(result, expected) > 46
    assert (result - expected).abs().median() == 0
    # and is nothing else: what JPEG does to the picture is much more than the difference between both
    assert psnr(to_batch(face), expected) < psnr(result, expected) - 6


def test_each_face_has_its_own_jpeg_quality():
    batch = to_batch(picture(), picture())
    both = jpeg(batch, torch.tensor([20.0, 90.0]))
    assert torch.equal(both[:1], jpeg(batch[:1], torch.tensor([20.0])))
    assert psnr(both[0], batch[0]) < psnr(both[1], batch[1])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_damage_is_that_of_one_face(severity):
    side, ranges = 512, SEVERITIES[severity]
    faces, expected, noise, rows = [picture(s, side) for s in range(2)], [], torch.zeros(2, 3, side, side), []
    for seed, face in enumerate(faces):
        expected.append(degrade(face, severity, np.random.default_rng(seed)))
        # the same draws in the same order, handed over in place of drawn
        rng = np.random.default_rng(seed)
        kernel, n = blur_kernel(rng, ranges.sigma), round(side / rng.uniform(*ranges.shrink))
        noise[seed, :, :n, :n] = to_batch(rng.standard_normal((n, n, 3), np.float32))[0]
        rows.append((kernel, n, rng.uniform(*ranges.noise), int(rng.uniform(*ranges.jpeg))))
    damages = Damages(*(torch.from_numpy(np.array(c, np.float32)) for c in zip(*rows, strict=True)))
    result = degrade_batch(to_batch(*faces) / 255, damages, noise) * 255
    for got, wanted, face in zip(result, to_batch(*expected), to_batch(*faces), strict=True):
        assert psnr(got, wanted) > 45
        assert psnr(face, wanted) < psnr(got, wanted) - 10


def test_drawn_damage_lies_in_its_ranges():
    names = ["light"] * 40 + ["severe"] * 40
    drawn = draw_damages(np.random.default_rng(0), names, 512)
    assert drawn.kernels.shape == (80, KERNEL, KERNEL)
    assert torch.allclose(drawn.kernels.sum((1, 2)), torch.ones(80), atol=1e-5)
    light, severe = drawn.sides[:40], drawn.sides[40:]
    assert light.min() >= 256 and light.max() <= 512
    assert severe.min() >= 16 and severe.max() <= 64
    assert drawn.levels[:40].max() <= 6 < drawn.levels[40:].max() <= 20
    assert drawn.qualities[:40].min() >= 75 > drawn.qualities[40:].min() >= 30


def test_grey_and_sepia_are_those_of_one_face():
    class Fixed:
        def __init__(self, value):
            self.value = value

        def random(self):
            return self.value

    faces, kinds = [picture(s) for s in range(3)], [0.05, 0.1, 0.5]
    expected = to_batch(*(age(face, Fixed(kind)) for face, kind in zip(faces, kinds, strict=True)))
    result = age_batch(to_batch(*faces) / 255, torch.tensor(kinds)) * 255
    assert torch.allclose(result, expected, atol=1.51)  # there grey is rounded, sepia cut off to whole levels
    assert torch.equal(result[2], to_batch(faces[2])[0])
