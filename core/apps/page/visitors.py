"""Who a visitor is, and which files are theirs: those in their own folder.

A visitor is known by a cookie, and the name of their folder is made from it. So a file is theirs from the moment it is
written, there is no list of whose a file is, and where a path comes in there is one question: does it lead there?
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

COOKIE = "resemblance_visitor"
KEY = re.compile(r"[A-Za-z0-9_-]{32}")
LONGEST = 180  # bytes of a file's name; file systems hold 255, and results are called a little longer
# What no name may hold: separators and control characters; on Windows also what its file systems do not know.
UNHELD = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]' if os.name == "nt" else r"[/\\\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Visitor:
    """One visitor.

    Attributes:
        name: made from the cookie, which cannot be told from it.
        folder: for all their files; it need not be there yet.
    """

    name: str
    folder: Path

    @classmethod
    def known_by(cls, key: str, within: Path) -> Visitor:
        """The visitor with a cookie.

        Args:
            key: the cookie.
            within: the folder of all visitors, without links in its path.
        """
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        return cls(name, within / name)

    def owns(self, path: str) -> bool:
        """Whether a path, however it is spelled, leads to a file of this visitor's."""
        try:
            # By its words first: on Windows, even to look for a path may call another computer.
            if not Path(os.path.abspath(path)).is_relative_to(self.folder):  # noqa: PTH100 - resolve() would look
                return False
            file = Path(path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # not there, no path at all, or links in a circle
            return False
        return file.is_file() and file.is_relative_to(self.folder)

    def session(self, given: str) -> str:
        """What a session of this visitor's is called inside: nobody else can name it."""
        return f"{self.name}.{given}"

    def new_folder(self) -> Path:
        """A new folder among the visitor's files.

        Raises:
            OSError: it cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self.folder))


def new_key() -> str:
    """A cookie for a new visitor."""
    return secrets.token_urlsafe(24)


def address(path: str | Path) -> str:
    """Where the page serves a visitor's file, to that visitor alone."""
    return f"gradio_api/file={quote(str(path))}"


def fit_name(given: str) -> str:
    """The name of a visitor's file as it can be kept: all that the file system holds stays as it was.

    Args:
        given: as browsers send it, with ``%22`` for a quotation mark.
    """
    name = UNHELD.sub("_", given.replace("%22", '"')).lstrip(".").strip() or "photograph"
    stem, suffix = Path(name).stem, Path(name).suffix
    return stem.encode()[: LONGEST - len(suffix.encode())].decode(errors="ignore") + suffix
