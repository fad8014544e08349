import io
import json
import logging
import sys
from pathlib import Path

import pytest
from resemblance.core.apps.console import PACKAGE, count, one_line, say, spoken_log, write_json


def test_what_the_package_logs_is_said_and_stdout_is_for_data_alone(capsys):
    logger = logging.getLogger(f"{PACKAGE}.core.anything")
    before = logging.getLogger(PACKAGE).level
    with spoken_log() as stdout:
        logger.info("one face was found")
        logger.debug("not for users")
        sys.stdout.write("a library's greeting\n")
        stdout.write("data")
    logger.info("after all is done")
    told = capsys.readouterr()
    assert told.out == "data" and told.err.splitlines() == ["one face was found", "a library's greeting"]
    assert logging.getLogger(PACKAGE).level == before


def test_json_goes_to_a_stream_or_whole_into_a_file(tmp_path):
    stream, data = io.StringIO(), {"faces": [1, None]}
    write_json(data, stream)
    write_json(data, tmp_path / "new/r.json")
    assert stream.getvalue() == (tmp_path / "new/r.json").read_text() and stream.getvalue().endswith("}\n")
    assert json.loads(stream.getvalue()) == data


def test_a_number_that_json_cannot_hold_becomes_null():
    stream = io.StringIO()
    write_json({"a": [float("nan"), (float("inf"), 1.5)], "b": "NaN", "c": True}, stream)
    assert json.loads(stream.getvalue()) == {"a": [None, [None, 1.5]], "b": "NaN", "c": True}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("I/O operation on closed file")])
def test_where_nothing_can_be_said_the_work_goes_on(monkeypatch, error):
    class Full(io.StringIO):
        def write(self, text):
            raise error

    monkeypatch.setattr(sys, "stderr", Full())
    say("a word")
    with spoken_log():
        logging.getLogger(f"{PACKAGE}.core.anything").warning("another")


def test_numbers_of_things():
    assert (count(1, "face"), count(0, "face"), count(2, "photograph")) == ("1 face", "0 faces", "2 photographs")


def test_an_error_is_one_line_that_names_its_file():
    path = Path("a.png")
    assert one_line(ValueError("no\n  picture"), path) == "a.png: no picture"
    assert one_line(ValueError("'a.png' is empty"), path) == "'a.png' is empty"
    assert one_line(MemoryError(), None) == "MemoryError"
    assert one_line(ImportError("install it"), None) == "install it"
    assert one_line(KeyError("x"), None) == "KeyError: 'x'"  # nobody foresaw it: its words alone say little
