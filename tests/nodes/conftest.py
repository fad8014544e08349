"""The nodes by hand, with ComfyUI's core imported but no server."""

import asyncio
import json
import sys
from types import SimpleNamespace

import host_server
import pytest
import torch


@pytest.fixture(scope="session")
def comfy(comfyui):
    """ComfyUI's own modules, for the CPU."""
    sys.path.append(str(comfyui))
    try:
        from comfy.cli_args import args

        args.cpu = True
        import comfy.model_management
        import folder_paths
    except ImportError as error:
        host_server.unavailable(f"ComfyUI does not import here ({error}); install the extra 'host'.")
    return SimpleNamespace(management=comfy.model_management, folder_paths=folder_paths)


@pytest.fixture(scope="session")
def nodes(comfy):
    """The node classes by id."""
    import resemblance

    extension = asyncio.run(resemblance.comfy_entrypoint())
    classes = asyncio.run(extension.get_node_list())
    return {node.GET_SCHEMA().node_id: node for node in classes}


@pytest.fixture
def models_dir(comfy, tmp_path, monkeypatch):
    """An empty models folder, and ComfyUI's folders as a fresh one has them."""
    ours = {"facerestore_models", "face_restore", "insightface", "facexlib", "facedetection"}
    known = comfy.folder_paths.folder_names_and_paths
    monkeypatch.setattr(
        comfy.folder_paths, "folder_names_and_paths", {name: v for name, v in known.items() if name not in ours}
    )
    monkeypatch.setattr(comfy.folder_paths, "models_dir", str(tmp_path / "models"))
    monkeypatch.setattr(comfy.folder_paths, "filename_list_cache", {})
    monkeypatch.setattr(comfy.folder_paths, "temp_directory", str(tmp_path / "temp"))
    return tmp_path / "models"


@pytest.fixture
def run(nodes, models_dir):
    """Runs a node as the executor does: its widgets' defaults, no gradients, classes prepared; gives its outputs."""

    def execute(name, /, **given):
        node = nodes[f"Resemblance{name}"]
        schema = node.GET_SCHEMA()
        values = {i.id: i.default for i in schema.inputs if hasattr(i, "default")} | given
        if schema.is_input_list:
            values = {key: value if isinstance(value, list) else [value] for key, value in values.items()}
        with torch.inference_mode():
            clone = node.PREPARE_CLASS_CLONE({})
            output = clone.EXECUTE_NORMALIZED(**values)
        # A list of one reads as the one.
        lists = [socket.is_output_list for socket in schema.outputs]
        output.args = tuple(v[0] if a and len(v) == 1 else v for v, a in zip(output.args, lists, strict=True))
        return output

    return execute


@pytest.fixture(scope="session")
def codeformer_file(tiny_codeformer, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "codeformer.pth"
    torch.save({"params_ema": tiny_codeformer.state_dict()}, path)
    return path


@pytest.fixture
def codeformer(run, models_dir, codeformer_file):
    """The restorer socket of a small CodeFormer."""
    folder = models_dir / "facerestore_models"
    folder.mkdir(parents=True)
    (folder / "codeformer.pth").write_bytes(codeformer_file.read_bytes())
    return run("LoadRestorer", file="codeformer.pth")[0]


@pytest.fixture(scope="session")
def photos():
    """Two smooth pictures with some grain, (2,240,400,3)."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 12, 20, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, (240, 400), mode="bicubic", align_corners=False)
    return (smooth + 0.02 * torch.randn(smooth.shape, generator=rng)).clamp(0, 1).movedim(1, -1).contiguous()


@pytest.fixture
def two_people(run):
    """The photograph of two, and the faces found in it."""
    damaged, truth, *references = run("ExamplePhoto", name="two people").args
    faces = run("DetectFaces", image=damaged, detector="built-in")[0]
    return SimpleNamespace(damaged=damaged, truth=truth, references=references, faces=faces)


@pytest.fixture
def known(run, codeformer, two_people):
    """References of the two, read by a small CodeFormer."""
    anna, bob, both = two_people.references
    found = None
    for person, images in (("anna", [anna, both]), ("bob", [bob, both])):
        given = {"references": found} if found else {}
        found, report = run("EncodeReferences", image=images, person=person, restorer=codeformer, **given).args
    return SimpleNamespace(references=found, report=json.loads(report))


@pytest.fixture
def refining(run):
    """The built-in restorer, with a small prior of random weights."""
    from resemblance.core.models.prior import Prior, PriorConfig

    torch.manual_seed(0)
    prior = Prior(PriorConfig(dim=32, layers=1, heads=1)).eval().requires_grad_(False)
    torch.nn.init.normal_(prior.out.weight, std=0.1)
    restorer = run("LoadRestorer")[0]
    like = next(restorer.network.parameters())
    own, restorer.network.prior = restorer.network.prior, prior.to(like.device, like.dtype)
    yield restorer
    restorer.network.prior = own


@pytest.fixture
def person(run, refining):
    """A damaged photograph's crop and tokens, and references of the person."""
    damaged, _, *references = run("ExamplePhoto", name="woman").args
    faces = run("DetectFaces", image=damaged, detector="built-in")[0]
    crops = run("CropFaces", faces=faces, image=damaged, size=448, margin=0.25)[0]
    tokens = run("EncodeTokens", crops=crops)[0]
    known = run("EncodeReferences", image=references[0], person="anna")[0]
    return SimpleNamespace(damaged=damaged, crops=crops, tokens=tokens, references=known)
