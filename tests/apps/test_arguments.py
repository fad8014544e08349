"""What commands are told is what their options are."""

import argparse
from dataclasses import fields

import pytest
from resemblance.core.apps.cli import COMMANDS, build_parser


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_its_field(command):
    parsers = next(a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    told = {action.dest for action in parsers[command]._actions} | set(parsers[command]._defaults)
    assert told - {"help"} == {field.name for field in fields(COMMANDS[command][1])}
