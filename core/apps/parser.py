"""A parser of command lines that says in one sentence what is wrong, and what was meant."""

from __future__ import annotations

import argparse
import re
from difflib import get_close_matches
from typing import NoReturn

USAGE = 2  # exit code: the command cannot be carried out
# What argparse says of what it does not know: an option, or a command or value that is none of its choices.
UNKNOWN = re.compile(r"--[\w-]+|(?<=invalid choice: ')[^']+")


class Parser(argparse.ArgumentParser):
    """As argparse's, but without twenty lines of usage before the error."""

    def error(self, message: str) -> NoReturn:
        """End the process with the error and what may have been meant."""
        known = self._words()
        for word in UNKNOWN.findall(message):
            near = get_close_matches(word, known, 1)
            if word not in known and near:
                message = f"{message.rstrip('.')}. Did you mean {near[0]}?"
                break
        else:
            message = f"{message.rstrip('.')}."
        self.exit(USAGE, f"{self.prog}: {message} All that can be said: {self.prog} --help\n")

    def _words(self) -> list[str]:
        """All options and choices of this parser and of its commands."""
        words = [*self._option_string_actions]
        for action in self._actions:
            words += [str(choice) for choice in action.choices or ()]
            if isinstance(action, argparse._SubParsersAction):
                for command in action.choices.values():
                    words += command._words() if isinstance(command, Parser) else []
        return words
