"""By which names the page may be asked for.

A site of an attacker's may give its own name this computer's address ("DNS rebinding"); a browser then takes the page
for that site's and lets it read everything. It cannot change the name that the browser asks for, so names are checked.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Hosts:
    """The names of one page.

    Attributes:
        names: in small letters.
        alone: whether only this computer can reach the page; else it may be asked for by any address: what is rebound
            is always a name.
        proxies: names by which it is asked for through another server, whatever that passes on.
    """

    names: frozenset[str]
    alone: bool
    proxies: frozenset[str] = frozenset()

    @classmethod
    def of(cls, host: str, proxies: Iterable[str] = ()) -> Hosts:
        """The names of a page that listens at a host."""
        further = frozenset(name.lower() for name in proxies)
        names = {host.lower().strip("[]"), "localhost", *further}
        alone = is_loopback(host)
        if not alone and (own := socket.gethostname().lower()):
            short = own.partition(".")[0]
            names |= {own, short, f"{short}.local"}
        return cls(frozenset(names), alone, further)

    def refusal(self, host: str | None, origin: str | None) -> str | None:
        """Why a request with such headers is refused, in a sentence, or None.

        Args:
            host: the header Host.
            origin: the header Origin; browsers send it with whatever is not merely looked at.
        """
        name = _name(f"//{host or ''}")
        if not self._known(name):
            return (
                f"This page was asked for as '{name}', which is none of its names. Open it at the address that "
                "'resemblance app' prints, or at the name that --host gives it."
            )
        if origin is None or origin.partition("://")[2].lower() == str(host).lower() or _name(origin) in self.proxies:
            return None
        return f"The site '{origin}' asked this page for something. Only the page itself may; open it by itself."

    def _known(self, name: str) -> bool:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return name in self.names or (address.is_loopback if self.alone else True)


def is_loopback(host: str) -> bool:
    """Whether nobody but this computer reaches what listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _name(url: str) -> str:
    """The name in an address, in small letters and without the port; empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
