import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from resemblance.core.apps.cli import build_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / ".github/docs" / f"{name}.md" for name in ("command", "library", "references")]


def test_the_installed_command_answers_quickly_and_by_itself():
    command = Path(sys.executable).with_name("resemblance")
    result = subprocess.run([command, "restore", "--help"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0 and "--overwrite" in result.stdout
    assert subprocess.run([command], capture_output=True, timeout=30).returncode == 2


def test_the_pages_show_commands_that_exist():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *PAGES))
    shown = [
        line.split("&& .venv/bin/")[-1]
        for line in text.splitlines()
        if re.search(r"(^|bin/)resemblance \w+ .*\S", line)
    ]
    assert len(shown) >= 17
    for line in shown:
        command = shlex.split(line, comments=True)
        assert command[0] == "resemblance"
        build_parser().parse_args(command[1:])


def test_the_readme_is_short_and_what_it_links_to_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    for page in (ROOT / "README.md", *PAGES):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"
    assert all(f".github/docs/{page.name}" in text for page in PAGES)


def test_the_readme_has_the_command_that_ci_runs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"<!-- test command -->\n```sh\n(.*)\n```\n", text)
    assert "-m pytest" in command.split(" && ")[-1] and "ruff check" in command and "mypy" in command


def test_the_pages_show_python_that_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES[1]).read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Image.open(ROOT / "tests/photos/astronaut_damaged.jpg").save("old.jpg", quality=95)
    exec(compile(code, PAGES[1].name, "exec"), {})
    before, after = (np.asarray(Image.open(name).convert("RGB"), int) for name in ("old.jpg", "new.png"))
    assert before.shape == after.shape and np.abs(after - before).max() > 20
