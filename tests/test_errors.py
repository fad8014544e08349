"""Every error that a docstring of the library documents comes where it says, and says what to do.

What may go wrong with commands and with training is told by the tests of those; here it is all else.
"""

import ast
import io
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from host_server import ROOT
from people import ColourEmbedder, Giving, both, found
from PIL import Image
from resemblance.core import batches, devices, geometry, loading, pipeline, refinement, stages
from resemblance.core.faces import boxes, crop, detect, identity, mending, paste, select
from resemblance.core.faces.detectors import builtin, facexlib, insightface
from resemblance.core.files import checkpoints, images, networks, opening, pickle_index, tags, tiff
from resemblance.core.geometry import TEMPLATE, fit_similarity
from resemblance.core.loading import Models
from resemblance.core.models import codeformer, embedding, lookup
from resemblance.core.records import Lookup, Person, References
from resemblance.core.references import (
    compare,
    encoding,
    likeness,
    matching,
    names,
    saving,
    soundness,
    transfer,
    views,
)
from resemblance.core.references.options import ReferenceOptions
from resemblance.core.refinement import RefinementOptions
from resemblance.core.restorers import table, third_party, tokens
from safetensors import safe_open
from safetensors.torch import load_file, save_file

PROGRAMS = ("apps", "training")
# A message that is ours says one of these; it has said before what was got.
ADVICE = re.compile(
    "[Ee]xpected|[Uu]se |[Gg]ive |[Cc]hoose|[Cc]heck|[Ww]rite |[Ss]et |blend|[Ii]nstall|[Dd]ownload (it|them) again"
    "|may help|paste into the"
)


@dataclass(frozen=True)
class Documented:
    """What a docstring says of errors: their names, and when they come."""

    function: str
    errors: tuple[str, ...]
    when: str


def documented(folder: Path = ROOT / "core") -> Iterator[Documented]:
    """What is documented in all files of the library but the programs'; private functions are left out."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[0] not in PROGRAMS:
            yield from _documented(ast.parse(path.read_text()), parts)


def _documented(node: ast.AST, within: tuple[str, ...]) -> Iterator[Documented]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            here = (*within, child.name)
            text = ast.get_docstring(child) or ""
            if one := re.match(r"Raise (\w+) (unless|where) (.*?\.)(\s|$)", text, re.DOTALL):
                yield Documented(".".join(here), (one[1],), " ".join(one[3].split()))
            if section := re.search(r"^Raises:\n((?:[ ]+.*\n?)+)", text, re.MULTILINE):
                for entry in re.findall(r"^    (\S.*(?:\n     .*)*)", section[1], re.MULTILINE):
                    errors, when = entry.split(":", 1)
                    yield Documented(".".join(here), tuple(errors.split(", ")), " ".join(when.split()))
            yield from _documented(child, here)


# What the cases are made of.


class Whole:
    """A restorer that has no tokens."""

    name, fingerprint, licence, network = "whole", "0" * 16, "none", None
    with_tokens = None

    def restore(self, faces, fidelity=None, progress=None):
        return faces * float("nan")


def person(name="anna", count=1):
    x = torch.zeros(count, 8, 32, 32)
    unit = torch.tensor([[1.0, 0.0, 0.0]] * count)
    faces, sources = torch.zeros(count, 3, 512, 512), ("a.png",) * count
    return Person(name, faces, x, x.clone(), {}, unit, unit.clone(), (1.0,) * count, sources)


PHOTO = torch.full((3, 200, 200), 0.5)
FACE = found(20, 20)
FACES = torch.full((1, 3, 512, 512), 0.5)
NAN = torch.full((1, 3, 512, 512), torch.nan)
BY = ("c" * 16, "c" * 16)
KNOWN = References((person(),), "0" * 16, "built-in", BY)
FOREIGN = replace(KNOWN, restorer="1" * 16)
EMBEDDERS = both(ColourEmbedder())
OTHERS = replace(KNOWN, embedder="insightface")


@pytest.fixture(scope="module")
def given(tmp_path_factory, tiny_codeformer):
    """Files that are no good, and a face on its way."""
    folder = tmp_path_factory.mktemp("errors")
    (folder / "text").write_text("no picture and no weights")
    for suffix in (".png", ".pth", ".safetensors", ".onnx"):
        (folder / f"text{suffix}").write_text("no picture and no weights")
    (folder / "file").touch()
    save_file({"x": torch.zeros(99)}, folder / "x.safetensors", {"restorer": "0" * 16, "embedder": "none"})
    (folder / "cut.safetensors").write_bytes((folder / "x.safetensors").read_bytes()[:-40])
    torch.save({"x": torch.nn.Linear(1, 1)}, folder / "code.pth")
    torch.save({"x": torch.zeros(1)}, folder / "x.pth")
    torch.save({"x": torch.tensor([torch.nan])}, folder / "nan.pth")
    torch.save({"x": torch.ones(1).expand(1024, 1024)}, folder / "expanded.pth")
    for name in ("detection_Resnet50_Final.pth", "det_10g.onnx", "w600k_r50.onnx"):
        (folder / name.split("_")[0]).mkdir()
    torch.save({"x": torch.zeros(1)}, folder / "detection/detection_Resnet50_Final.pth")
    (folder / "det/det_10g.onnx").write_text("no network")
    (folder / "w600k/w600k_r50.onnx").write_text("no network")
    Image.new("RGB", (8, 8)).save(folder / "small.webp", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])
    (folder / "cut.png").write_bytes((ROOT / "nodes/web/icon.png").read_bytes()[:200])
    Image.new("F", (8, 8)).save(folder / "kind.tif")
    _huge(folder / "huge.png")
    crops = crop.aligned_crops(FACES)
    restorer = Giving()
    return SimpleNamespace(
        folder=folder,
        crops=crops,
        cropped=crop.crop_faces([PHOTO], [FACE]),
        restorer=restorer,
        tokens=tokens.encode_tokens(crops, restorer),
        refining=tokens.encode_tokens(crops, Giving(prior=True)),
        codeformer=tokens.encode_tokens(crops, table.TokenRestorer(tiny_codeformer, "CodeFormer", "", "0" * 16)),
        tiny=tiny_codeformer,
        looks=[matching.look_at(crops, KNOWN, EMBEDDERS)],
    )


def _huge(path):
    """A PNG of a pixel whose header says that it has 900 million."""
    import struct
    import zlib

    Image.new("L", (1, 1)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 30000, 30000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def onnx_of(path, size):
    from restorer_files import onnx_file

    return onnx_file(path, size=size)


def missing(monkeypatch, *packages):
    """As where a package is not installed, whatever of it was imported before."""
    for name in list(sys.modules):
        if name.split(".")[0] in packages:
            monkeypatch.delitem(sys.modules, name)
    for name in packages:
        monkeypatch.setitem(sys.modules, name, None)


UNREADABLE = Path("/proc/self/mem")  # which even root cannot read at 0


def raising(error: Exception) -> None:
    raise error


def out_of_memory(part):
    raise torch.cuda.OutOfMemoryError("no room for one face")


def small_memory(monkeypatch):
    monkeypatch.setattr(opening, "free_memory", lambda: 8 << 30)


def samples16(folder, colours, width=8):
    """Read a TIFF of 16 bits without pixels."""
    short = {256: width, 257: width, 258: 16, 259: 1, 262: colours, 273: 8, 277: 3 if colours == 8 else 1, 279: 4}
    kept = tags.Tags(main={tag: tags.Tags().numbers(number) for tag, number in short.items()})
    data = b"II*\0\x08\0\0\0" + tags.assemble(kept)
    return tiff.samples16(data, tags.parse(data)[0], folder)


def linked(given, name):
    """A folder that holds a file of this name that cannot be read."""
    folder = given.folder / f"unreadable {name}"
    folder.mkdir(exist_ok=True)
    if not (folder / name).exists():
        (folder / name).symlink_to(UNREADABLE)
    return folder


@dataclass(frozen=True)
class Case:
    """One error.

    Attributes:
        function: as :attr:`Documented.function`.
        error: what must come.
        when: words of the docstring that it stands for.
        words: a pattern that the message must have.
        call: (given, monkeypatch) → what raises it.
        ours: whether the message is the project's; others' need not say what to do.
    """

    function: str
    error: type[BaseException]
    when: str
    words: str
    call: Callable[[SimpleNamespace, pytest.MonkeyPatch], object]
    ours: bool = True


V = ValueError
REFINING = pipeline.RestoreOptions(refinement=RefinementOptions(1))
PRIOR = "has no prior over clean latents and cannot refine; use the built-in restorer"
SHAPE = r"expected \(3, height, width\)"
ALIGNED = r"expected aligned faces, float, \(N, 3, 512, 512\)"
ONE_OF = "'zoe' is not among the people of the references; expected one of anna"
SAME_RESTORER = "encoded by the restorer 1{16}, but this is 'giving' 0{16}; expected the same one"
SAME_EMBEDDER = "embedded by 'insightface', but this is 'built-in'; expected the same one"
CASES = (
    # Batches
    Case("batches.face_batches", V, "any other shape", ALIGNED, lambda g, m: batches.face_batches(PHOTO, "cpu")),
    Case("batches.face_batches", V, "whole numbers", "uint8", lambda g, m: batches.face_batches(FACES.byte(), "cpu")),
    Case(
        "batches.check_faces",
        V,
        "`faces` is (N,3,512,512), floating point.",
        ALIGNED,
        lambda g, m: batches.check_faces(PHOTO[None]),
    ),
    Case(
        "batches.in_batches",
        torch.cuda.OutOfMemoryError,
        "one face is too much",
        "no room for one",
        lambda g, m: batches.in_batches(2, 2, out_of_memory),
        ours=False,
    ),
    Case(
        "devices.retried",
        NotImplementedError,
        "the CPU cannot do it either",
        "nowhere",
        lambda g, m: devices.retried(lambda: raising(NotImplementedError("nowhere"))),
        ours=False,
    ),
    Case(
        "devices.retried",
        RuntimeError,
        "what the step raises otherwise, too little memory included",
        "no room",
        lambda g, m: devices.retried(lambda: raising(torch.OutOfMemoryError("MPS has no room"))),
        ours=False,
    ),
    # Faces
    Case(
        "faces.mending.check_damage",
        V,
        "`damage` is one mask (1,H,W) in [0,1] for each photograph (3,H,W), of its size.",
        "expected one of the same size for each",
        lambda g, m: mending.check_damage([PHOTO], [PHOTO]),
    ),
    Case(
        "faces.mending.mended",
        V,
        "as :func:`check_damage`",
        "outside 0 to 1; expected",
        lambda g, m: mending.mended([PHOTO], [PHOTO[:1] + 2]),
    ),
    Case(
        "faces.mending.mended_crops",
        V,
        "masks that are not square",
        "expected one of the same size for each",
        lambda g, m: mending.mended_crops(crop.aligned_crops(torch.zeros(1, 3, 512, 512)), torch.zeros(1, 1, 512, 9)),
    ),
    Case(
        "faces.mending.mended_crops",
        V,
        "values outside 0 to 1",
        "outside 0 to 1; expected",
        lambda g, m: mending.mended_crops(
            crop.aligned_crops(torch.zeros(1, 3, 512, 512)), torch.full((1, 1, 512, 512), 255.0)
        ),
    ),
    Case(
        "faces.boxes.faces_in_boxes",
        V,
        "a box without area",
        "expected x0 < x1",
        lambda g, m: boxes.faces_in_boxes([PHOTO], [[(1.0, 1.0, 1.0, 9.0)]], [[1.0]], None),
    ),
    Case(
        "faces.boxes.faces_in_boxes",
        V,
        "not as many lists of boxes as photographs",
        "boxes for 0 photographs, but 1",
        lambda g, m: boxes.faces_in_boxes([PHOTO], [], [], None),
    ),
    Case(
        "faces.boxes.faces_in_boxes",
        V,
        "not as many scores as boxes",
        r"Got \[0\] scores for \[1\] boxes .* expected one for each",
        lambda g, m: boxes.faces_in_boxes([PHOTO], [[FACE.box]], [[]], None),
    ),
    Case(
        "faces.boxes.upright_landmarks",
        V,
        "a box without area",
        "The box was .* expected x0 < x1",
        lambda g, m: boxes.upright_landmarks((1.0, 1.0, 1.0, 9.0)),
    ),
    Case(
        "faces.boxes.faces_from_meshes",
        V,
        "other points than those of the mesh",
        r"landmarks \(9, 2\); expected MediaPipe's face mesh",
        lambda g, m: boxes.faces_from_meshes([[((0.0, 0.0, 9.0, 9.0), torch.zeros(9, 2), 1.0)]]),
    ),
    Case(
        "faces.crop.crop_faces",
        V,
        "photographs of another shape",
        SHAPE,
        lambda g, m: crop.crop_faces([PHOTO[:1]], []),
    ),
    Case(
        "faces.crop.crop_faces",
        V,
        "a size or a margin that is none",
        "size=0, margin=0.0; expected at least 1 px",
        lambda g, m: crop.crop_faces([PHOTO], [], 0),
    ),
    Case(
        "faces.crop.crop_faces",
        V,
        "a face of another photograph",
        "cropped from 1 photographs; give those",
        lambda g, m: crop.crop_faces([PHOTO], [replace(FACE, image=3)]),
    ),
    Case(
        "faces.crop.crop_faces",
        V,
        "landmarks that are not those of a face",
        "do not lie like a face's; expected left eye",
        lambda g, m: crop.crop_faces([PHOTO], [replace(FACE, landmarks=tuple(TEMPLATE[n] for n in (1, 0, 2, 4, 3)))]),
    ),
    Case(
        "faces.crop.with_pixels",
        V,
        "not one picture for each crop",
        "for 1 crops; expected one square RGB",
        lambda g, m: crop.with_pixels(g.crops, FACES.expand(2, -1, -1, -1)),
    ),
    Case(
        "faces.crop.with_pixels",
        V,
        "not square",
        r"\(1, 3, 512, 200\) for 1 crops; expected one square",
        lambda g, m: crop.with_pixels(g.crops, FACES[..., :200]),
    ),
    Case(
        "faces.crop.into_crops",
        V,
        "not as many templates as crops",
        r"Got restored faces \(0, 3, 512, 512\) .* expected \(1, 3, 512, 512\)",
        lambda g, m: crop.into_crops(g.crops, FACES[:0]),
    ),
    Case(
        "faces.crop.into_crops",
        V,
        "of another size",
        r"Got restored faces \(1, 3, 512, 200\)",
        lambda g, m: crop.into_crops(g.crops, FACES[..., :200]),
    ),
    Case(
        "faces.crop.aligned_crops",
        V,
        "faces of another size",
        r"\(1, 3, 512, 200\); expected \(N, 3, 512, 512\)",
        lambda g, m: crop.aligned_crops(FACES[..., :200]),
    ),
    Case(
        "faces.crop.check_photos",
        V,
        "`photos` is (B,3,H,W) or a sequence of (3,H,W), floating point, of a pixel or more.",
        f"uint8; {SHAPE}",
        lambda g, m: crop.check_photos([PHOTO.byte()]),
    ),
    Case(
        "faces.detect.load_detector",
        V,
        "the backend is unknown",
        "detector was 'dlib'; expected auto",
        lambda g, m: detect.load_detector("dlib"),
    ),
    Case(
        "faces.detect.load_detector",
        V,
        "not installed",
        "run 'pip install facexlib', or choose 'built-in'",
        lambda g, m: (m.setattr(detect, "_installed", lambda name: False), detect.load_detector("facexlib")),
    ),
    Case(
        "faces.detect.load_detector",
        V,
        "its file holds something else",
        "does not hold facexlib's RetinaFace.* Expected one of",
        lambda g, m: detect.load_detector("facexlib", g.folder / "detection"),
    ),
    Case(
        "faces.detect.load_detector",
        FileNotFoundError,
        "`models_dir` has no weights for it",
        "found no .* choose 'built-in'",
        lambda g, m: detect.load_detector("facexlib", g.folder / "det"),
    ),
    Case(
        "faces.detect.load_detector",
        OSError,
        "a file cannot be read",
        "Cannot read .* Check the file",
        lambda g, m: detect.load_detector("facexlib", linked(g, "mobilenet0.25_Final.pth")),
    ),
    Case(
        "faces.detect.detect_faces",
        V,
        "a photograph is not (3,H,W)",
        SHAPE,
        lambda g, m: detect.detect_faces([PHOTO[:1]], detect.Detector(None)),
    ),
    Case(
        "faces.detect.detect_faces",
        V,
        "holds values that are no numbers",
        "Photograph 0 .*not finite",
        lambda g, m: detect.detect_faces([PHOTO * torch.nan], detect.Detector(None)),
    ),
    Case(
        "faces.detect.detect_faces",
        V,
        "an argument is out of range",
        "threshold was 0; expected above 0",
        lambda g, m: detect.detect_faces([PHOTO], detect.Detector(None), threshold=0),
    ),
    Case(
        "faces.detectors.builtin.BuiltinBackend",
        OSError,
        "the file cannot be read",
        "no file .* Check the path",
        lambda g, m: builtin.BuiltinBackend(g.folder / "missing"),
    ),
    Case(
        "faces.detectors.builtin.BuiltinBackend",
        V,
        "the file holds something else",
        "x.safetensors'.*built-in detector",
        lambda g, m: builtin.BuiltinBackend(g.folder / "x.safetensors"),
    ),
    Case(
        "faces.detectors.facexlib.FacexlibBackend",
        ImportError,
        "facexlib is not installed",
        "facexlib",
        lambda g, m: (missing(m, "facexlib"), facexlib.FacexlibBackend([g.folder / "x.pth"])),
        ours=False,
    ),
    Case(
        "faces.detectors.facexlib.FacexlibBackend",
        ImportError,
        "torchvision does not fit torch",
        "torchvision",
        lambda g, m: (unfit(m), facexlib.FacexlibBackend([g.folder / "x.pth"])),
        ours=False,
    ),
    Case(
        "faces.detectors.facexlib.FacexlibBackend",
        OSError,
        "the file cannot be read",
        "no file .* Check the path",
        lambda g, m: facexlib.FacexlibBackend([g.folder / "missing"]),
    ),
    Case(
        "faces.detectors.facexlib.FacexlibBackend",
        V,
        "the file holds something else",
        "does not hold facexlib's RetinaFace",
        lambda g, m: facexlib.FacexlibBackend([g.folder / "x.pth"]),
    ),
    Case(
        "faces.detectors.insightface.InsightFaceBackend",
        ImportError,
        "insightface or onnxruntime is not installed",
        "insightface",
        lambda g, m: (missing(m, "insightface"), insightface.InsightFaceBackend([])),
        ours=False,
    ),
    Case(
        "faces.detectors.insightface.InsightFaceBackend",
        V,
        "none of the files is an SCRFD with five points",
        "SCRFD detector with five points; expected",
        lambda g, m: insightface.InsightFaceBackend([g.folder / "det/det_10g.onnx"]),
    ),
    Case(
        "faces.identity.Embedder.embed",
        V,
        "the faces have another shape or whole numbers",
        ALIGNED,
        lambda g, m: identity.BuiltinEmbedder().embed(PHOTO[None]),
    ),
    Case(
        "faces.identity.BuiltinEmbedder",
        OSError,
        "the file cannot be read",
        "no file .* Check the path",
        lambda g, m: identity.BuiltinEmbedder(g.folder / "missing"),
    ),
    Case(
        "faces.identity.BuiltinEmbedder",
        V,
        "the file holds something else",
        "does not say what cosines of 'built-in' mean; expected",
        lambda g, m: identity.BuiltinEmbedder(g.folder / "x.safetensors"),
    ),
    Case(
        "faces.identity.InsightFaceEmbedder",
        ImportError,
        "insightface or onnxruntime is not installed",
        "insightface",
        lambda g, m: (missing(m, "insightface"), identity.InsightFaceEmbedder([])),
        ours=False,
    ),
    Case(
        "faces.identity.InsightFaceEmbedder",
        V,
        "none of the files is a recognition network",
        "is a face-recognition network; expected",
        lambda g, m: identity.InsightFaceEmbedder([g.folder / "w600k/w600k_r50.onnx"]),
    ),
    Case(
        "faces.identity.read_calibration",
        V,
        "the file does not say",
        "does not say what cosines of 'insightface' mean; expected",
        lambda g, m: identity.read_calibration(g.folder / "x.safetensors", "insightface"),
    ),
    Case(
        "faces.identity.load_embedder",
        V,
        "the choice is unknown",
        "embedder was 'arcface'; expected auto",
        lambda g, m: identity.load_embedder("arcface"),
    ),
    Case(
        "faces.identity.load_embedder",
        V,
        "not installed",
        "pip install insightface.*choose 'built-in'",
        lambda g, m: (
            m.setattr(identity.importlib.util, "find_spec", lambda name: None),
            identity.load_embedder("insightface"),
        ),
    ),
    Case(
        "faces.identity.load_embedder",
        V,
        "its file holds something else",
        "is a face-recognition network; expected",
        lambda g, m: identity.load_embedder("insightface", models_dir=g.folder / "w600k"),
    ),
    Case(
        "faces.identity.load_embedder",
        FileNotFoundError,
        "`models_dir` has no weights for it",
        "found no .* choose 'built-in'",
        lambda g, m: identity.load_embedder("insightface", models_dir=g.folder / "det"),
    ),
    Case(
        "faces.identity.load_embedder",
        OSError,
        "a file cannot be read",
        "Cannot read .* Check the file",
        lambda g, m: (
            m.setattr(identity, "BuiltinEmbedder", partial(identity.BuiltinEmbedder, UNREADABLE)),
            identity.load_embedder("built-in"),
        ),
    ),
    Case(
        "faces.paste.paste_faces",
        V,
        "another number of restored faces or masks than of crops",
        "0 restored faces for 1 crops; give exactly one",
        lambda g, m: paste.paste_faces([PHOTO], g.cropped, FACES[:0]),
    ),
    Case(
        "faces.paste.paste_faces",
        V,
        "other photographs than those the crops came from",
        "came from 1 photographs .* paste into the photographs that were cropped",
        lambda g, m: paste.paste_faces([PHOTO[:, :99]], g.cropped, FACES),
    ),
    Case(
        "faces.paste.paste_faces",
        V,
        "masks of the photographs of another size",
        r"photo masks of \(1, 9, 9\) .* give one of the same size",
        lambda g, m: paste.paste_faces([PHOTO], g.cropped, FACES, photo_masks=[torch.ones(1, 9, 9)]),
    ),
    Case(
        "faces.paste.paste_faces",
        V,
        "with `in_place` pictures that share their memory",
        "share their memory.*expected pictures of their own. Give clones",
        lambda g, m: paste.paste_faces([PHOTO[:1].expand(3, -1, -1)], g.cropped, FACES, in_place=True),
    ),
    Case(
        "faces.paste.paste_faces",
        V,
        "a background of other proportions",
        r"background of \(300, 200\) .* expected the same proportions",
        lambda g, m: paste.paste_faces([PHOTO], g.cropped, FACES, background=[torch.zeros(3, 300, 200)]),
    ),
    Case(
        "faces.paste.paste_faces",
        V,
        "restored pixels that are not finite",
        "not numbers .* nothing was pasted",
        lambda g, m: paste.paste_faces([PHOTO], g.cropped, NAN),
    ),
    Case(
        "faces.select.select_faces",
        V,
        "an unknown order",
        "order was 'size'; expected one of",
        lambda g, m: select.select_faces([], select.Choice("size")),
    ),
    Case(
        "faces.select.select_faces",
        V,
        "indices that cannot be read",
        "indices were 'x'; expected numbers",
        lambda g, m: select.select_faces([], select.Choice(indices="x")),
    ),
    Case(
        "faces.select.parse_indices",
        V,
        "anything else",
        "indices were '3-1'; expected numbers",
        lambda g, m: select.parse_indices("3-1"),
    ),
    # Files
    Case(
        "files.checkpoints.inspect",
        OSError,
        "there is no such file",
        "There is no file .*missing'; expected",
        lambda g, m: checkpoints.inspect(g.folder / "missing"),
    ),
    Case(
        "files.checkpoints.inspect",
        OSError,
        "it cannot be read",
        "Cannot read '/proc/self/mem'",
        lambda g, m: checkpoints.inspect(UNREADABLE),
    ),
    Case(
        "files.checkpoints.inspect",
        V,
        "the file is something else",
        "not a weights file but text .* expected",
        lambda g, m: checkpoints.inspect(g.folder / "text.pth"),
    ),
    Case(
        "files.checkpoints.inspect",
        V,
        "truncated",
        "is truncated",
        lambda g, m: checkpoints.inspect(g.folder / "cut.safetensors"),
    ),
    Case(
        "files.checkpoints.inspect",
        V,
        "damaged",
        "tensor 'x' has 4194304 bytes, the whole file .* download it again",
        lambda g, m: checkpoints.inspect(g.folder / "expanded.pth"),
    ),
    Case(
        "files.checkpoints.inspect",
        V,
        "names code that is not part of plain weights",
        "refused and nothing in it was run: .* expected plain weights",
        lambda g, m: checkpoints.inspect(g.folder / "code.pth"),
    ),
    Case(
        "files.checkpoints.read",
        OSError,
        "as :func:`inspect`",
        "There is no file",
        lambda g, m: checkpoints.read(g.folder / "missing"),
    ),
    Case(
        "files.checkpoints.read",
        V,
        "also where the data are damaged",
        "truncated",
        lambda g, m: checkpoints.read(g.folder / "cut.safetensors"),
    ),
    Case(
        "files.checkpoints.read",
        V,
        "where numbers are not finite",
        "'x' of .* holds NaN or infinite values; expected finite weights",
        lambda g, m: checkpoints.read(g.folder / "nan.pth"),
    ),
    Case(
        "files.checkpoints.read",
        V,
        "and for ONNX, which is run, not read",
        "is an ONNX network, which has no tensors to load; expected",
        lambda g, m: checkpoints.read(onnx_of(g.folder / "read.onnx", 8)),
    ),
    Case(
        "files.checkpoints.about",
        OSError,
        "the file is missing",
        "There is no file .* Check the path",
        lambda g, m: checkpoints.about(g.folder / "missing"),
    ),
    Case(
        "files.checkpoints.about",
        OSError,
        "cannot be read",
        "Cannot read '/proc/self/mem'",
        lambda g, m: checkpoints.about(UNREADABLE),
    ),
    Case(
        "files.checkpoints.about",
        V,
        "it is something else",
        "not a weights file but text",
        lambda g, m: checkpoints.about(g.folder / "text"),
    ),
    Case(
        "files.checkpoints.about",
        V,
        "damaged",
        "truncated",
        lambda g, m: checkpoints.about(g.folder / "cut.safetensors"),
    ),
    Case(
        "files.images.read_photo",
        OSError,
        "the file is missing",
        "No such file .* Check the path",
        lambda g, m: images.read_photo(g.folder / "missing"),
    ),
    Case(
        "files.images.read_photo",
        OSError,
        "cannot be read",
        "directory.* expected a picture",
        lambda g, m: images.read_photo(g.folder),
    ),
    Case(
        "files.images.read_photo",
        images.PictureError,
        "it holds no picture",
        "not a picture that can be read; expected",
        lambda g, m: images.read_photo(g.folder / "text.png"),
    ),
    Case(
        "files.images.read_photo",
        images.PictureError,
        "a broken",
        "broken .* expected a whole",
        lambda g, m: images.read_photo(g.folder / "cut.png"),
    ),
    Case(
        "files.images.read_photo",
        images.PictureError,
        "moving",
        "holds 2 pictures, which move; expected one",
        lambda g, m: images.read_photo(g.folder / "small.webp"),
    ),
    Case(
        "files.images.read_photo",
        images.PictureError,
        "too large one",
        "30000x30000 pixels need .* expected a smaller picture",
        lambda g, m: (small_memory(m), images.read_photo(g.folder / "huge.png")),
    ),
    Case(
        "files.images.read_photo",
        images.PictureError,
        "one of a kind that is not supported",
        "of kind 'F'; expected",
        lambda g, m: images.read_photo(g.folder / "kind.tif"),
    ),
    Case(
        "files.opening.load",
        images.PictureError,
        "it is larger than the memory",
        "pixels need .* expected a smaller picture",
        lambda g, m: (small_memory(m), opening.load((g.folder / "huge.png").read_bytes(), g.folder)),
    ),
    Case(
        "files.opening.load",
        images.PictureError,
        "of a format that is not known",
        "not a picture that can be read; expected",
        lambda g, m: opening.load(b"text", g.folder),
    ),
    Case(
        "files.opening.load",
        images.PictureError,
        "moving",
        "holds 2 pictures, which move; expected one",
        lambda g, m: opening.load((g.folder / "small.webp").read_bytes(), g.folder),
    ),
    Case(
        "files.opening.load",
        images.PictureError,
        "broken",
        "broken .* expected a whole",
        lambda g, m: opening.load((g.folder / "cut.png").read_bytes(), g.folder),
    ),
    Case(
        "files.opening.check_memory",
        images.PictureError,
        "a picture of this size [px] is larger than the memory that is free",
        "pixels need .* expected a smaller picture",
        lambda g, m: (small_memory(m), opening.check_memory((30_000, 30_000), g.folder)),
    ),
    Case(
        "files.tags.parse",
        V,
        "it begins as neither does",
        "expected the start of TIFF tags",
        lambda g, m: tags.parse(b"no tags here"),
    ),
    Case(
        "files.tiff.of_large_file",
        images.PictureError,
        "it has more than 8 bits a channel",
        "BigTIFF of more than 8 bits a channel; expected 8. Save",
        lambda g, m: tiff.of_large_file(SimpleNamespace(tag_v2={258: (16, 16, 16)}), g.folder),
    ),
    Case(
        "files.tiff.samples16",
        images.PictureError,
        "colours of another kind",
        "TIFF of 16 bits, kind 8, .* expected grey, RGB or CMYK. Convert it",
        lambda g, m: samples16(g.folder, 8),
    ),
    Case(
        "files.tiff.samples16",
        images.PictureError,
        "a picture larger than the memory",
        "pixels need .* expected a smaller picture",
        lambda g, m: (small_memory(m), samples16(g.folder, 1, 2_000_000)),
    ),
    Case(
        "files.tiff.samples16",
        images.PictureError,
        "a broken file",
        "broken .* expected a whole",
        lambda g, m: samples16(g.folder, 1, 80),
    ),
    Case(
        "files.images.encode_photo",
        images.PictureError,
        "the suffix is unknown",
        r"suffix '\.gif' was given; expected one of",
        lambda g, m: images.encode_photo(g.folder / "a.gif", images.Photo(PHOTO)),
    ),
    Case(
        "files.images.encode_photo",
        images.PictureError,
        "the format cannot hold the picture (alpha",
        "alpha channel, which JPEG cannot hold. Write PNG",
        lambda g, m: images.encode_photo(g.folder / "a.jpg", images.Photo(PHOTO, PHOTO[:1])),
    ),
    Case(
        "files.images.encode_photo",
        images.PictureError,
        "its size)",
        "WEBP cannot hold this picture of 20000x1 .* Write PNG",
        lambda g, m: images.encode_photo(g.folder / "a.webp", images.Photo(torch.zeros(3, 1, 20000))),
    ),
    Case(
        "files.images.write_photo",
        images.PictureError,
        "as :func:`encode_photo`",
        "alpha channel, which JPEG cannot hold. Write PNG",
        lambda g, m: images.write_photo(g.folder / "a.jpg", images.Photo(PHOTO, PHOTO[:1])),
    ),
    Case(
        "files.images.write_photo",
        OSError,
        "it could not be written",
        "could not be written .* expected a folder",
        lambda g, m: images.write_photo(g.folder / "file/a.png", images.Photo(PHOTO)),
    ),
    Case(
        "files.images.write_atomically",
        OSError,
        "it could not be written",
        "could not be written .* expected a folder",
        lambda g, m: images.write_atomically(g.folder / "file/a", b"x"),
    ),
    Case(
        "files.networks.filled",
        V,
        "the tensors do not make the network",
        "weights of it do not fit: 'weight' is missing. Download them again",
        lambda g, m: networks.filled(lambda state: torch.nn.Linear(1, len(state["weight"])), {}, "it"),
    ),
    Case(
        "files.pickle_index.read_index",
        pickle_index.ForbiddenError,
        "it names code",
        "builtins.print",
        lambda g, m: pickle_index.read_index(io.BytesIO(b"cbuiltins\nprint\n.")),
        ours=False,
    ),
    Case(
        "files.pickle_index.read_index",
        pickle.UnpicklingError,
        "it holds what `torch.save` does not write. Where its bytes are damaged, nearly any other error may come: "
        "pickle promises no list",
        "an instruction that weights do not need",
        lambda g, m: pickle_index.read_index(io.BytesIO(b"\x8f.")),
        ours=False,
    ),
    # Mathematics and networks
    Case(
        "geometry.fit_similarity",
        V,
        "the source points coincide",
        "all source points coincide; five different landmarks were expected",
        lambda g, m: fit_similarity(torch.ones(5, 2), torch.tensor(TEMPLATE)),
    ),
    Case(
        "geometry.fit_similarity",
        V,
        "there are not as many points, or points of more than two numbers",
        r"points \(4, 2\) to bring to \(5, 2\); expected as many",
        lambda g, m: fit_similarity(torch.rand(4, 2), torch.tensor(TEMPLATE)),
    ),
    Case(
        "geometry.invert",
        V,
        "there is none: everything falls on a line, a number is not finite, or the shape is another",
        "cannot be inverted; expected finite numbers",
        lambda g, m: geometry.invert(torch.zeros(2, 3)),
    ),
    Case(
        "geometry.to_template",
        V,
        "less than a pixel, or a margin that is negative or not finite",
        "size=0, margin=0; expected at least 1 px",
        lambda g, m: geometry.to_template(0, 0),
    ),
    Case(
        "geometry.warp",
        V,
        "an affine without an inverse",
        "cannot be inverted; expected finite numbers",
        lambda g, m: geometry.warp(PHOTO, torch.zeros(2, 3), (4, 4)),
    ),
    Case(
        "geometry.warp",
        V,
        "one that looks further away than any picture lies",
        r"looks at \[.*; expected at most 1e\+15 px",
        lambda g, m: geometry.warp(PHOTO, torch.tensor([[1.0, 0, 1e30], [0, 1, 0]]), (4, 4)),
    ),
    Case(
        "geometry.warp",
        V,
        "a picture or a result without a pixel; another padding",
        "a result of .0, 4. and the padding 'border'; expected",
        lambda g, m: geometry.warp(PHOTO, torch.eye(2, 3), (0, 4)),
    ),
    Case(
        "models.codeformer.config_from_state",
        KeyError,
        "a tensor that every CodeFormer has is missing",
        "",
        lambda g, m: codeformer.config_from_state({}),
        ours=False,
    ),
    Case(
        "models.codeformer.CodeFormer.decode",
        V,
        "a quality weight other than 1",
        "quality weight of 0.5; it has 1 only.* Set quality to 1",
        lambda g, m: g.tiny.decode(torch.zeros(1, 32, 16, 16), torch.zeros(1, 32, 16, 16), {}, 0.0, 0.5),
    ),
    Case(
        "models.embedding.RecognitionCrop.forward",
        V,
        "the faces are no squares of such a side",
        "512x200 px; expected squares",
        lambda g, m: embedding.RecognitionCrop()(FACES[:, :, :200]),
    ),
    Case(
        "models.lookup.look_up",
        V,
        "k is larger than the codebook",
        "k=4, but the codebook has 3 words; set k to 3 or less",
        lambda g, m: lookup.look_up(torch.zeros(1, 1, 3), torch.zeros(3, 2), Lookup("top-k", k=4), side=1),
    ),
    # References
    Case(
        "references.compare.compare_identity",
        V,
        "photographs of different sizes",
        "Before was 1 of 512x512, but after 0 of 512x512; give",
        lambda g, m: compare.compare_identity(FACES, FACES[:0], None, ColourEmbedder(), KNOWN),
    ),
    Case(
        "references.compare.compare_identity",
        V,
        "references without people",
        "hold nobody to compare with; give",
        lambda g, m: compare.compare_identity(FACES, FACES, None, ColourEmbedder(), replace(KNOWN, people=())),
    ),
    Case(
        "references.compare.compare_identity",
        V,
        "of another embedder",
        SAME_EMBEDDER,
        lambda g, m: compare.compare_identity(FACES, FACES, None, ColourEmbedder(), OTHERS),
    ),
    Case(
        "references.likeness.likeness",
        V,
        "the people's embeddings have another length",
        "references of 'anna' have 3 numbers; expected 2",
        lambda g, m: likeness.likeness(torch.ones(1, 2), KNOWN),
    ),
    Case(
        "references.likeness.likeness",
        V,
        "those given are no (N,E)",
        r"embeddings of shape \(3,\), torch.float32; expected float",
        lambda g, m: likeness.likeness(torch.ones(3), KNOWN),
    ),
    Case(
        "references.encoding.encode_references",
        V,
        "the restorer has no tokens",
        "'whole' restores whole faces and cannot read references; expected",
        lambda g, m: encoding.encode_references([], Whole(), EMBEDDERS, None),
    ),
    Case(
        "references.encoding.encode_references",
        V,
        "`onto` was made by others",
        SAME_RESTORER,
        lambda g, m: encoding.encode_references([], g.restorer, EMBEDDERS, None, FOREIGN),
    ),
    Case(
        "references.encoding.encode_references",
        V,
        "a photograph is no such tensor",
        SHAPE,
        lambda g, m: encoding.encode_references(
            [views.ReferencePhoto(PHOTO[:1], "a", "anna")],
            g.restorer,
            EMBEDDERS,
            lambda photos: detect.detect_faces(photos, detect.Detector(None)),
        ),
    ),
    Case(
        "references.encoding.check_restorer",
        V,
        "the references were encoded by this restorer.",
        SAME_RESTORER,
        lambda g, m: encoding.check_restorer(FOREIGN, g.restorer),
    ),
    Case(
        "references.encoding.check_embedder",
        V,
        "the references are matched by this embedder.",
        SAME_EMBEDDER,
        lambda g, m: encoding.check_embedder(OTHERS, ColourEmbedder()),
    ),
    Case(
        "references.encoding.check_embedders",
        V,
        "the references were embedded by these embedders.",
        "weights b{16} of the embedder 'built-in', but these are c{16}; expected the same",
        lambda g, m: encoding.check_embedders(replace(KNOWN, embedded_by=("c" * 16, "b" * 16)), EMBEDDERS),
    ),
    Case(
        "references.matching.match_faces",
        V,
        "as these",
        SAME_EMBEDDER,
        lambda g, m: matching.match_faces(g.crops, OTHERS, EMBEDDERS),
    ),
    Case(
        "references.matching.look_at",
        V,
        "other embedders",
        SAME_EMBEDDER,
        lambda g, m: matching.look_at(g.crops, OTHERS, EMBEDDERS),
    ),
    Case(
        "references.matching.look_at",
        V,
        "embeddings of another length than theirs",
        "references of 'anna' have 3 numbers; expected 2",
        lambda g, m: matching.look_at(g.crops, KNOWN, both(ShortEmbedder())),
    ),
    Case(
        "references.matching.match_looks",
        V,
        "as :func:`match_people`",
        "threshold of matching was 2; expected",
        lambda g, m: matching.match_looks(g.looks, KNOWN, 2),
    ),
    Case(
        "references.matching.match_people",
        V,
        "a name that is not among the references",
        ONE_OF,
        lambda g, m: matching.match_people(torch.zeros(1, 1), torch.zeros(1, 1), [0], KNOWN, manual={0: "zoe"}),
    ),
    Case(
        "references.matching.match_people",
        V,
        "tensors of other shapes or that are not finite",
        r"evidence of 1 faces and 1 people .* expected \(1, 1\) numbers",
        lambda g, m: matching.match_people(torch.full((1, 1), torch.nan), torch.zeros(1, 1), [0], KNOWN),
    ),
    Case(
        "references.matching.match_people",
        V,
        "a place that is none of the faces'",
        "Place 7 was named by hand; expected 0 to 0",
        lambda g, m: matching.match_people(torch.zeros(1, 1), torch.zeros(1, 1), [0], KNOWN, manual={7: "anna"}),
    ),
    Case(
        "references.matching.match_people",
        V,
        "a threshold that is no such chance",
        "threshold of matching was 0; expected a chance above 0",
        lambda g, m: matching.match_people(torch.zeros(1, 1), torch.zeros(1, 1), [0], KNOWN, 0),
    ),
    Case(
        "references.matching.check_threshold",
        V,
        "the threshold is a chance.",
        "threshold of matching was 1; expected a chance",
        lambda g, m: matching.check_threshold(1),
    ),
    Case(
        "references.names.check_names",
        V,
        "all names are among the references', if there are any, or those of others to come.",
        ONE_OF,
        lambda g, m: names.check_names(["anna", "zoe"], KNOWN),
    ),
    Case(
        "references.names.check_numbers",
        V,
        "somebody is named by the number of a face that there is not, if there are any faces.",
        "8=anna names no face: expected one of the faces 1",
        lambda g, m: names.check_numbers({7: "anna"}, [FACE]),
    ),
    Case(
        "references.names.parse_manual",
        V,
        "anything else",
        "matches were 'anna'; expected numbers of faces, from 1, and names",
        lambda g, m: names.parse_manual("anna"),
    ),
    Case(
        "references.saving.save_references",
        OSError,
        "the file could not be written",
        "could not be written .* expected a folder",
        lambda g, m: saving.save_references(KNOWN, g.folder / "file/a.safetensors"),
    ),
    Case(
        "references.saving.save_references",
        V,
        "the references could not be read again",
        "cannot be saved: the embedder is 'x'; expected one of .* Encode the photographs again",
        lambda g, m: saving.save_references(replace(KNOWN, embedder="x"), g.folder / "a.safetensors"),
    ),
    Case(
        "references.saving.load_references",
        V,
        "references with values that cannot be",
        "cannot be used: 'faces' of 'anna' holds NaN .*; expected numbers. Encode",
        lambda g, m: (saved_nan(g.folder / "nan.safetensors"), saving.load_references(g.folder / "nan.safetensors")),
    ),
    Case(
        "references.soundness.check_shape",
        V,
        "a tensor has a row for each photograph and is no larger than any restorer's.",
        r"'x' has the shape \(2, 3\); expected 1 rows",
        lambda g, m: soundness.check_shape("x", (2, 3), 1),
    ),
    Case(
        "references.soundness.check_sound",
        V,
        "references can be used by the restorer and the embedder that they name.",
        "a fingerprint is 'x'; expected sixteen digits",
        lambda g, m: soundness.check_sound(replace(KNOWN, restorer="x")),
    ),
    Case(
        "references.saving.load_references",
        OSError,
        "the file is missing",
        "Cannot read .*missing': .* Check the path",
        lambda g, m: saving.load_references(g.folder / "missing"),
    ),
    Case(
        "references.saving.load_references",
        OSError,
        "cannot be read",
        "Cannot read '/proc/self/mem'",
        lambda g, m: saving.load_references(UNREADABLE),
    ),
    Case(
        "references.saving.load_references",
        V,
        "it holds something else",
        "holds no references .* expected a file that was saved",
        lambda g, m: saving.load_references(g.folder / "x.safetensors"),
    ),
    Case(
        "references.transfer.transfer_texture",
        V,
        "references of another restorer",
        SAME_RESTORER,
        lambda g, m: transfer.transfer_texture(g.tokens, FOREIGN),
    ),
    Case(
        "references.transfer.transfer_texture",
        V,
        "a name that is not among them",
        ONE_OF,
        lambda g, m: transfer.transfer_texture(g.tokens, KNOWN, people=["zoe"]),
    ),
    Case(
        "references.transfer.transfer_texture",
        V,
        "not as many names as faces",
        "2 names for 1 faces",
        lambda g, m: transfer.transfer_texture(g.tokens, KNOWN, people=["anna", None]),
    ),
    Case(
        "references.transfer.transfer_texture",
        V,
        "a strength outside 0 to 1",
        "strength of the references was 2; expected 0 to 1",
        lambda g, m: transfer.transfer_texture(g.tokens, KNOWN, 2),
    ),
    Case(
        "references.transfer.transfer_texture",
        V,
        "with features of other shapes",
        r"content of the references of 'anna' have the shape \(8, 4, 4\), but .* expected the same. Encode",
        lambda g, m: transfer.transfer_texture(
            g.tokens, replace(KNOWN, people=(replace(person(), content=torch.zeros(1, 8, 4, 4)),)), people=["anna"]
        ),
    ),
    Case(
        "references.views.ReferencePhoto",
        V,
        "another weight",
        "weight of 'a' was 0; expected 1e-06 to 1e",
        lambda g, m: views.ReferencePhoto(PHOTO, "a", "anna", 0),
    ),
    Case(
        "references.views.ReferencePhoto",
        V,
        "a name that is empty",
        "'a' names no person; expected a name",
        lambda g, m: views.ReferencePhoto(PHOTO, "a", ""),
    ),
    Case(
        "references.transfer.photographs_for",
        V,
        "as there, and the arguments are those of there",
        ONE_OF,
        lambda g, m: transfer.photographs_for(g.tokens, KNOWN, ["zoe"]),
    ),
    Case(
        "references.transfer.check_strength",
        V,
        "the strength is 0 to 1.",
        "strength of the references was -1; expected 0 to 1",
        lambda g, m: transfer.check_strength(-1),
    ),
    # Restorers and their steps
    Case(
        "restorers.table.attach_transfer",
        V,
        "the file is damaged",
        "truncated",
        lambda g, m: table.attach_transfer(Whole(), g.restorer.network, g.folder / "cut.safetensors"),
    ),
    Case(
        "restorers.table.attach_transfer",
        OSError,
        "the file is damaged",
        "Cannot read '/proc/self/mem'",
        lambda g, m: table.attach_transfer(Whole(), g.restorer.network, UNREADABLE),
    ),
    Case(
        "restorers.table.attach_prior",
        V,
        "the file is damaged",
        "truncated",
        lambda g, m: table.attach_prior(Whole(), g.restorer.network, g.folder / "cut.safetensors"),
    ),
    Case(
        "restorers.table.attach_prior",
        OSError,
        "the file is damaged",
        "Cannot read '/proc/self/mem'",
        lambda g, m: table.attach_prior(Whole(), g.restorer.network, UNREADABLE),
    ),
    Case(
        "restorers.table.describe",
        V,
        "as :func:`..files.checkpoints.inspect`",
        "not a weights file but text",
        lambda g, m: table.describe(g.folder / "text.pth"),
    ),
    Case(
        "restorers.table.describe",
        OSError,
        "as :func:`..files.checkpoints.inspect`",
        "There is no file",
        lambda g, m: table.describe(g.folder / "missing"),
    ),
    Case(
        "restorers.table.load_restorer",
        OSError,
        "the file is missing",
        "There is no file",
        lambda g, m: table.load_restorer(g.folder / "missing"),
    ),
    Case(
        "restorers.table.load_restorer",
        OSError,
        "cannot be read",
        "Cannot read",
        lambda g, m: table.load_restorer(UNREADABLE),
    ),
    Case(
        "restorers.table.load_restorer",
        V,
        "it is no restorer that is known",
        "of no restorer that is known; expected",
        lambda g, m: table.load_restorer(g.folder / "x.pth"),
    ),
    Case(
        "restorers.table.load_restorer",
        V,
        "damaged",
        "truncated",
        lambda g, m: table.load_restorer(g.folder / "cut.safetensors"),
    ),
    Case(
        "restorers.table.load_restorer",
        V,
        "refused",
        "refused and nothing in it was run",
        lambda g, m: table.load_restorer(g.folder / "code.pth"),
    ),
    Case(
        "restorers.table.load_restorer",
        V,
        "another dtype was asked for",
        "run in torch.float16; expected float32 or bfloat16",
        lambda g, m: table.load_restorer(dtype=torch.float16),
    ),
    Case(
        "restorers.table.load_restorer",
        ImportError,
        "it needs a package that is not installed",
        "onnxruntime is not installed. Install it",
        lambda g, m: (missing(m, "onnxruntime"), table.load_restorer(onnx_of(g.folder / "load.onnx", 512))),
    ),
    Case(
        "restorers.third_party.SpandrelRestorer",
        V,
        "the tensors do not make this architecture",
        "look like GFPGAN, but its network cannot take them .* expected the published",
        lambda g, m: third_party.SpandrelRestorer({"x": torch.zeros(1)}, "GFPGAN", "", torch.device("cpu"), None),
    ),
    Case(
        "restorers.third_party.OnnxRestorer",
        ImportError,
        "onnxruntime is not installed",
        "onnxruntime is not installed. Install it",
        lambda g, m: (missing(m, "onnxruntime"), third_party.OnnxRestorer(g.folder / "x.onnx", torch.device("cpu"))),
    ),
    Case(
        "restorers.third_party.OnnxRestorer",
        V,
        "not an ONNX network",
        "onnxruntime cannot load .* expected a 512 px face",
        lambda g, m: third_party.OnnxRestorer(g.folder / "text.onnx", torch.device("cpu")),
    ),
    Case(
        "restorers.third_party.OnnxRestorer",
        V,
        "one with other inputs",
        "expected one picture .* Choose a 512 px",
        lambda g, m: third_party.OnnxRestorer(onnx_of(g.folder / "small.onnx", 256), torch.device("cpu")),
    ),
    Case(
        "restorers.token_restorer.TokenRestorer.restore",
        V,
        "faces of another shape",
        ALIGNED,
        lambda g, m: g.restorer.restore(FACES[..., :200]),
    ),
    Case(
        "restorers.token_restorer.TokenRestorer.restore",
        V,
        "a fidelity outside 0 to 1",
        "Fidelity was 2; expected 0",
        lambda g, m: g.restorer.restore(FACES, 2),
    ),
    Case(
        "restorers.token_restorer.TokenRestorer.transfer",
        V,
        "the network has no part that transfers",
        "'giving' has no weights that read references; blend",
        lambda g, m: table.TokenRestorer.transfer(g.restorer, g.tokens, [None]),
    ),
    Case(
        "restorers.tokens.encode_tokens",
        V,
        "the restorer has no tokens",
        "'whole' restores whole faces and has no tokens; expected",
        lambda g, m: tokens.encode_tokens(g.crops, Whole()),
    ),
    Case(
        "restorers.tokens.restore_tokens",
        V,
        "a weight outside 0 to 1",
        "content weight was 2; expected 0 to 1",
        lambda g, m: tokens.restore_tokens(g.tokens, 2),
    ),
    Case(
        "restorers.tokens.decode_tokens",
        V,
        "the restorer cannot draw at the weights set",
        "quality weight of 0.5; it has 1 only",
        lambda g, m: tokens.decode_tokens(tokens.restore_tokens(g.codeformer, 0.5, 0.5)),
    ),
    # The whole
    Case(
        "refinement.RefinementOptions",
        V,
        "one of them out of range",
        "Got 99 steps of refinement; expected 0",
        lambda g, m: RefinementOptions(99),
    ),
    Case(
        "refinement.RefinementOptions.resolved",
        V,
        "steps of a restorer that cannot refine",
        PRIOR,
        lambda g, m: RefinementOptions(1).resolved(g.restorer),
    ),
    Case(
        "refinement.refine_tokens",
        V,
        "a restorer without a prior",
        PRIOR,
        lambda g, m: refinement.refine_tokens(g.tokens, RefinementOptions(1)),
    ),
    Case(
        "refinement.refine_tokens",
        V,
        "options that were not resolved",
        "steps of refinement were None; expected a number",
        lambda g, m: refinement.refine_tokens(g.refining, RefinementOptions()),
    ),
    Case(
        "refinement.refine_tokens",
        V,
        "no embedder where one is needed",
        "Got no identity embedder; expected one",
        lambda g, m: refinement.refine_tokens(g.refining, RefinementOptions(1, 0.5)),
    ),
    Case(
        "refinement.refine_tokens",
        V,
        "not as many people as faces",
        "Got 0 people for 1 faces; expected one for each",
        lambda g, m: refinement.refine_tokens(g.refining, RefinementOptions(1), []),
    ),
    Case(
        "stages.draw_faces",
        V,
        "as the stages, :func:`.refinement.refine_tokens` among them",
        PRIOR,
        lambda g, m: stages.draw_faces(g.crops, g.restorer, refinement=RefinementOptions(1)),
    ),
    Case(
        "loading.Models.telling_apart",
        V,
        "there are none",
        "Got models without embedders; expected them where people are told apart",
        lambda g, m: Models(g.restorer).telling_apart,
    ),
    Case(
        "loading.load_models",
        OSError,
        "as those functions",
        "There is no file '.*nothing.safetensors'; expected weights",
        lambda g, m: loading.load_models(g.folder / "nothing.safetensors"),
    ),
    Case(
        "loading.load_models", V, "as those", "expected auto, insightface", lambda g, m: loading.load_models(None, "x")
    ),
    Case(
        "loading.load_models",
        ImportError,
        "functions",
        "onnxruntime is not installed",
        lambda g, m: (missing(m, "onnxruntime"), loading.load_models(onnx_of(g.folder / "models.onnx", 512))),
    ),
    Case(
        "references.options.ReferenceOptions",
        V,
        "a strength or a threshold out of range",
        "strength of the references was 2; expected 0 to 1",
        lambda g, m: ReferenceOptions(2),
    ),
    Case(
        "faces.paste.PasteOptions",
        V,
        "one of them out of range",
        "scale was 9; expected above 0 and at most 8",
        lambda g, m: paste.PasteOptions(scale=9),
    ),
    Case(
        "pipeline.RestoreOptions",
        V,
        "a number outside 0 to 1",
        "fidelity was 2; expected 0 to 1",
        lambda g, m: pipeline.RestoreOptions(2),
    ),
    Case(
        "pipeline.RestoreOptions.resolved",
        V,
        "as :meth:`.refinement.RefinementOptions.resolved`",
        PRIOR,
        lambda g, m: REFINING.resolved(g.restorer),
    ),
    Case(
        "pipeline.check_references",
        V,
        "another restorer or other embedders made them",
        SAME_RESTORER,
        lambda g, m: pipeline.check_references(FOREIGN, ReferenceOptions(), Models(g.restorer, EMBEDDERS)),
    ),
    Case(
        "pipeline.check_references",
        V,
        "a name given by hand is not among them",
        ONE_OF,
        lambda g, m: pipeline.check_references(
            KNOWN, ReferenceOptions(manual={0: "zoe"}), Models(g.restorer, EMBEDDERS)
        ),
    ),
    Case(
        "pipeline.restore_photos",
        V,
        "photographs that are no such tensor",
        SHAPE,
        lambda g, m: pipeline.restore_photos(PHOTO[:1][None], Models(g.restorer), [FACE]),
    ),
    Case(
        "pipeline.restore_photos",
        V,
        "hold NaN",
        "holds NaN or infinite values; expected",
        lambda g, m: pipeline.restore_photos(PHOTO[None] * torch.nan, Models(g.restorer), [FACE]),
    ),
    Case(
        "pipeline.restore_photos",
        V,
        "a restorer that returned NaN",
        "whole returned NaN; expected a face. Nothing was pasted",
        lambda g, m: pipeline.restore_photos(PHOTO[None], Models(Whole()), [FACE], pipeline.RestoreOptions(blend=1)),
    ),
    Case(
        "pipeline.restore_photos",
        V,
        "references that others encoded",
        SAME_RESTORER,
        lambda g, m: pipeline.restore_photos(PHOTO[None], Models(g.restorer, EMBEDDERS), [FACE], references=FOREIGN),
    ),
    Case(
        "pipeline.restore_photos",
        V,
        "a name that is not among them",
        ONE_OF,
        lambda g, m: pipeline.restore_photos(
            PHOTO[None],
            Models(g.restorer, EMBEDDERS),
            [FACE],
            pipeline.RestoreOptions(references=ReferenceOptions(manual={0: "zoe"})),
            KNOWN,
        ),
    ),
    Case(
        "pipeline.restore_photos",
        V,
        "refinement by a restorer that has no prior",
        PRIOR,
        lambda g, m: pipeline.restore_photos(PHOTO[None], Models(g.restorer), [FACE], REFINING),
    ),
    Case(
        "pipeline.restore_crops",
        V,
        "as :func:`restore_photos`",
        "holds NaN or infinite values; expected",
        lambda g, m: pipeline.restore_crops(crop.aligned_crops(NAN), Models(g.restorer)),
    ),
)


def saved_nan(path):
    """A file of references in which one number is none."""
    saving.save_references(KNOWN, path)
    with safe_open(path, "pt") as file:
        about = file.metadata()
    save_file(load_file(path) | {"0.faces": NAN.clone()}, path, about)


class ShortEmbedder(ColourEmbedder):
    """One that makes two numbers."""

    def embed(self, faces):
        return super().embed(faces)[:, :2]


def unfit(monkeypatch):
    """As where torchvision was made for another torch: it does not import."""
    for name in list(sys.modules):
        if name.split(".")[0] == "facexlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)


def left_of(entry: Documented) -> list[str]:
    """What of an entry no case stands for: words of when errors come, and errors."""
    mine = [case for case in CASES if case.function == entry.function and case.when in entry.when]
    left = entry.when
    for case in sorted(mine, key=lambda case: -len(case.when)):
        left = left.replace(case.when, " ", 1)
    words = [word for word in re.findall(r"\w+", left) if word not in ("or", "and")]
    return words + sorted({name.split(".")[-1] for name in entry.errors} - {case.error.__name__ for case in mine})


def test_every_documented_error_has_a_case():
    entries = list(documented())
    assert len(entries) > 80
    assert {entry.function: left for entry in entries if (left := left_of(entry))} == {}
    known = {(entry.function, entry.when) for entry in entries}
    stray = [case for case in CASES if not any(f == case.function and case.when in when for f, when in known)]
    assert stray == []


NUMBERED = {f"{case.function} {case.error.__name__} {n}": case for n, case in enumerate(CASES)}


@pytest.mark.parametrize("name", NUMBERED)
def test_the_error_comes_and_says_what_to_do(name, given, monkeypatch):
    case = NUMBERED[name]
    needs_proc = "UNREADABLE" in case.call.__code__.co_names or "linked" in case.call.__code__.co_names
    if needs_proc and not sys.platform.startswith("linux"):
        pytest.skip("/proc/self/mem cannot be read at 0, even by root")
    for package in ("facexlib", "insightface"):
        if f".{package}." in case.function or package in case.words:
            pytest.importorskip(package)
    with pytest.raises(case.error) as caught:
        case.call(given, monkeypatch)
    message = " ".join(str(caught.value).split())
    assert re.search(case.words, message), message
    assert not case.ours or ADVICE.search(message), f"it does not say what to do: {message}"


def test_docstrings_are_read_as_they_are_written(tmp_path):
    text = """
class A:
    '''A thing.

    Raises:
        OSError, ValueError: it is missing,
            or broken.
        KeyError: no key.

    Source: none.
    '''

    def b(self):
        '''Raise TypeError unless it is good. All else is fine.'''


def _hidden():
    '''Raise TypeError where it is bad.'''
"""
    (tmp_path / "room").mkdir()
    (tmp_path / "room/file.py").write_text(text)
    assert list(documented(tmp_path)) == [
        Documented("room.file.A", ("OSError", "ValueError"), "it is missing, or broken."),
        Documented("room.file.A", ("KeyError",), "no key."),
        Documented("room.file.A.b", ("TypeError",), "it is good."),
    ]
