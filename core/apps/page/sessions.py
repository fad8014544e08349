"""Whose work is kept: a visitor who loads the page again finds it as it was, until the hour is over."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from .limits import KEPT, VISITORS
from .people import Studio
from .session import Session
from .visitors import Visitor


class Sessions:
    """The sessions of all visitors, one each; those that were not used for an hour end, and so do too many.

    Args:
        studio: the networks.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._kept: OrderedDict[str, tuple[float, Session]] = OrderedDict()  # the last used is the last
        self._lock = threading.Lock()

    def find(self, visitor: Visitor) -> Session | None:
        """The session of a visitor, where there is one."""
        with self._lock:
            self._forget()
            found = self._kept.get(visitor.name)
            if found is None:
                return None
            self._keep(visitor, found[1])
            return found[1]

    def begin(self, visitor: Visitor) -> Session:
        """The session of a visitor, new where there is none."""
        found = self.find(visitor)
        if found is None:
            found = Session(self.studio, visitor.new_folder())
            with self._lock:
                self._keep(visitor, found)
                self._forget()
        return found

    def forget_old(self) -> None:
        """End those that were not used for long."""
        with self._lock:
            self._forget()

    def _keep(self, visitor: Visitor, session: Session) -> None:
        self._kept[visitor.name] = time.monotonic(), session
        self._kept.move_to_end(visitor.name)

    def _forget(self) -> None:
        while self._kept:
            name, (used, session) = next(iter(self._kept.items()))
            if len(self._kept) <= VISITORS and time.monotonic() - used <= KEPT:
                break
            del self._kept[name]
            session.close()
