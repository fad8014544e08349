"""What GitHub is told to do can be done: the files, extras and versions that .github names are there."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = ROOT.glob(".github/workflows/*.yml")
WORKFLOWS = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES}
JOBS = [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values()]
COMMANDS = [step["run"] for job in JOBS for step in job["steps"] if "run" in step]
WORDS = [word for command in COMMANDS for word in shlex.split(command)]


def test_the_files_that_commands_name_are_there():
    named = [word for word in WORDS if re.fullmatch(r"[\w.][\w./]*", word) and ("/" in word or word.endswith(".py"))]
    assert {".ci/run", "__init__.py"} <= set(named)
    assert [word for word in named if not (ROOT / word).is_file()] == []
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_the_modules_and_extras_that_commands_name_are_there():
    modules = [name for word in WORDS for name in re.findall(r"resemblance(?:\.\w+)+", word)]
    assert modules and [m for m in modules if not (ROOT.joinpath(*m.split(".")[1:]).with_suffix(".py")).is_file()] == []
    extras = {extra for word in WORDS for found in re.findall(r"\.\[(.+)\]", word) for extra in found.split(",")}
    assert extras and extras <= PROJECT["project"]["optional-dependencies"].keys()


def test_the_pythons_that_are_tested_are_those_that_are_promised():
    promised = re.findall(r":: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert PROJECT["project"]["requires-python"] == f">={promised[0]}"
    tested = set(WORKFLOWS["ci.yml"]["jobs"]["systems"]["strategy"]["matrix"]["python"])
    assert {promised[0], promised[-1]} <= tested <= set(promised)


@pytest.mark.skipif(os.name != "posix", reason="the command is bash's")
def test_only_the_tag_of_this_version_is_published():
    (command,) = (command for command in COMMANDS if "GITHUB_REF_NAME" in command)
    file = ROOT / PROJECT["tool"]["comfy"]["version"]["path"]
    (version,) = re.findall(r'^__version__ = "(.+)"$', file.read_text(encoding="utf-8"), re.M)

    def passes(tag: str) -> bool:
        environment = {**os.environ, "GITHUB_REF_NAME": tag}
        return subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True).returncode == 0

    assert passes(f"v{version}") and not passes(f"v{version}1") and not passes("v99.0.0")


def test_it_is_published_from_the_project_s_own_repository():
    owner = PROJECT["project"]["urls"]["Repository"].split("/")[3]
    assert WORKFLOWS["publish.yml"]["jobs"]["publish"]["if"] == f"github.repository_owner == '{owner}'"
    links = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text(encoding="utf-8"))["contact_links"]
    assert all(link["url"].startswith(PROJECT["project"]["urls"]["Repository"] + "/") for link in links)
