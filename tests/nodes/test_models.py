import pytest
import torch
from by_hand import found


def test_folders_are_merged_and_never_overwritten(comfy, models_dir, nodes):
    from resemblance.nodes import models as ours

    known = comfy.folder_paths.folder_names_and_paths
    known["facerestore_models"] = (["/mine"], {".pth"})  # as extra_model_paths.yaml or another pack leaves it
    for _ in range(2):
        ours.merge_folders()
        assert known["facerestore_models"] == (["/mine", str(models_dir / "facerestore_models")], {".pth"})
    paths, extensions = known["face_restore"]
    assert paths == [str(models_dir / "face_restore")] and ".safetensors" in extensions and ".onnx" in extensions


def test_restorers_are_read_once(run, codeformer, models_dir, monkeypatch):
    from resemblance.nodes import models as ours

    monkeypatch.setattr(ours, "load_restorer", lambda *_: pytest.fail("read from disk again"))
    assert run("LoadRestorer", file="codeformer.pth")[0] is codeformer
    monkeypatch.undo()
    assert ours.get_restorer() is ours.get_restorer()


def test_the_built_in_restorer_is_computed_with_as_core_does(run):
    from resemblance.core.restorers.table import builtin_restorer

    ours, core = run("LoadRestorer")[0], builtin_restorer()
    assert (ours.name, ours.fingerprint) == (core.name, core.fingerprint)
    face = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.restore(face), core.restore(face))
    assert not next(ours.network.parameters()).is_inference()


def test_networks_are_under_the_hosts_management(run, comfy, codeformer, photos):
    run("RestoreCrops", crops=run("CropFaces", faces=found(photos, [(0, 0)]), image=photos)[0], restorer=codeformer)
    run("DetectFaces", image=photos, detector="built-in")
    held = [type(loaded.model.model).__name__ for loaded in comfy.management.current_loaded_models]
    assert "CodeFormer" in held and "FaceDetector" in held


@pytest.fixture
def gpu(comfy, nodes, monkeypatch):
    """A host that takes the CPU for a GPU: it computes in bfloat16 on one device, and keeps networks on another.

    Gives what it was asked to bring there, by its class, and how much memory to make room for.
    """
    from resemblance.nodes import models as ours

    management, asked = comfy.management, []
    caches = (ours._load_restorer, ours._load_detector, ours._load_embedder)
    for cache in caches:
        cache.cache_clear()
    bring = management.load_models_gpu

    def load_models_gpu(patchers, memory_required=0, **options):
        asked.extend((type(patcher.model).__name__, memory_required) for patcher in patchers)
        return bring(patchers, memory_required=memory_required, **options)

    monkeypatch.setattr(management, "load_models_gpu", load_models_gpu)
    monkeypatch.setattr(management, "get_torch_device", lambda: torch.device("cpu", 0))
    monkeypatch.setattr(management, "unet_offload_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(management, "is_device_cpu", lambda device: device.index is None)
    monkeypatch.setattr(management, "should_use_bf16", lambda device: True)
    yield asked
    management.unload_all_models()
    for cache in caches:
        cache.cache_clear()


def test_on_a_gpu_networks_are_small_and_the_host_moves_them(run, comfy, gpu, photos):
    given = {"faces": found(photos, [(0, 0), (1, 0)]), "image": photos}
    crops = run("CropFaces", **given)[0]
    (fast,) = run("RestoreCrops", crops=crops).args[:1]
    restorer = run("LoadRestorer")[0]
    weights = next(restorer.network.parameters())
    assert weights.dtype == torch.bfloat16 and not weights.is_inference()
    name = type(restorer.network).__name__
    assert [kind for kind, _ in gpu].count(name) == 1 and dict(gpu)[name] >= 512 << 20
    patcher = restorer.host.patcher
    assert (patcher.load_device, patcher.offload_device) == (torch.device("cpu", 0), torch.device("cpu"))
    comfy.management.unload_all_models()  # as a diffusion model needs the room
    assert comfy.management.current_loaded_models == []
    assert torch.equal(run("RestoreCrops", crops=crops)[0], fast)
    assert [kind for kind, _ in gpu].count(name) == 2, "it was brought back"
    from resemblance.core.restorers.table import builtin_restorer
    from resemblance.nodes.sockets import image_of

    exact = image_of(builtin_restorer(dtype=torch.float32).restore(crops.pixels))
    assert 0 < (fast - exact).abs().mean() < 0.02 and fast.dtype == torch.float32


def test_where_memory_is_too_small_fewer_faces_are_done_at_once(run, gpu, photos, monkeypatch):
    restorer = run("LoadRestorer")[0]
    faces = found(photos, [(0, 0), (0, 200), (1, 0), (1, 200)])
    crops = run("CropFaces", faces=faces, image=photos)[0]
    calm = run("RestoreCrops", crops=crops)[0]
    seen, encode = [], type(restorer).encode

    def tight(self, pixels, *others, **options):
        seen.append(len(pixels))
        if len(pixels) > 1:
            raise torch.cuda.OutOfMemoryError("too many")
        return encode(self, pixels, *others, **options)

    monkeypatch.setattr(type(restorer), "encode", tight)
    assert torch.equal(run("RestoreCrops", crops=crops)[0], calm)
    assert seen == [4, 4, 2, 1, 1, 1, 1], "eight at once, then four, two, one"
