import pytest
import torch
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.restorers.table import load_restorer
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def codeformer_file(tmp_path_factory, tiny_codeformer):
    path = tmp_path_factory.mktemp("weights") / "any name.pth"
    torch.save({"params_ema": tiny_codeformer.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def codeformer(codeformer_file):
    return load_restorer(codeformer_file, dtype=torch.float32)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    torch.manual_seed(0)
    network = ResemblanceNet(RestorerConfig(widths=(8, 8, 8), latent=8, codes=16, dim=32, layers=1, heads=1))
    path = tmp_path_factory.mktemp("shipped") / "x.safetensors"
    save_file(network.state_dict(), path)
    return load_restorer(path, dtype=torch.float32)
