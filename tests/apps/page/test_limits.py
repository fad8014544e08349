import time

import pytest
from pages import MAN, WOMAN, take
from resemblance.core.apps.page.graph import Settings
from resemblance.core.apps.page.limits import Run, Stopped


def test_a_run_stops_when_it_is_told_to_and_when_its_time_is_over(session):
    take(session, [MAN, WOMAN])
    run = Run.begin()
    steps = session.restore([MAN, WOMAN], Settings(), ".jpg", run)
    assert [next(steps), next(steps)][1].file.is_file()
    session.run = run
    session.stop()
    with pytest.raises(Stopped, match="as you wished"):
        list(steps)
    late = Run(run.stop.__class__(), time.monotonic() - 1)
    with pytest.raises(Stopped, match="30 minutes"):
        list(session.restore([WOMAN], Settings(), ".jpg", late))


def test_more_files_than_the_page_takes_are_refused(session):
    with pytest.raises(ValueError, match="You gave 21 photographs; the page takes 20 at once"):
        list(session.take_photos([MAN] * 21))
    with pytest.raises(ValueError, match="17 reference photographs"):
        list(session.take_references([MAN] * 17))
