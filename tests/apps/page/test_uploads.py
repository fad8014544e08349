import socket
import time
from pathlib import Path

import httpx
import pytest
from pages import EXAMPLES
from resemblance.core.apps.page import door, uploads
from visitors import Guest

PHOTO = (EXAMPLES / "man_damaged.jpg").read_bytes()


@pytest.fixture
def guest(address):
    return Guest(address[0], "s")


def files_in(folder):
    return {path for path in folder.rglob("*") if path.is_file() and path.stat().st_size}


@pytest.mark.parametrize("name", ["a%20b.jpg", "#1.jpg", "why?.jpg", "it's.jpg", "Änne & Bob.jpg", 'say "hello".jpg'])
def test_a_name_is_kept_whatever_is_in_it(guest, name):
    (path,) = guest.upload(name).json()
    assert Path(path).name == name and Path(path).read_bytes() == PHOTO
    told = guest.take(path)
    assert "data:image/jpeg" in told and name.replace('"', '\\"') in told


def test_two_files_of_one_name_are_two(guest):
    both = [("files", ("a.jpg", PHOTO)), ("files", ("a.jpg", PHOTO[:9]))]
    paths = guest.http.post("/gradio_api/upload", files=both).json()
    assert [Path(path).read_bytes() for path in paths] == [PHOTO, PHOTO[:9]]


def begin(guest, address, length):
    """A connection over which so many bytes of an upload are to come."""
    host = httpx.URL(address[0])
    connection = socket.create_connection((host.host, host.port), timeout=60)
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host.netloc.decode()}\r\nContent-Length: {length}\r\n"
        f"Cookie: {door.COOKIE}={guest.http.cookies[door.COOKIE]}\r\n"
        'Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: form-data; name="files"; '
        'filename="a.jpg"\r\n\r\n'
    )
    connection.sendall(head.encode())
    return connection


def test_an_upload_that_breaks_off_leaves_nothing(guest, address):
    before = files_in(address[2])
    with begin(guest, address, 50_000_000) as connection:
        connection.sendall(bytes(5_000_000))
    assert guest.upload().status_code == 200
    assert [path.name for path in files_in(address[2]) - before] == ["man_damaged.jpg"]


def test_an_upload_that_does_not_go_on_is_ended(guest, address, monkeypatch):
    monkeypatch.setattr(uploads, "UPLOAD_MINUTES", 0.01)
    before = files_in(address[2])
    with begin(guest, address, 5_000_000) as connection:
        connection.sendall(bytes(1_000_000))
        assert connection.recv(12) == b"HTTP/1.1 408"
    assert files_in(address[2]) == before


def test_files_that_are_none_of_photographs_are_refused(guest, address):
    before = files_in(address[2])
    for name in ("page.html", "picture.svg", "none", "photo.jpg.exe"):
        answer = guest.upload(name)
        assert answer.status_code == 415 and "Convert it first" in answer.text
    assert files_in(address[2]) == before


def test_a_file_has_a_limit_and_says_so(guest, address, monkeypatch):
    monkeypatch.setattr(uploads, "MEGABYTES", 0.01)
    answer = guest.upload()
    assert answer.status_code == 413 and "man_damaged.jpg: the file has 0 MB; the page takes 0.01 MB" in answer.text
    assert files_in(guest_folder(guest, address)) == set()


def test_all_that_a_visitor_sends_has_a_limit_in_sum(guest, address, monkeypatch):
    monkeypatch.setattr(uploads, "OWN_MEGABYTES", 2.5 * len(PHOTO) / 1e6)
    assert [guest.upload().status_code for _ in range(4)] == [200, 200, 413, 413]
    answer = guest.upload()
    assert "the limit is" in answer.text and "Send fewer photographs" in answer.text
    # Another visitor has room of their own.
    assert Guest(address[0], "other").upload().status_code == 200


def test_what_all_visitors_send_has_a_limit(guest, monkeypatch):
    monkeypatch.setattr(uploads, "ALL_MEGABYTES", 0.001)
    answer = guest.upload()
    assert answer.status_code == 413 and "no room for more photographs at the moment" in answer.text


def test_the_disk_is_not_filled(guest, monkeypatch):
    monkeypatch.setattr(uploads, "FREE_MEGABYTES", 1e12)
    assert "no room for more photographs" in guest.upload().text


def test_what_is_on_its_way_counts(guest, address, monkeypatch):
    """Many uploads at once must not pass a limit that one after the other would not."""
    monkeypatch.setattr(uploads, "OWN_MEGABYTES", 1.0)
    deadline = time.monotonic() + 60
    refused = False
    while not refused:  # the long upload is itself refused where it comes while a short one is on its way
        assert time.monotonic() < deadline
        with begin(guest, address, 900_000):
            time.sleep(0.2)
            # Where there is room the name is refused, and nothing is kept.
            refused = guest.upload("b.html", bytes(200_000)).status_code == 413
    deadline = time.monotonic() + 60
    while guest.upload("b.html", bytes(200_000)).status_code != 415:
        assert time.monotonic() < deadline


def test_an_upload_says_how_long_it_is_and_is_a_form(guest):
    answer = guest.http.post("/gradio_api/upload", content=iter([b"x"]))
    assert answer.status_code == 411 and "Content-Length" in answer.text
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        for body in (b"x" * 9, b"--x\r\nnone\r\n", b"--x\r\n" + b"a" * 20_000 + b": b\r\n\r\n--x--"):
            answer = guest.http.post("/gradio_api/upload", content=body, headers={"content-type": kind})
            assert answer.status_code == 400 and "Send at most 100 files" in answer.text
    many = [("files", (f"{n}.jpg", b"x")) for n in range(uploads.FILES + 1)]
    answer = guest.http.post("/gradio_api/upload", files=many)
    assert answer.status_code == 400 and "Send at most 100 files" in answer.text


def test_files_that_cannot_be_kept_are_gone(guest, address, monkeypatch):
    before = files_in(address[2])
    copy, copied = uploads._copy, []

    def full(source, target):
        if copied:
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        copied.append(copy(source, target))

    monkeypatch.setattr(uploads, "_copy", full)
    both = [("files", ("a.jpg", PHOTO)), ("files", ("b.jpg", PHOTO))]
    answer = guest.http.post("/gradio_api/upload", files=both)
    assert answer.status_code == 507 and "No space left on device" in answer.text
    assert files_in(address[2]) == before


def guest_folder(guest, address):
    from resemblance.core.apps.page.visitors import Visitor

    return Visitor.known_by(guest.http.cookies[door.COOKIE], address[2]).folder
