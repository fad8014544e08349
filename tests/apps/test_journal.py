import json
from pathlib import Path

import pytest
from resemblance.core.apps.files import Job, UsageError
from resemblance.core.apps.journal import Journal


def entry(number, status="restored"):
    return {"input": f"{number}.png", "output": f"out/{number}.png", "status": status, "seconds": number}


def job(number):
    return Job(Path(f"{number}.png"), Path(f"out/{number}.png"))


def test_what_was_broken_off_is_known_by_the_next(tmp_path):
    report = tmp_path / "new/r.json"
    journal = Journal(report)
    journal.add(entry(1))
    journal.add(entry(2, "failed"))
    part = report.with_name(".r.json.part")
    part.write_text(part.read_text() + '{"input": "3.p')  # killed in the middle of a line
    after = Journal(report)
    assert after.earlier(job(1)) == entry(1) and after.earlier(job(2)) == after.earlier(job(3)) == {}
    after.add(entry(3))
    assert Journal(report).earlier(job(3)) == entry(3)
    report.write_text(json.dumps({"pictures": [entry(1), entry(4)]}))
    after.end()
    assert not part.exists() and Journal(report).earlier(job(4)) == entry(4)


@pytest.mark.parametrize("text", ["", "[]", '{"pictures": 3}', '{"pictures": [3]}', "\udcff"])
def test_another_file_in_the_place_of_the_report_tells_nothing(tmp_path, text):
    (tmp_path / "r.json").write_bytes(text.encode(errors="surrogateescape"))
    assert Journal(tmp_path / "r.json").earlier(job(1)) == {}


def test_without_a_report_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = Journal(None)
    journal.add(entry(1))
    journal.end()
    assert journal.earlier(job(1)) == {} and list(tmp_path.iterdir()) == []


def test_where_no_report_can_be_written_nothing_is_done(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--report .*r\.json cannot be written .* expected a file in a folder"):
        Journal(tmp_path / "file/r.json")
