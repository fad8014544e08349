"""``resemblance app``: the web page, for people who want a photograph restored and no more."""

from .serve import run

__all__ = ["run"]
