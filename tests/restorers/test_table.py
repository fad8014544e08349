import importlib.util
import random
import re
from pathlib import Path

import pytest
import torch
from resemblance.core.files.checkpoints import Checkpoint, TensorInfo
from resemblance.core.models.codeformer import CodeFormer, CodeFormerConfig
from resemblance.core.models.generative import GenerativeNet
from resemblance.core.models.restorer import ResemblanceNet, RestorerConfig
from resemblance.core.models.styled_decoder import DecoderConfig
from resemblance.core.models.transfer import TransferNet
from resemblance.core.restorers.table import attach_transfer, can_load, describe, find_family, load_restorer
from resemblance.core.restorers.token_restorer import TokenRestorer
from restorer_files import onnx_file, restoreformer_state
from safetensors.torch import save_file

FACES = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(1))


# Ours


def test_both_restorers_of_ours_are_known_by_their_tensors(tmp_path):
    drawing = DecoderConfig(channels=(16, 16, 8, 8, 8))
    for kind, network in ((ResemblanceNet, ResemblanceNet()), (GenerativeNet, GenerativeNet(decoder=drawing))):
        save_file(network.state_dict(), tmp_path / "x.safetensors")
        restorer = load_restorer(tmp_path / "x.safetensors", dtype=torch.float32)
        assert isinstance(restorer, TokenRestorer) and isinstance(restorer.network, kind)
        assert restorer.name == "Resemblance" and not restorer.transfers and restorer.prior is None
        restored = restorer.restore(FACES[:1])
        assert restored.shape == (1, 3, 512, 512) and restored.isfinite().all()


# CodeFormer


def test_codeformer_from_pth_and_safetensors(codeformer, tiny_codeformer, tmp_path):
    save_file(tiny_codeformer.state_dict(), tmp_path / "x.safetensors")
    other = load_restorer(tmp_path / "x.safetensors", dtype=torch.float32)
    for restorer in (codeformer, other):
        assert isinstance(restorer, TokenRestorer)
        assert restorer.name == "CodeFormer" and "S-Lab" in restorer.licence
        assert all(torch.equal(v, tiny_codeformer.state_dict()[k]) for k, v in restorer.network.state_dict().items())
    assert other.fingerprint == codeformer.fingerprint


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
    with pytest.raises(ValueError, match="weights of CodeFormer do not fit: "):
        load_restorer(tmp_path / "x.pth")


def changed(tensor: torch.Tensor, dice: random.Random) -> torch.Tensor:
    """The same values, in another shape, or others of another one."""
    shape = [*tensor.shape, 2]
    make = [lambda: tensor.reshape(-1), lambda: tensor[None], lambda: tensor.mT if tensor.ndim > 1 else tensor[:0]]
    make += [lambda: torch.zeros(()), lambda: torch.zeros(dice.sample(shape, len(shape))), lambda: tensor.long()]
    return dice.choice(make)().contiguous()


@pytest.mark.parametrize("kind", ["codeformer", "ours", "drawing", "restoreformer"])
def test_right_names_with_wrong_shapes_are_refused(tiny_codeformer, tmp_path, kind):
    if kind == "restoreformer":
        state = restoreformer_state()
    elif kind == "codeformer":
        state = tiny_codeformer.state_dict()
    else:
        small = RestorerConfig(widths=(8, 8, 8), latent=8, codes=16, dim=32, layers=1, heads=1)
        drawing = DecoderConfig(channels=(16, 16, 8, 8, 8))
        network = ResemblanceNet(small) if kind == "ours" else GenerativeNet(decoder=drawing)
        state = network.state_dict()
    dice = random.Random(0)
    refused = 0
    # Those that sizes are read off, and some others.
    for name in [*find_family(checkpoint_of(state)).names, *dice.sample(sorted(state), 12)]:
        other = changed(state[name], dice)
        save_file({**state, name: other}, tmp_path / "x.safetensors")
        try:
            load_restorer(tmp_path / "x.safetensors", dtype=torch.float32)
        except ValueError as error:
            refused += 1
            assert re.search(r"do not fit: .+\. Download them again|cannot take them .*Download it again", str(error))
        else:
            assert other.shape == state[name].shape
    assert refused > 5


def checkpoint_of(state):
    return Checkpoint(Path("x"), "safetensors", 0, {n: TensorInfo(tuple(x.shape), "float32") for n, x in state.items()})


def test_layers_that_do_not_fit_each_other_are_refused(tmp_path):
    # Every shape is that of the network which the shapes ask for; but that one is for faces of 256 px.
    config = RestorerConfig(widths=(8, 8, 8), latent=8, codes=16, dim=32, layers=1, heads=1, size=256)
    save_file(ResemblanceNet(config).state_dict(), tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match=r"weights of Resemblance do not fit: .*Download them again"):
        load_restorer(tmp_path / "small.safetensors")


# The shipped network


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


# Every restorer


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


def test_restoreformer_plus_plus_is_refused_clearly(tmp_path):
    state = restoreformer_state()
    for name in [name for name in state if name.startswith("decoder.up.5.attn")]:
        state[name.replace("up.5", "up.4")] = state[name]
    torch.save(state, tmp_path / "x.pth")
    assert describe(tmp_path / "x.pth").architecture == "RestoreFormer++"
    with pytest.raises(ValueError, match=r"RestoreFormer\+\+, which is supported as an ONNX file only"):
        load_restorer(tmp_path / "x.pth")


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
