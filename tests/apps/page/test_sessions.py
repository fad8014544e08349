import pytest
from resemblance.core.apps.page import sessions
from resemblance.core.apps.page.sessions import Sessions
from resemblance.core.apps.page.visitors import Visitor


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now[0])
    return now


def visitor(name, folder):
    return Visitor.known_by(name * 32, folder)


def test_a_visitor_finds_their_work_again_and_nobody_elses(tmp_path, clock):
    kept = Sessions(None)
    anna, bob = visitor("a", tmp_path), visitor("b", tmp_path)
    assert kept.find(anna) is None
    mine = kept.begin(anna)
    assert kept.begin(anna) is kept.find(anna) is mine
    assert kept.find(bob) is None and kept.begin(bob) is not mine
    assert mine.folder.is_relative_to(anna.folder)


def test_what_was_not_used_for_an_hour_ends(tmp_path, clock):
    kept = Sessions(None)
    anna, bob = visitor("a", tmp_path), visitor("b", tmp_path)
    mine, his = kept.begin(anna), kept.begin(bob)
    clock[0] = 3000
    assert kept.find(anna) is mine
    clock[0] = 3700
    kept.forget_old()
    assert not his.folder.exists() and mine.folder.exists()
    assert kept.find(bob) is None and kept.find(anna) is mine


def test_of_too_many_those_used_longest_ago_end(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(sessions, "VISITORS", 2)
    kept = Sessions(None)
    anna, bob, cem = (visitor(name, tmp_path) for name in "abc")
    kept.begin(anna)
    his = kept.begin(bob)
    kept.find(anna)
    kept.begin(cem)
    assert kept.find(bob) is None and not his.folder.exists() and kept.find(anna) and kept.find(cem)
