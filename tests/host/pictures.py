"""Makes the pictures beside the workflows, by running them in a real ComfyUI and its frontend.

They are square, as the template browser shows them: of a workflow that a fresh installation can run the photograph
before and after, of one that needs a checkpoint of the user's its graph.
From the project's root, with the test command's environment:

    RESEMBLANCE_ASSETS=.assets .venv/bin/python tests/host/pictures.py [--graphs FOLDER] [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from host_browser import Frontend, open_frontend
from host_server import ROOT, Server, find_comfyui
from PIL import Image, ImageOps

SIDE = 512  # of the pictures [px]
LINE = 4  # px between before and after
CANVAS = (70, 178, 1600, 1000)  # where the graph is on the page [px]
DARK = (32, 32, 32)  # behind a graph


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description="Makes the pictures beside the workflows.")
    parser.add_argument("names", nargs="*", help="which workflows; all, unless named")
    parser.add_argument("--graphs", type=Path, help="a folder for a picture of each graph after it was run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(find_comfyui(Path(folder) / "ComfyUI"), Path(folder) / "base")
        try:
            with open_frontend(server) as frontend:
                for path in sorted((ROOT / "workflows").glob("*.json")):
                    if not args.names or path.stem in args.names:
                        make(path, frontend, server, args.graphs)
        finally:
            server.stop()


def make(path: Path, frontend: Frontend, server: Server, graphs: Path | None) -> None:
    """Make the picture of one workflow."""
    workflow = json.loads(path.read_text())
    types = [node["type"] for node in workflow["nodes"]]
    frontend.load(workflow)
    runs = "CheckpointLoaderSimple" not in types
    if runs:
        result = frontend.run()
        if result["kind"] != "execution_success":
            raise SystemExit(f"{path.name} did not run: {result}")
    graph = server.base / f"{path.stem}.png"
    frontend.screenshot(graph)
    if graphs:
        graphs.mkdir(parents=True, exist_ok=True)
        Image.open(graph).save(graphs / graph.name)
    if runs:
        example = next(node for node in workflow["nodes"] if node["type"] == "ResemblanceExamplePhoto")
        person, _, ruined = str(example["widgets_values"][0]).partition(", ")
        before = ROOT / "nodes" / "examples" / f"{person.replace(' ', '_')}_{ruined or 'damaged'}.jpg"
        after = max((server.base / "output").rglob("*.*"), key=lambda file: file.stat().st_mtime_ns)
        picture = before_and_after(Image.open(before), read(after))
    else:
        picture = ImageOps.pad(Image.open(graph).convert("RGB").crop(CANVAS), (SIDE, SIDE), color=DARK)
    picture.convert("RGB").save(path.with_suffix(".jpg"), quality=88)


def read(path: Path) -> Image.Image:
    """A picture, or the first frame of a video."""
    if path.suffix == ".png":
        return Image.open(path)
    import av

    with av.open(path) as video:
        return next(video.decode(video=0)).to_image()


def before_and_after(before: Image.Image, after: Image.Image) -> Image.Image:
    """A square: of a portrait the left half before and the right half after, of a wide picture one above the other."""
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    half = (SIDE - LINE) // 2
    if before.width > 1.3 * before.height:
        for picture, top in ((before, 0), (after, half + LINE)):
            sheet.paste(ImageOps.fit(picture, (SIDE, half), Image.Resampling.LANCZOS), (0, top))
        return sheet
    for picture, left in ((before, 0), (after, half + LINE)):
        square = ImageOps.fit(picture, (SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(square.crop((left, 0, left + half, SIDE)), (left, 0))
    return sheet


if __name__ == "__main__":
    main()
