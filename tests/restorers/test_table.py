import importlib.util
import logging
import sys
from pathlib import Path

import pytest
import torch
from resemblance.core.files.checkpoints import Checkpoint, TensorInfo
from resemblance.core.models.codeformer import CodeFormer, CodeFormerConfig
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.models.transfer import TransferNet
from resemblance.core.records import Lookup
from resemblance.core.restorers.table import attach_transfer, can_load, describe, find_family, load_restorer
from resemblance.core.restorers.token_restorer import TokenRestorer
from safetensors.torch import save_file

FACES = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def codeformer_file(tmp_path_factory, tiny_codeformer):
    path = tmp_path_factory.mktemp("weights") / "any name.pth"
    torch.save({"params_ema": tiny_codeformer.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def codeformer(codeformer_file):
    return load_restorer(codeformer_file, dtype=torch.float32)


# CodeFormer


def test_codeformer_from_pth_and_safetensors(codeformer, tiny_codeformer, tmp_path):
    save_file(tiny_codeformer.state_dict(), tmp_path / "x.safetensors")
    other = load_restorer(tmp_path / "x.safetensors", dtype=torch.float32)
    for restorer in (codeformer, other):
        assert isinstance(restorer, TokenRestorer)
        assert restorer.name == "CodeFormer" and "S-Lab" in restorer.licence
        assert all(torch.equal(v, tiny_codeformer.state_dict()[k]) for k, v in restorer.network.state_dict().items())
    assert other.fingerprint == codeformer.fingerprint


def test_the_default_fidelity_is_a_half(codeformer):
    outputs = [codeformer.restore(FACES[:1], fidelity) for fidelity in (None, 0.5, 0.0)]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_restoring_is_the_networks_steps(codeformer, tiny_codeformer):
    """Against the steps written out: argmax codes, AdaIN as PyTorch's instance norm would do it, decode, clamp."""
    with torch.no_grad():
        content, skips = tiny_codeformer.encode(FACES[:1])
        codes = tiny_codeformer.predict(content).argmax(-1)
        words = torch.nn.functional.embedding(codes, tiny_codeformer.codebook()).mT.reshape(content.shape)
        n = 16 * 16
        normal = torch.nn.functional.instance_norm(words, eps=1e-5 * (n - 1) / n) * ((n - 1) / n) ** 0.5
        quality = normal * (content.var((2, 3), keepdim=True) + 1e-5).sqrt() + content.mean((2, 3), keepdim=True)
        expected = tiny_codeformer.decode(content, quality, skips, 0.8).clamp(0, 1)
    # The restorer's layout in memory is another one, and random weights amplify rounding.
    torch.testing.assert_close(codeformer.restore(FACES[:1], 0.8), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("fidelity", [-0.1, 1.5, float("nan")])
def test_fidelity_out_of_range(codeformer, fidelity):
    with pytest.raises(ValueError, match="Fidelity was"):
        codeformer.restore(FACES[:1], fidelity)


@pytest.mark.parametrize(
    "faces", [torch.rand(1, 3, 256, 256), torch.rand(3, 512, 512), torch.zeros(1, 3, 512, 512, dtype=torch.uint8)]
)
def test_other_faces_are_refused(codeformer, faces):
    with pytest.raises(ValueError, match=r"expected aligned faces, float, \(N, 3, 512, 512\)"):
        codeformer.restore(faces)


def test_bfloat16_restores_float32(codeformer_file, codeformer):
    restorer = load_restorer(codeformer_file, dtype=torch.bfloat16)
    assert next(restorer.network.parameters()).dtype == torch.bfloat16
    # Random weights have near ties among codes, so content alone is compared.
    content = [r.encode(FACES[:1], Lookup())[0] for r in (restorer, codeformer)]
    assert (content[0] - content[1]).abs().mean() < 0.05 * content[1].std()
    restored = restorer.restore(FACES[:1])
    assert restored.dtype == torch.float32 and restored.isfinite().all()


@pytest.mark.parametrize(
    ("avx", "amx", "dtype"), [(0, 0, torch.float32), (1, 0, torch.bfloat16), (0, 1, torch.bfloat16)]
)
def test_bfloat16_is_chosen_where_the_processor_has_it(codeformer_file, monkeypatch, avx, amx, dtype):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(avx), raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: bool(amx), raising=False)
    assert next(load_restorer(codeformer_file).network.parameters()).dtype == dtype


def test_float16_is_refused(codeformer_file):
    with pytest.raises(ValueError, match="expected float32 or bfloat16"):
        load_restorer(codeformer_file, dtype=torch.float16)


def test_codeformer_of_another_size_is_refused(tmp_path):
    network = CodeFormer(CodeFormerConfig(image_size=64, channels=32, multipliers=(1, 1), width=64, layers=1, fuse=()))
    torch.save(network.state_dict(), tmp_path / "x.pth")
    with pytest.raises(ValueError, match="faces of 64 px; expected 512 px"):
        load_restorer(tmp_path / "x.pth")


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "key"])
def test_loading_is_strict(tiny_codeformer, tmp_path, change):
    state = tiny_codeformer.state_dict()
    if change == "missing":
        del state["encoder.blocks.1.norm2.bias"]
    elif change == "unexpected":
        state["extra"] = torch.ones(1)
    elif change == "shape":
        state["feat_emb.bias"] = torch.ones(3)
    else:
        del state["encoder.blocks.0.weight"]
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"CodeFormer.*(fit|lacks)"):
        load_restorer(tmp_path / "x.pth")


# The shipped network


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    torch.manual_seed(0)
    network = ResemblanceNet(RestorerConfig(widths=(8, 8, 8), latent=8, codes=16, dim=32, layers=1, heads=1))
    path = tmp_path_factory.mktemp("shipped") / "x.safetensors"
    save_file(network.state_dict(), path)
    return load_restorer(path, dtype=torch.float32)


def test_the_shipped_network_is_known_by_its_tensors(shipped):
    assert isinstance(shipped, TokenRestorer) and shipped.name == "Resemblance"
    assert shipped.default_content == ResemblanceNet.default_content
    assert shipped.network.config == RestorerConfig(widths=(8, 8, 8), latent=8, codes=16, dim=32, layers=1, heads=1)


@pytest.mark.parametrize(
    ("restorer", "embedder", "beside", "taken"),
    [
        ("r" * 16, "e" * 16, "e" * 16, True),
        ("r" * 16, "e" * 16, "f" * 16, False),  # embeddings of a network that it was not trained on
        ("r" * 16, "e" * 16, None, False),
        ("s" * 16, "e" * 16, "e" * 16, False),
    ],
)
def test_what_reads_references_belongs_to_its_restorer_and_its_embedder(
    tmp_path, caplog, restorer, embedder, beside, taken
):
    torch.manual_seed(0)
    stored, network = TransferNet(), ResemblanceNet()
    path = tmp_path / "transfer.safetensors"
    save_file(stored.state_dict(), path, {"restorer": restorer, "embedder": embedder})
    if beside:
        save_file({"x": torch.zeros(1)}, tmp_path / "embedding.safetensors", {"fingerprint": beside})
    attach_transfer(TokenRestorer(network, "x", "none", "r" * 16), network, path)
    assert (network.transfer is not None) == taken
    if taken:
        assert torch.equal(network.transfer.bands.weight, stored.bands.weight)
    # Another restorer has no part of its own, as many have not; another embedder beside it is somebody's mistake.
    assert ("was made for another" in caplog.text) == (beside != embedder)
    attach_transfer(TokenRestorer(network, "x", "none", "r" * 16), network, tmp_path / "missing.safetensors")


def test_the_picture_among_the_skips_keeps_its_precision(shipped):
    *_, skips = shipped.encode(FACES, Lookup())
    assert torch.equal(skips.pop(512), FACES)
    assert skips and all(x.dtype == torch.bfloat16 for x in skips.values())


# Every restorer


def onnx_file(path, weight=None, size=512, scale=1.0, kind=1):
    """A network that gives scale * picture, or weight * picture where it takes a weight (an ONNX element type)."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    inputs = [helper.make_tensor_value_info("input", kind, [1, 3, size, size])]
    if weight:
        inputs.append(helper.make_tensor_value_info("weight", weight, []))
        nodes = [helper.make_node("Cast", ["weight"], ["w"], to=kind), helper.make_node("Mul", ["input", "w"], ["out"])]
        constants = []
    else:
        constants = [helper.make_tensor("w", kind, [], [scale])]
        nodes = [helper.make_node("Mul", ["input", "w"], ["out"])]
    output = helper.make_tensor_value_info("out", kind, [1, 3, size, size])
    graph = helper.make_graph(nodes, "net", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def restoreformer_state(**changes):
    from spandrel.architectures.RestoreFormer import RestoreFormer

    torch.manual_seed(0)
    sizes = {"n_embed": 16, "embed_dim": 32, "ch": 32, "ch_mult": (1,) * 6, "num_res_blocks": 1, "z_channels": 32}
    network = RestoreFormer(
        **{**sizes, "attn_resolutions": (16,), "out_ch": 3, "in_channels": 3, "resolution": 512, "dropout": 0.0,
           "double_z": False, "enable_mid": True, "head_size": 8, **changes}
    )  # fmt: skip
    return network.state_dict()


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


NAMES = ["CodeFormer", "Resemblance", "RestoreFormer", "ONNX"]


@pytest.mark.parametrize("name", NAMES)
def test_every_restorer_keeps_the_contract(restorers, name):
    restorer = restorers[name]
    before = FACES.clone()
    restored = restorer.restore(FACES)
    assert restored.shape == FACES.shape and restored.dtype == torch.float32
    assert restored.min() >= 0 and restored.max() <= 1
    assert torch.equal(FACES, before)
    assert torch.equal(restorer.restore(FACES), restored)
    assert torch.equal(restorer.restore(FACES[1:]), restored[1:])
    assert restorer.restore(FACES[:0]).shape == (0, 3, 512, 512)
    assert len(restorer.fingerprint) == 16 and restorer.name and restorer.licence
    assert (restorer.network is None) == (name == "ONNX")


@pytest.mark.parametrize("name", NAMES)
def test_every_restorer_can_be_stopped(restorers, name):
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        restorers[name].restore(FACES, progress=stop)
    assert restorers[name].restore(FACES[:1]).isfinite().all()  # nothing of the progress stays behind
    assert len(calls) == 2


# Others' restorers


def test_restoreformer_sees_minus_one_to_one(restorers):
    restorer = restorers["RestoreFormer"]
    seen = []
    handle = restorer.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    restored = restorer.restore(torch.linspace(0, 1, 512).expand(1, 3, 512, 512).contiguous())
    handle.remove()
    assert seen[0].min() == -1 and seen[0].max() == 1
    direct = (restorer.network(seen[0])[0] + 1) / 2
    torch.testing.assert_close(restored, direct.clamp(0, 1))


def test_restoreformer_plus_plus_is_refused_clearly(tmp_path):
    state = restoreformer_state()
    for name in [name for name in state if name.startswith("decoder.up.5.attn")]:
        state[name.replace("up.5", "up.4")] = state[name]
    torch.save(state, tmp_path / "x.pth")
    assert describe(tmp_path / "x.pth").architecture == "RestoreFormer++"
    with pytest.raises(ValueError, match=r"RestoreFormer\+\+, which is supported as an ONNX file only"):
        load_restorer(tmp_path / "x.pth")


def test_restoreformer_that_does_not_fit(tmp_path):
    state = restoreformer_state()
    state["decoder.conv_in.weight"] = torch.ones(1, 1, 1, 1)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="look like RestoreFormer, but its network cannot take them"):
        load_restorer(tmp_path / "x.pth")


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


# ONNX


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


# The table


def test_describe(codeformer_file, tiny_codeformer):
    description = describe(codeformer_file)
    assert description.architecture == "CodeFormer" and "non-commercial" in description.licence
    assert description.parameters == sum(p.numel() for p in tiny_codeformer.parameters())
    assert description.tensors == len(tiny_codeformer.state_dict())
    assert description.dtypes == ("float32",) and description.size == codeformer_file.stat().st_size


def test_weights_of_something_else(tmp_path):
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "codeformer.pth")
    assert describe(tmp_path / "codeformer.pth").architecture is None
    with pytest.raises(
        ValueError, match=r"holds 2 tensors \(weight, bias, …\) of no restorer that is known; expected Res"
    ):
        load_restorer(tmp_path / "codeformer.pth")


def test_the_published_names_find_their_rows():
    fixtures = Path(__file__).parents[3] / "shared" / "fixtures"
    if not fixtures.is_dir():
        pytest.skip(f"the lists of published tensor names are not at {fixtures}")
    for file, family in (("codeformer_keys", "CodeFormer"), ("restoreformer_plus_plus_keys", "RestoreFormer++")):
        names = [line.split("\t")[0] for line in (fixtures / f"{file}.txt").read_text().splitlines()]
        found = find_family(Checkpoint(fixtures, "pytorch", 0, dict.fromkeys(names, TensorInfo((), "float32"))))
        assert found is not None and found.name == family
        plain = [name for name in names if not name.startswith("decoder.up.4.attn")]
        found = find_family(Checkpoint(fixtures, "pytorch", 0, dict.fromkeys(plain, TensorInfo((), "float32"))))
        assert found is not None and found.name == family.removesuffix("++")


def test_what_can_be_loaded_is_judged_by_content(codeformer_file, tmp_path, monkeypatch):
    save_file(ResemblanceNet().state_dict(), tmp_path / "ours")
    assert can_load(codeformer_file) and can_load(tmp_path / "ours")
    plus = restoreformer_state() | {"decoder.up.4.attn.0.q.weight": torch.zeros(1)}
    for name, content in (("plus.pth", plus), ("codeformer.pth", {"a.weight": torch.zeros(1)})):
        torch.save(content, tmp_path / name)
        assert not can_load(tmp_path / name)
    assert not can_load(tmp_path / "missing.pth") and not can_load(tmp_path)
    monkeypatch.setattr("resemblance.core.restorers.table.SMALLEST_ONNX", 1000)
    for name, size, expected in (("GPEN-BFR-512", 1000, True), ("GPEN-BFR-1024", 1000, False), ("det", 999, False)):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(b"\x08" + bytes(size - 1))
        assert can_load(path) == (expected and importlib.util.find_spec("onnxruntime") is not None)
