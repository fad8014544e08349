import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "core" / "__init__.py"
SOURCES = [ROOT / "__init__.py", *(ROOT / "core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]
HOST = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "folder_paths", "nodes", "server", "execution"}
OPTIONAL = {
    "cv2",
    "insightface",
    "facexlib",
    "onnxruntime",
    "onnx",
    "openvino",
    "spandrel",
    "gradio",
    "skimage",
    "lpips",
    "pillow_heif",
    "pillow_jxl",
}


def imports(path: Path, top_only: bool = False) -> Iterator[tuple[str, ...]]:
    """What a file imports, as parts of a name; a relative import begins with the folders of the project."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    here = path.relative_to(ROOT).parent.parts
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ("", *here)[: len(here) + 2 - node.level] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, alias.name) for alias in node.names)


def part(path: Path) -> str:
    """To which part of the project a file belongs."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2]) if parts[:2] in (("core", "apps"), ("core", "training")) else parts[0]


def offences(files: list[Path], wrong) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {'.'.join(name)}" for path in files for name in imports(path) if wrong(path, name)
    ]


def test_the_reader_of_imports_sees_what_python_sees(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "core/apps").mkdir(parents=True)
    file = tmp_path / "core/apps/a.py"
    file.write_text(
        "import os.path\nfrom ..images import Photo\nfrom .b import c\nfrom ... import nodes\ndef f():\n import cv2"
    )
    assert list(imports(file)) == [
        ("os", "path"),
        ("", "core", "images", "Photo"),
        ("", "core", "apps", "b", "c"),
        ("", "nodes"),
        ("cv2",),
    ]
    assert ("cv2",) not in list(imports(file, top_only=True))


def test_core_imports_neither_the_host_nor_nodes():
    core = [path for path in SOURCES if part(path).startswith("core")]
    assert len(core) > 20
    assert offences(core, lambda path, name: name[0] in HOST or name[:2] == ("", "nodes")) == []


def test_imports_run_from_programs_to_the_library():
    library = [path for path in SOURCES if part(path) == "core"]
    assert offences(library, lambda path, name: name[1:3] in (("core", "apps"), ("core", "training"))) == []
    # Judging is a command, and needs what training installs.
    apps = [path for path in SOURCES if part(path) == "core/apps" and path.name != "evaluate.py"]
    assert offences(apps, lambda path, name: name[1:3] == ("core", "training")) == []
    nodes = [path for path in SOURCES if part(path) == "nodes"]
    assert offences(nodes, lambda path, name: name[0] == "" and name[1] not in ("core", "nodes")) == []
    assert offences(nodes, lambda path, name: name[1:3] in (("core", "apps"), ("core", "training"))) == []


def test_the_package_never_imports_itself_by_name():
    assert offences(SOURCES, lambda path, name: name[0] == "resemblance") == []


# What is written in gradio's terms throughout; it is loaded where gradio was found installed.
PAGE = {
    ROOT / "core/apps/page" / f"{name}.py"
    for name in ("door", "downloads", "layout", "listening", "parts", "uploads", "view")
}


def test_optional_packages_are_imported_where_they_are_used():
    files = [path for path in SOURCES if part(path) != "core/training" and path not in PAGE]
    top = [
        f"{path.relative_to(ROOT)}: {name[0]}" for path in files for name in imports(path, True) if name[0] in OPTIONAL
    ]
    assert top == []


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd="/")
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_what_programs_are_built_on_is_there():
    text = ast.get_docstring(ast.parse(CORE.read_text(encoding="utf-8"))) or ""
    lines = re.findall(r"^- ``([\w.]+)``: (.+)$", text, re.M)
    assert len(lines) > 15
    for module, names in lines:
        found = importlib.import_module(f"resemblance.core.{module}")
        assert [name for name in names.split(", ") if not hasattr(found, name)] == []


def test_importing_the_package_loads_nothing_heavy():
    assert (
        run("import resemblance, sys; print('torch' in sys.modules, resemblance.__version__.count('.'))") == "False 2"
    )


def test_importing_all_of_the_library_loads_no_optional_package():
    modules = [
        ".".join(("resemblance", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in SOURCES
        if part(path) in ("core", "core/apps", "__init__.py") and path not in PAGE
    ]
    assert "resemblance.core.pipeline" in modules
    code = (
        f"import importlib, sys\nfor m in {modules}: importlib.import_module(m)\nprint({OPTIONAL} & set(sys.modules))"
    )
    assert run(code) == "set()"


@pytest.mark.parametrize("folder", ["Resemblance-main", "comfyui resemblance 1.0"])
def test_the_folder_loads_under_its_path_as_the_host_loads_it(tmp_path, folder):
    (tmp_path / folder).symlink_to(ROOT, target_is_directory=True)
    # As ComfyUI does it (nodes.py, load_custom_node); an installed copy must not be reached.
    code = f"""
import importlib, importlib.util, sys
sys.modules["resemblance"] = None
path = {str(tmp_path / folder)!r}
name = path.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, path + "/__init__.py")
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
pipeline = importlib.import_module(name + ".core.pipeline")
print(module.__version__ != "", pipeline.RestoreOptions.__module__ == name + ".core.pipeline")
"""
    assert run(code) == "True True"


def test_every_package_is_in_the_wheel():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT).parts for path in SOURCES if path.name == "__init__.py"}
    assert set(settings["packages"]) == {".".join(("resemblance", *parts)) for parts in folders}
    assert settings["package-data"]["resemblance.core.weights"] == ["*.safetensors"]


# The rooms of core, from the ground up: a room imports those below it, and none beside it.
FLOORS = (
    ("records", "geometry", "weights", "finite", "devices"),
    ("batches", "files", "models"),
    ("faces",),
    ("restorers",),
    ("references", "refinement", "video", "loading"),
    ("stages",),
    ("pipeline",),
    ("reports", "sentences"),
    ("apps", "training"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def test_every_room_of_core_has_its_floor():
    there = {path.stem for path in (ROOT / "core").iterdir() if path.suffix == ".py" and path.stem != "__init__"}
    there |= {path.name for path in (ROOT / "core").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert there == FLOOR.keys()


def test_imports_run_downwards():
    def upwards(path: Path, name: tuple[str, ...]) -> bool:
        if name[:2] != ("", "core"):
            return False
        here, there = Path(path.relative_to(ROOT / "core").parts[0]).stem, name[2]
        return here != there and FLOOR[there] >= FLOOR[here]

    core = [path for path in (ROOT / "core").rglob("*.py") if path.parent != ROOT / "core" or path.stem != "__init__"]
    assert offences([path for path in core if path.parts[-2:-1] not in (("apps",), ("training",))], upwards) == []


def test_no_module_imports_itself_by_way_of_others():
    modules = {path.relative_to(ROOT).with_suffix("").parts: path for path in (ROOT / "core").rglob("*.py")}

    def read(path: Path) -> set[tuple[str, ...]]:
        names = (name[1:] for name in imports(path) if name[0] == "")
        return {part for name in names for part in (name, name[:-1]) if part in modules}

    reads = {module: read(path) for module, path in modules.items()}
    done: set[tuple[str, ...]] = set()

    def visit(module: tuple[str, ...], way: tuple[tuple[str, ...], ...]) -> None:
        assert module not in way, " → ".join(".".join(m) for m in (*way[way.index(module) :], module))
        if module not in done:
            for other in reads[module]:
                visit(other, (*way, module))
            done.add(module)

    for module in modules:
        visit(module, ())
    assert len(done) == len(modules) > 60


def test_every_file_has_a_test_of_its_name():
    def test_of(path: Path) -> Path:
        parts = path.relative_to(ROOT).parts
        return ROOT.joinpath("tests", *parts[parts[0] == "core" : -1], f"test_{path.name}")

    files = [path for path in SOURCES if path.name != "__init__.py"]
    assert test_of(ROOT / "core/faces/crop.py") == ROOT / "tests/faces/test_crop.py"
    assert [str(path.relative_to(ROOT)) for path in files if not test_of(path).is_file()] == []
    # What is about several files, or about none: the names of all others lead to their file.
    whole = {"test_imports.py", "test_shipped.py", "test_errors.py", "test_examples.py", "test_repository.py"} | {
        "test_kept.py",
        "apps/test_cases.py",
    }
    whole |= {f"nodes/test_{name}.py" for name in ("frontend", "host", "locales", "newest_frontend", "samplers")}
    whole |= {"campaign/test_campaign.py"}
    there = {str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("test_*.py")}
    assert there - {str(test_of(path).relative_to(ROOT / "tests")) for path in files} == whole
