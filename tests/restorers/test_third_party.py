import logging
import sys

import pytest
import torch
from resemblance.core.restorers.table import describe, load_restorer
from restorer_files import onnx_file, restoreformer_state
from safetensors.torch import save_file

FACES = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def restorers(tmp_path_factory, codeformer, shipped):
    folder = tmp_path_factory.mktemp("all")
    torch.save({"state_dict": {f"vqvae.{k}": v for k, v in restoreformer_state().items()}}, folder / "rf.ckpt")
    pytest.importorskip("onnxruntime")
    return {
        "CodeFormer": codeformer,
        "Resemblance": shipped,
        "RestoreFormer": load_restorer(folder / "rf.ckpt"),
        "ONNX": load_restorer(onnx_file(folder / "net.onnx")),
    }


def test_restoreformer_sees_minus_one_to_one(restorers):
    restorer = restorers["RestoreFormer"]
    seen = []
    handle = restorer.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    restored = restorer.restore(torch.linspace(0, 1, 512).expand(1, 3, 512, 512).contiguous())
    handle.remove()
    assert seen[0].min() == -1 and seen[0].max() == 1
    direct = (restorer.network(seen[0])[0] + 1) / 2
    torch.testing.assert_close(restored, direct.clamp(0, 1))


def test_restoreformer_that_does_not_fit(tmp_path):
    state = restoreformer_state()
    state["decoder.conv_in.weight"] = torch.ones(1, 1, 1, 1)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="look like RestoreFormer, but its network cannot take them"):
        load_restorer(tmp_path / "x.pth")


@pytest.mark.slow
def test_gfpgan(tmp_path):
    """Full size, since spandrel knows GFPGAN in one size only; its file is described and loaded through the table."""
    from spandrel.architectures.GFPGAN import GFPGAN

    sizes = {"out_size": 512, "num_style_feat": 512, "channel_multiplier": 2, "num_mlp": 8, "narrow": 1}
    with torch.device("meta"):
        empty = GFPGAN(**sizes, fix_decoder=False, input_is_latent=True, different_w=True, sft_half=True)
    dice = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(t.shape, generator=dice) / max(1, t[0].numel()) ** 0.5
        for name, t in empty.state_dict().items()
    }
    save_file(state, tmp_path / "x.safetensors")
    assert describe(tmp_path / "x.safetensors").architecture == "GFPGAN"
    restorer = load_restorer(tmp_path / "x.safetensors")
    seen = []
    restorer.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    face = torch.linspace(0, 1, 512).expand(1, 3, 512, 512)
    restored = restorer.restore(face)
    assert seen[0].min() == -1 and seen[0].max() == 1
    assert restored.isfinite().all() and restored.std() > 0
    assert torch.equal(restorer.restore(face), restored)  # stored noise, not fresh noise


def test_fidelity_that_cannot_be_set_is_reported(restorers, caplog):
    with caplog.at_level(logging.WARNING):
        restorers["ONNX"].restore(FACES[:1], 0.3)
    assert "net has no fidelity to set; the 0.3 given is not used" in caplog.text


def test_onnx_works_in_minus_one_to_one(tmp_path):
    pytest.importorskip("onnxruntime")
    restorer = load_restorer(onnx_file(tmp_path / "x.onnx", scale=0.5))
    # 2x-1 halved is x-0.5, and back in [0,1]: x/2 + 1/4
    torch.testing.assert_close(restorer.restore(FACES), FACES / 2 + 0.25)


@pytest.mark.parametrize("element", [11, 1])  # float64, as the common export of CodeFormer has it, and float32
def test_onnx_with_a_weight(tmp_path, element):
    pytest.importorskip("onnxruntime")
    restorer = load_restorer(onnx_file(tmp_path / "x.onnx", weight=element))
    torch.testing.assert_close(restorer.restore(FACES, 0.0), torch.full_like(FACES, 0.5))
    torch.testing.assert_close(restorer.restore(FACES, 1.0), FACES)
    torch.testing.assert_close(restorer.restore(FACES), FACES / 2 + 0.25)


def test_onnx_in_float16(tmp_path):
    pytest.importorskip("onnxruntime")
    restorer = load_restorer(onnx_file(tmp_path / "x.onnx", kind=10))
    torch.testing.assert_close(restorer.restore(FACES), FACES, atol=1e-3, rtol=0)


def test_onnx_of_another_size_or_damaged(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match=r"1024.*expected one picture \(1, 3, 512, 512\)"):
        load_restorer(onnx_file(tmp_path / "x.onnx", size=1024))
    whole = onnx_file(tmp_path / "y.onnx").read_bytes()
    (tmp_path / "y.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"onnxruntime cannot load .*y\.onnx"):
        load_restorer(tmp_path / "y.onnx")


def test_onnx_without_onnxruntime(tmp_path, monkeypatch):
    path = onnx_file(tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"onnxruntime is not installed\. Install it"):
        load_restorer(path)
    assert describe(path).architecture == "ONNX"
