"""Makes the README's pictures: a face before and after, the page, and a graph in ComfyUI.

From the project's root, with the test command's environment:

    RESEMBLANCE_ASSETS=.assets .venv/bin/python tests/host/readme_pictures.py
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from host_browser import find_chromium, open_frontend
from host_server import ROOT, Server, find_comfyui
from pages import EXAMPLES, FRAMES, LAPTOP
from pictures import CANVAS
from PIL import Image, ImageDraw, ImageFont

GITHUB = ROOT / ".github"
SIDE, LINE = 400, 6  # of a face, and between two [px]
GRAPH = "02 With photographs of the same person"
ARGUMENTS = argparse.Namespace(device="cpu", detector="built-in", models_dir=None)


def main() -> None:
    """Make all three."""
    with tempfile.TemporaryDirectory() as folder:
        before_and_after(Path(folder)).save(GITHUB / "before_after.jpg", quality=88)
        show_page(Path(folder) / "page.png")
        show_graph(Path(folder) / "graph.png", Path(folder))
        Image.open(Path(folder) / "page.png").convert("RGB").save(GITHUB / "page.jpg", quality=85)
        Image.open(Path(folder) / "graph.png").convert("RGB").crop(CANVAS).save(GITHUB / "graph.jpg", quality=85)


def before_and_after(folder: Path) -> Image.Image:
    """Each ruined example, one of the good photographs, and what the command line makes of them, under their names."""
    from resemblance.core.apps.cli import main as resemblance

    people = ("woman", "man")
    names = ("Before", "One of three good photos", "After")
    sheet = Image.new("RGB", (3 * SIDE + 2 * LINE, len(people) * (SIDE + LINE) - LINE), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(26)
    for row, person in enumerate(people):
        ruined = EXAMPLES / f"{person}_ruined.jpg"
        good = [EXAMPLES / f"{person}_reference_{number}.jpg" for number in (1, 2, 3)]
        after = folder / f"{person}.png"
        given = ["--reference", *map(str, good), "--detector", "built-in", "--device", "cpu"]
        if resemblance(["restore", str(ruined), "-o", str(after), *given]):
            raise SystemExit(f"{ruined} was not restored.")
        for column, path in enumerate((ruined, good[0], after)):
            picture = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            left, top = column * (SIDE + LINE), row * (SIDE + LINE)
            sheet.paste(picture, (left, top))
            if row == 0:
                box = draw.textbbox((left + 12, 10), names[column], font=font)
                draw.rectangle((box[0] - 6, box[1] - 4, box[2] + 6, box[3] + 6), fill="black")
                draw.text((left + 12, 10), names[column], "white", font)
    return sheet


def show_page(file: Path) -> None:
    """The page with two people and photographs of theirs."""
    from playwright.sync_api import sync_playwright
    from resemblance.core.apps.page import serve
    from resemblance.core.apps.page.cleaning import own_folder
    from resemblance.core.apps.page.sessions import Sessions

    with own_folder() as folder, serve.open_studio(ARGUMENTS) as studio, sync_playwright() as playwright:
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        server = serve.serve(Sessions(studio), "127.0.0.1", 0, folder)
        flags = ["--no-sandbox", "--disable-gpu", "--no-proxy-server"]
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        page = browser.new_page(viewport=LAPTOP)
        page.goto(server.url)
        page.click("[data-example=group]")
        page.wait_for_selector("#stage .after[src]")
        page.wait_for_selector("#stage .busy", state="hidden")
        page.wait_for_timeout(3000)
        page.evaluate(FRAMES)
        page.screenshot(path=file)
        browser.close()
        server.close()


def show_graph(file: Path, folder: Path) -> None:
    """A template in ComfyUI, after it ran."""
    server = Server(find_comfyui(folder / "ComfyUI"), folder / "base")
    try:
        with open_frontend(server) as frontend:
            frontend.load(json.loads((ROOT / "workflows" / f"{GRAPH}.json").read_text()))
            result = frontend.run()
            if result["kind"] != "execution_success":
                raise SystemExit(f"{GRAPH} did not run: {result}")
            frontend.screenshot(file)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
