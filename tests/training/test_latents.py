import numpy as np
import pytest
import torch
from resemblance.core.models.generative import GenerativeNet
from resemblance.core.models.styled_decoder import DecoderConfig
from resemblance.core.training.latents import clean_latents, open_latents, read_latents


def test_latents_are_read_as_they_were_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"training\.latents"):
        open_latents(tmp_path)
    generator = torch.Generator().manual_seed(2)
    numbers = torch.randn(3, 385, 32, 32, generator=generator).bfloat16()
    codes = torch.randint(1024, (3, 1024), generator=generator)
    planes = np.concatenate(
        [numbers.view(torch.int16).numpy(), codes.view(3, 1, 32, 32).short().numpy()], 1, dtype=np.int16
    )
    # A run that was stopped in the middle of a sample leaves part of it.
    (tmp_path / "latents.i16").write_bytes(planes.tobytes() + bytes(100))
    samples = open_latents(tmp_path)
    assert len(samples) == 3
    read = read_latents(samples[1:])
    assert torch.equal(torch.cat([read.degraded, read.clean, read.given], 1), numbers[1:].float())
    assert torch.equal(read.codes, codes[1:])


def test_the_second_restorers_clean_latent_is_what_it_draws_of_a_clean_face(tmp_path):
    torch.manual_seed(0)
    net = GenerativeNet(decoder=DecoderConfig(channels=(16, 16, 8, 8, 8))).eval().requires_grad_(False)
    face = torch.rand(1, 3, 512, 512)
    latent = clean_latents(net, tmp_path, "cpu")(face)
    content, _, words, _, skips = net.told(face)
    drawn = net.decode(content, words, skips)
    # Where latent and code words are the same, so is their mix.
    assert torch.allclose(net.decode(latent, latent, skips), drawn, atol=1e-4)
