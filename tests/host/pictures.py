"""Makes the pictures beside the workflows, by running them in a real ComfyUI and its frontend.

A workflow that a fresh installation can run shows the photograph before and after, references between them; the one
taken apart its graph with all that was run through it; one that needs a checkpoint of the user's shows its graph alone.
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
from PIL import Image

HEIGHT = 400  # of the pictures [px]
CANVAS = (70, 178, 1600, 1000)  # where the graph is on the page [px]
GRAPH = (1200, 645)


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
    if runs and path.stem != "taken_apart":
        example = next(node for node in workflow["nodes"] if node["type"] == "ResemblanceExamplePhoto")
        stem = str(example["widgets_values"][0]).replace(" ", "_")
        after = max((server.base / "output").rglob("*.*"), key=lambda file: file.stat().st_mtime_ns)
        parts = [f"reference_{n}" for n in (1, 2, 3) if "ResemblanceEncodeReferences" in types]
        examples = [ROOT / "nodes" / "examples" / f"{stem}_{part}.jpg" for part in ("damaged", *parts)]
        picture = side_by_side(*map(Image.open, examples), read(after))
    else:
        picture = Image.open(graph).crop(CANVAS).resize(GRAPH, Image.Resampling.LANCZOS)
    picture.convert("RGB").save(path.with_suffix(".jpg"), quality=88)


def read(path: Path) -> Image.Image:
    """A picture, or the first frame of a video."""
    if path.suffix == ".png":
        return Image.open(path)
    import av

    with av.open(path) as video:
        return next(video.decode(video=0)).to_image()


def side_by_side(*pictures: Image.Image) -> Image.Image:
    """Pictures of one height in a row."""
    scaled = [p.resize((round(p.width * HEIGHT / p.height), HEIGHT), Image.Resampling.LANCZOS) for p in pictures]
    row = Image.new("RGB", (sum(p.width for p in scaled), HEIGHT))
    left = 0
    for picture in scaled:
        row.paste(picture, (left, 0))
        left += picture.width
    return row


if __name__ == "__main__":
    main()
