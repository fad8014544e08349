"""The folder of a server's files: nothing in it outlives its hour, nor the server, however that ends."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "resemblance-page-"
LOCK = "lock"  # held while the server lives: the system lets go of it even where the server was killed

logger = logging.getLogger(__name__)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for one server, without links in its path; it is deleted at the end.

    Folders of servers that were killed are deleted at the beginning.

    Raises:
        OSError: it cannot be made.
    """
    clear_abandoned(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        with FileLock(folder / LOCK):
            yield folder


def clear_abandoned(within: Path) -> None:
    """Delete the folders of servers that live no more."""
    for folder in within.glob(f"{PREFIX}*"):
        lock = folder / LOCK
        if folder.is_symlink() or not lock.is_file() or not _is_ours(folder):
            continue
        try:
            FileLock(lock).acquire(timeout=0).lock.release()
        except (Timeout, OSError):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        logger.info("Deleted what a page that was killed left in %s.", folder)


def delete_old(folder: Path, seconds: float) -> None:
    """Delete the files below a folder that were written longer ago than so many seconds, and folders left empty."""
    before = time.time() - seconds
    for within, folders, files in os.walk(folder, topdown=False):  # what is in a folder before the folder
        for name in files + folders:
            path = Path(within, name)
            try:
                if name == LOCK or path.stat().st_mtime > before:
                    continue
                path.rmdir() if path.is_dir() else path.unlink()
            except OSError:  # a folder that is not empty, or gone already
                continue


def _is_ours(folder: Path) -> bool:
    # Folders for temporary files are shared: whatever somebody else calls so stays as it is.
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
