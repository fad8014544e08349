import argparse
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from resemblance.core.apps.files import UsageError
from resemblance.core.apps.page import cleaning, serve

APP = [
    sys.executable,
    "-X",
    "faulthandler",
    "-m",
    "resemblance.core.apps.cli",
    "app",
    "--device",
    "cpu",
    "--detector",
    "built-in",
]


def test_without_gradio_one_sentence_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name))
    with pytest.raises(UsageError, match=r'pip install "resemblance\[app\]"'):
        serve.run(argparse.Namespace(), None)


@pytest.fixture
def trap():
    """A proxy that notes who calls it, and helps nobody."""
    called = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                called.append(address)
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1], called


@pytest.mark.slow
def test_the_page_starts_whatever_the_proxy_and_asks_nobody(trap, tmp_path):
    port, called = trap
    kinds = {"http_proxy": "http", "https_proxy": "nonsense", "all_proxy": "socks5"}
    proxies = {name: f"{kind}://127.0.0.1:{port}" for name, kind in kinds.items()}
    proxies |= {name.upper(): proxy for name, proxy in proxies.items()}
    environment = os.environ | proxies | {"TMPDIR": str(tmp_path)}
    for name in ("no_proxy", "NO_PROXY"):
        environment.pop(name, None)
    # Whoever runs the tests in the background of a script makes all below it deaf to Ctrl-C.
    app = subprocess.Popen(
        [*APP, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    said = ""
    for line in app.stderr:
        said += line
        if "The page is at" in line:
            break
    assert "The page is at" in said and "Traceback" not in said, said
    url = said.split("The page is at ")[1].split(" ")[0]
    visitor = httpx.Client(base_url=url, trust_env=False)
    assert visitor.get("/").status_code == 200
    assert called == []
    assert len(list(tmp_path.glob(f"{cleaning.PREFIX}*"))) == 1
    with visitor.stream("GET", "/gradio_api/heartbeat/s"):  # a page is open in a browser
        app.send_signal(signal.SIGINT)
        try:
            _, rest = app.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            app.send_signal(signal.SIGABRT)  # it says where it stands
            pytest.fail(f"It did not end: {app.communicate()[1]}")
    assert app.returncode == 130 and rest.splitlines() == ["Interrupted."], rest
    assert list(tmp_path.glob(f"{cleaning.PREFIX}*")) == []


def test_what_keeps_the_page_from_starting_is_one_sentence(monkeypatch, tmp_path):
    arguments = argparse.Namespace(
        device="cpu", detector="built-in", models_dir=None, host="127.0.0.1", port=70000, names=[]
    )
    with pytest.raises(UsageError, match="expected a port from 0 to 65535"):
        serve.run(arguments, None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="No such file or directory") as caught:
        serve.run(arguments, None)
    assert "\n" not in str(caught.value)
    arguments.detector = "none"
    with pytest.raises(UsageError, match="expected auto"):
        serve.run(arguments, None)


def test_old_files_are_deleted_while_the_page_is_there(monkeypatch, tmp_path):
    looked = []

    def delete(folder, seconds):
        looked.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "CLEANING", 0.01)
    monkeypatch.setattr(serve, "delete_old", delete)
    arguments = argparse.Namespace(
        device="cpu", detector="built-in", models_dir=None, host="127.0.0.1", port=0, names=[]
    )
    with pytest.raises(KeyboardInterrupt):
        serve.run(arguments, None)
    assert looked == [3600]
