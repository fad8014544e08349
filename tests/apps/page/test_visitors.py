import os

import pytest
from resemblance.core.apps.page.visitors import KEY, Visitor, address, fit_name, new_key


@pytest.fixture
def anna(tmp_path):
    folder = tmp_path.resolve()
    anna, bob = Visitor.known_by("a" * 32, folder), Visitor.known_by("b" * 32, folder)
    for visitor in (anna, bob):
        visitor.folder.mkdir()
        (visitor.folder / "photo.jpg").write_text(visitor.name)
    return anna


def test_a_file_is_owned_by_whose_folder_it_is_in(anna):
    bob = Visitor.known_by("b" * 32, anna.folder.parent)
    assert anna.owns(f"{anna.folder}/photo.jpg") and bob.owns(f"{bob.folder}/photo.jpg")
    assert not bob.owns(f"{anna.folder}/photo.jpg") and not anna.owns(f"{bob.folder}/photo.jpg")
    assert anna.session("s") != bob.session("s")


def test_no_spelling_of_a_path_makes_a_file_another_visitors(anna, monkeypatch):
    bob = Visitor.known_by("b" * 32, anna.folder.parent)
    hers = f"{anna.folder}/photo.jpg"
    (bob.folder / "link.jpg").symlink_to(hers)
    (bob.folder / "linked").symlink_to(anna.folder)
    monkeypatch.chdir(bob.folder)
    spellings = [
        f"{bob.folder}/../{anna.name}/photo.jpg",
        f"{bob.folder}/./../{anna.name}//photo.jpg",
        f"../{anna.name}/photo.jpg",
        f"/{hers}",
        f"{bob.folder}/link.jpg",
        f"{bob.folder}/linked/photo.jpg",
        f"file://{hers}",
        f"http://localhost/{hers}",
        f"{hers}\0.jpg",
        "/etc/passwd",
        "/proc/self/environ",
        str(bob.folder),
        f"{bob.folder}/none.jpg",
        "",
    ]
    assert [path for path in spellings if bob.owns(path)] == []
    assert anna.owns(f"{bob.folder}/../{anna.name}/photo.jpg")


def test_cookies_differ_and_are_what_the_door_takes():
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100 and all(KEY.fullmatch(key) for key in keys)


@pytest.mark.parametrize("name", ["a%20b.jpg", "#1?.png", "it's.jpg", "Änne & Bob (1).JPG", "a.b.c.webp", "{x}`$!.jpg"])
@pytest.mark.skipif(os.name == "nt", reason="its file systems do not hold them")
def test_a_name_stays_as_it_was(name):
    assert fit_name(name) == name


def test_a_name_that_cannot_be_kept_is_changed_as_little_as_need_be():
    assert fit_name("../../etc/cron.jpg") == "_.._etc_cron.jpg"
    assert fit_name("a\nb\0.jpg") == "a_b_.jpg" and fit_name("") == "photograph"
    assert fit_name("say %22hello%22.jpg") == 'say "hello".jpg'
    long = fit_name("ä" * 300 + ".jpeg")
    assert len(long.encode()) <= 180 and long.endswith("ä.jpeg")


def test_a_file_is_asked_for_by_its_path():
    assert address("/tmp/ä #1?.jpg") == "gradio_api/file=/tmp/%C3%A4%20%231%3F.jpg"
