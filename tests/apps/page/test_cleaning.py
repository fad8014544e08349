import os
import signal
import subprocess
import sys
import time

import pytest
from resemblance.core.apps.page.cleaning import PREFIX, clear_abandoned, delete_old, own_folder

HOLD = """
from resemblance.core.apps.page.cleaning import own_folder
with own_folder() as folder:
    (folder / "photo.jpg").write_text("secret")
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The system's folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def other_server():
    """Another server, and its folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def test_a_server_that_ends_leaves_nothing(temporary):
    with own_folder() as folder:
        (folder / "visitor").mkdir()
        (folder / "visitor" / "photo.jpg").touch()
        assert folder.parent == temporary.resolve()
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="it has no SIGKILL")
def test_what_a_killed_server_left_goes_when_the_next_one_starts(temporary):
    killed, left = other_server()
    living, kept = other_server()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    with own_folder() as folder:
        assert {path.name for path in temporary.iterdir()} == {folder.name, os.path.basename(kept)}
        assert not os.path.exists(left) and os.path.exists(f"{kept}/photo.jpg")
    living.communicate("\n")
    assert living.returncode == 0 and list(temporary.iterdir()) == []


def test_what_is_not_a_servers_stays(temporary):
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    (temporary / f"{PREFIX}new").mkdir()  # of a server that is about to lock it
    clear_abandoned(temporary)
    assert len(list(temporary.iterdir())) == 3 and (elsewhere / "lock").exists()


def test_a_folder_of_somebody_elses_stays(temporary, monkeypatch):
    if not hasattr(os, "getuid"):
        pytest.skip("files have no owner here")
    folder = temporary / f"{PREFIX}x"
    folder.mkdir()
    (folder / "lock").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
        clear_abandoned(temporary)
    assert folder.exists()
    clear_abandoned(temporary)
    assert not folder.exists()


def test_files_are_deleted_when_their_time_is_over(tmp_path):
    old, new = tmp_path / "a" / "b" / "old.jpg", tmp_path / "a" / "new.jpg"
    old.parent.mkdir(parents=True)
    for path in (old, new, tmp_path / "lock"):
        path.touch()
    past = time.time() - 100
    for path in (old, old.parent, tmp_path / "lock"):
        os.utime(path, (past, past))
    delete_old(tmp_path, 60)
    assert not old.exists() and new.exists() and (tmp_path / "lock").exists()
    os.utime(old.parent, (past, past))
    delete_old(tmp_path, 60)
    assert not old.parent.exists() and new.parent.exists()
