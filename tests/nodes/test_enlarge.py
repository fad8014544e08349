"""Restore Faces makes pictures larger: plainly, or by an upscale model."""

import json

import pytest
import torch


class Tripled(torch.nn.Module):
    """As core's loader gives upscale models: three times as large, and darker, so that it shows."""

    scale = 3

    def __init__(self):
        super().__init__()
        self.model = torch.nn.Identity()

    def forward(self, pictures):
        return pictures.repeat_interleave(3, -1).repeat_interleave(3, -2) * 0.5


@pytest.fixture
def enlarge(nodes):
    from resemblance.nodes import enlarge

    return enlarge


def test_sizes(enlarge):
    assert enlarge.size_of(240, 401, 2.5) == (600, 1002)
    picture = torch.rand(1, 3, 24, 40)
    assert enlarge.resized(picture, (24, 40)) is picture and enlarge.resized(picture, (36, 60)).shape == (1, 3, 36, 60)
    assert float(enlarge.resized(picture.round(), (36, 60)).min()) >= 0


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0])
def test_a_model_decides_how_it_looks_and_the_scale_how_large(enlarge, photos, scale):
    larger = enlarge.upscaled(Tripled(), photos, scale)
    assert larger.shape == (2, 3, round(240 * scale), round(400 * scale))
    back = torch.nn.functional.interpolate(larger, (240, 400), mode="area")
    assert (back - 0.5 * photos.movedim(-1, 1)).abs().mean() < 0.01


def test_faces_are_pasted_into_the_larger_picture(run):
    damaged, _ = run("ExamplePhoto", name="woman").args[:2]
    given = {"image": damaged, "detector": "built-in"}
    small, small_mask, _ = run("RestoreFaces", **given).args
    plain, mask, report = run("RestoreFaces", **given, scale=2.0).args
    assert plain.shape[1:3] == (2 * damaged.shape[1], 2 * damaged.shape[2]) == mask.shape[1:3]
    (face,) = json.loads(report)["images"][0]["faces"]
    assert face["strength"] == 1
    modelled, same, _ = run("RestoreFaces", **given, scale=2.0, upscale_model=Tripled()).args
    assert torch.equal(same, mask)
    outside = mask == 0
    assert (modelled[outside] - 0.5 * plain[outside]).abs().mean() < 0.02, "the model draws what is no face"
    down = torch.nn.functional.avg_pool2d(plain.movedim(-1, 1), 2).movedim(1, -1)
    inside = small_mask > 0.99
    assert (down[inside] - small[inside]).abs().mean() < 0.02, "the face is the one that is pasted at its own size"


def test_a_fourth_channel_grows_too(run):
    damaged = run("ExamplePhoto", name="woman")[0]
    alpha = torch.zeros_like(damaged[..., :1])
    alpha[:, : alpha.shape[1] // 2] = 1
    image = run("RestoreFaces", image=torch.cat([damaged, alpha], -1), detector="built-in", scale=1.5)[0]
    assert image.shape[-1] == 4 and image[0, 5, :, 3].min() > 0.99 and image[0, -5, :, 3].max() < 0.01
