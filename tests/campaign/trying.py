"""Many tries of one kind: each ends well, or with an error that is documented and says what to do in one sentence."""

from __future__ import annotations

import collections
import logging
import random
import re
import time
import traceback
import warnings
from collections.abc import Callable

log = logging.getLogger(__name__)

DOCUMENTED = (ValueError, TypeError, OSError)
# A message that is ours says one of these; it has said before what was got.
CLEAR = re.compile(
    "[Ee]xpected|[Uu]se |[Gg]ive |[Cc]hoose|[Cc]heck|[Dd]ownload .* again|paste into the|may help|[Ee]ncode the"
)
SLOWEST = 30.0  # seconds that one try may take on a busy core


def tried(
    name: str, attempt: Callable[[random.Random], object], seed: int, tries: int, seconds: float
) -> dict[str, int]:
    """Make so many tries, or as many as the time allows.

    Args:
        name: for the log.
        attempt: one try, all of whose chance comes from the dice.
        seed: of the first try; each has its own, so that one alone can be tried again.
        tries: at most.
        seconds: after which no other try begins.

    Returns:
        How many ended in which way.

    Raises:
        AssertionError: some ended in another way; it tells of the first five.
    """
    counts: collections.Counter[str] = collections.Counter()
    failures = []
    until = time.monotonic() + seconds
    for own in range(seed, seed + tries):
        started = time.monotonic()
        if started > until:
            break
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                attempt(random.Random(own))
            counts["good"] += 1
        except DOCUMENTED as error:
            counts[type(error).__name__] += 1
            if not clear(error):
                failures.append(f"seed {own}: {type(error).__name__} says {str(error)[:300]!r}\n{_where(error)}")
        except Exception as error:  # whatever it is, it is what this program looks for
            counts[type(error).__name__] += 1
            failures.append(f"seed {own}: {type(error).__name__}: {str(error)[:300]}\n{_where(error)}")
        if (took := time.monotonic() - started) > SLOWEST:
            failures.append(f"seed {own}: took {took:.0f} s")
    log.info("%s, from seed %d: %s", name, seed, ", ".join(f"{count} {way}" for way, count in counts.most_common()))
    assert not failures, f"{len(failures)} of {counts.total()} tries of '{name}':\n" + "\n".join(failures[:20])
    return dict(counts)


def clear(error: BaseException) -> bool:
    """Whether a message says what to do, and is no longer than a few lines."""
    message = str(error)
    return bool(CLEAR.search(message)) and len(message) < 1500


def _where(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)[-3:])
