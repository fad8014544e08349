"""What is behind the web page: a visitor's session, its limits, the graph that it gives."""

import argparse
import asyncio
import importlib.util
import json
import os
import re
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from host_browser import open_frontend
from people import both
from PIL import Image
from resemblance.core.apps.files import UsageError
from resemblance.core.apps.page import graph, serve, visitors, words
from resemblance.core.apps.page.graph import Settings
from resemblance.core.apps.page.limits import Run, Stopped
from resemblance.core.apps.page.people import NOBODY
from resemblance.core.apps.page.session import Session
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.files.images import read_photo
from resemblance.core.pipeline import RestoreOptions, restore_crops, restore_photos
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.matching import labelled, match_faces
from resemblance.core.references.options import ReferenceOptions
from resemblance.core.references.views import ReferencePhoto
from resemblance.core.refinement import RefinementOptions

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "nodes" / "examples"
MAN, WOMAN, TWO = (EXAMPLES / f"{name}_damaged.jpg" for name in ("man", "woman", "two_people"))


def references(name, *numbers):
    return [EXAMPLES / f"{name}_reference_{number}.jpg" for number in numbers]


@pytest.fixture(scope="module")
def studio():
    return serve.open_studio(argparse.Namespace(device="cpu", detector="builtin", models_dir=None))


@pytest.fixture
def session(studio, tmp_path):
    session = Session(studio, str(tmp_path))
    yield session
    session.close()


def take(session, photos, given=()):
    """Give a session photographs and references; what is wrong with each, or None."""
    return [problem for _, problem in (*session.take_photos(photos), *session.take_references(given))]


def made_by(session, face, settings):
    """The stages of a face that a change of settings computes."""
    made = session.opened.kept[face].made
    before = len(made)
    session.drawn(face, settings)
    return made[before:]


def test_a_slider_computes_only_what_it_changes(session):
    take(session, [MAN])
    assert made_by(session, 0, Settings()) == ["encode", "decode"]
    assert made_by(session, 0, Settings()) == []
    assert made_by(session, 0, Settings(content=0.5)) == ["decode"]
    assert made_by(session, 0, Settings(content=0.5, quality=0.5)) == ["decode"]
    take(session, [MAN], references("man", 1, 2))
    made_by(session, 0, Settings())
    assert made_by(session, 0, Settings(strength=0.5)) == ["transfer", "decode"]
    assert made_by(session, 0, Settings(strength=0.5, content=0)) == ["decode"]
    if session.studio.restorer.prior:
        assert made_by(session, 0, Settings(steps=1)) == ["refine", "transfer", "decode"]
        assert made_by(session, 0, Settings(steps=1, strength=0)) == ["transfer", "decode"]


def test_references_that_were_read_are_not_read_again(session, monkeypatch):
    take(session, [MAN], references("man", 1))
    read = []
    monkeypatch.setattr(
        "resemblance.core.apps.page.session.look_at",
        lambda name, path, studio: (read.append(name), first)[1],
    )
    first = session.references[0]
    take(session, [WOMAN], references("man", 1, 2))
    assert read == ["man_reference_2.jpg"]


def test_a_face_is_drawn_as_the_library_draws_it(session):
    """Without references, with them, and refined."""
    studio = session.studio
    photo = read_photo(MAN).pixels[None]
    take(session, [MAN])
    (report,) = restore_photos(photo, studio.models, studio.detect, RestoreOptions(0.5, 1.0)).faces
    crops = crop_faces(photo, [report.face])
    blind = studio.restorer.restore(crops.pixels, 0.5)
    # Tokens carry encoder features in bfloat16, which the network need not run in.
    assert torch.allclose(session.drawn(0, Settings(content=0.5)).after, blind[0], atol=1 / 255)
    take(session, [MAN], references("man", 1, 2))
    photos = [ReferencePhoto(read_photo(path).pixels, path.name, "him") for path in references("man", 1, 2)]
    detect = partial(detect_faces, backend="builtin", min_size=1)
    found = encode_references(photos, studio.restorer, studio.models.telling_apart, detect)
    (match,) = match_faces(crops, found, studio.models.telling_apart)
    assert match.person == "him"
    crops = replace(crops, faces=(labelled(crops.faces[0], match),))
    refinement = RefinementOptions(2 if studio.restorer.prior else 0)
    options = RestoreOptions(0.5, references=ReferenceOptions(0.7, diagnostics=True), refinement=refinement)
    faces, (report,) = restore_crops(crops, studio.models, options, found)
    shown = report.restored.diagnostics
    drawn = session.drawn(0, Settings(0.5, strength=0.7, steps=refinement.steps))
    assert torch.allclose(drawn.after, faces[0], atol=1e-4)
    assert drawn.likeness == pytest.approx((shown.before, shown.after), abs=1e-3)
    assert [share for _, share in drawn.taken] == pytest.approx([share for _, share in shown.taken], abs=1e-3)
    assert drawn.invented == pytest.approx(shown.invented, abs=1e-3)


@pytest.mark.parametrize("name, change", [("content", 0.0), ("quality", 0.0), ("strength", 0.0), ("steps", 4)])
def test_every_slider_changes_the_face(session, name, change):
    if name == "steps" and not session.studio.restorer.prior:
        pytest.skip("no prior ships")
    take(session, [MAN], references("man", 1))
    plain = session.drawn(0, Settings()).after
    changed = session.drawn(0, Settings(**{name: change})).after
    assert float((changed - plain).abs().mean()) > 0.002


def test_who_is_who_is_found_out(session, tmp_path):
    empty = tmp_path / "wall.png"
    Image.fromarray(np.full((300, 400, 3), 128, np.uint8)).save(empty)
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear Anna")
    given = [*references("two_people", 1, 2, 3), *references("woman", 1), empty, letter]
    take(session, [TWO], given)
    verdicts = session.matched().verdicts
    assert [verdict.used for verdict in verdicts] == [True, True, True, False, False, False]
    for n, verdict in enumerate(verdicts[:2]):
        assert verdict.text == f"Used for face {n + 1} ({session.matched().matches[n].chance:.0%} sure)."
    assert "Used for face 1 (" in verdicts[2].text and "Used for face 2 (" in verdicts[2].text  # it shows both
    assert re.match(
        r"Not used: no face here is likely to be this person \(the likeliest is face [12], \d+% sure\)\. If you know",
        verdicts[3].text,
    )
    assert verdicts[4].text == "Not used: no face was found in it; expected a photograph that shows one."
    assert verdicts[5].text.startswith("Not used: not a picture that can be read")
    for face in (0, 1):
        sources = {Path(source).name for source, _ in session.drawn(face, Settings()).taken}
        assert sources == {f"two_people_reference_{face + 1}.jpg", "two_people_reference_3.jpg"}


def test_what_is_said_by_hand_holds(session):
    take(session, [WOMAN], references("man", 1, 2))
    assert session.drawn(0, Settings()).likeness is None
    session.belongs(0, 0)
    assert session.matched().matches[0].by_hand and session.said_of(0) == 0
    # The other one is of the same man, as it shows.
    assert [verdict.used for verdict in session.matched().verdicts] == [True, True]
    assert len(session.drawn(0, Settings()).taken) == 2
    session.belongs(0, NOBODY)
    assert session.matched().verdicts[0].text == "Left out, as you said."
    session.belongs(0, None)
    assert [verdict.used for verdict in session.matched().verdicts] == [False, False]


def sureness(studio, evidence):
    """The studio with an embedder for which every comparison gives such evidence."""
    from resemblance.core.faces.evidence import TERMS, Calibration

    embedder = SimpleNamespace(
        name=studio.embedder.name,
        fingerprint=studio.embedder.fingerprint,
        network=studio.embedder.network,
        embed=studio.embedder.embed,
        calibration=Calibration((evidence, *(0.0,) * (TERMS - 1))),
    )
    return replace(studio, models=replace(studio.models, embedders=both(embedder)))


@pytest.fixture
def biased(studio, tmp_path):
    """A session for which every comparison gives such evidence."""
    sessions = []

    def make(evidence):
        folder = tmp_path / f"{len(sessions)}"
        folder.mkdir()
        sessions.append(Session(sureness(studio, evidence), str(folder)))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


def test_what_is_said_by_hand_is_doubted_where_much_speaks_against_it(biased):
    doubting = biased(-7.0)
    take(doubting, [MAN], references("man", 1, 2))
    # Nothing is of one person: each photograph is its own, and no face is likely to be either.
    assert {person for _, person in doubting.matched().named} == {"person 1", "person 2"}
    assert all("the likeliest is face 1, 1% sure" in verdict.text for verdict in doubting.matched().verdicts)
    doubting.belongs(0, 0)
    first = doubting.matched().verdicts[0]
    assert first.used
    assert first.text == "Used for face 1, as you said, but probably somebody else (3% likely)."
    believing = biased(0.0)
    take(believing, [MAN], references("man", 1))
    believing.belongs(0, 0)
    assert believing.matched().verdicts[0].text == "Used for face 1 (as you said)."


def test_a_person_may_be_on_two_faces(biased):
    certain = biased(7.0)
    take(certain, [TWO], references("two_people", 1, 2))
    matched = certain.matched()
    assert {person for _, person in matched.named} == {"person 1"}  # all are one
    first, second = (f"face {n + 1} ({found.chance:.0%} sure)" for n, found in enumerate(matched.matches))
    assert [verdict.text for verdict in matched.verdicts] == [f"Used for {first} and {second}."] * 2


def test_a_doubtful_photograph_is_told_of(biased):
    doubtful = biased(-1.5)  # by which two photographs are not joined, but believed where they were
    take(doubtful, [MAN], references("man", 1, 2))
    assert {person for _, person in doubtful.matched().named} == {"person 1", "person 2"}
    doubtful.belongs(0, 0)
    doubtful.belongs(1, 0)
    told = "Used for face 1 (as you said). It counts for less: it may show somebody else than the others (67% sure)."
    assert [verdict.text for verdict in doubtful.matched().verdicts] == [told] * 2


def test_less_is_drawn_of_whom_it_is_less_sure(studio, biased):
    """The stages of a face are kept for one chance alone."""
    likely, unlikely = biased(7.0), biased(-1.0)
    drawn = []
    for session in (likely, unlikely):
        take(session, [MAN], references("man", 1))
        drawn.append(session.drawn(0, Settings()))
    assert float((drawn[0].after - drawn[1].after).abs().max()) > 0.01
    (_, more), (_, less) = (d.taken[0] for d in drawn)
    assert less < more
    unlikely.belongs(0, 0)
    assert unlikely.drawn(0, Settings()).taken[0][1] > less


def test_a_click_finds_the_face_under_it(session):
    take(session, [TWO])
    opened = session.opened
    for face in opened.faces:
        x0, y0, x1, y1 = (v * opened.scale for v in face.box)
        assert opened.face_at((x0 + x1) / 2, (y0 + y1) / 2) == face.index
    assert opened.face_at(1, 1) is None


def test_a_large_photograph_is_shown_smaller_and_clicked_at_the_right_place(session, tmp_path):
    large = tmp_path / "large.png"
    Image.open(MAN).resize((2560, 2560)).save(large)
    take(session, [large])
    (face,) = session.opened.faces
    x0, y0, x1, y1 = face.box
    assert session.opened.small.shape[1:] == (1280, 1280)
    assert session.opened.face_at((x0 + x1) / 4, (y0 + y1) / 4) == 0
    assert session.opened.face_at((x0 + x1) / 2, (y0 + y1) / 2) is None
    before, after = session.whole(Settings())
    changed = (before - after).abs().amax(0) > 0.02
    rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
    assert int(rows.min()) < y1 / 2 and int(rows.max()) > y0 / 2
    assert abs(float(columns.float().mean()) - (x0 + x1) / 4) < 0.1 * (x1 - x0)


def test_sharp_faces_are_left_out_until_they_are_chosen(session):
    truth = EXAMPLES / "man_truth.jpg"
    take(session, [truth])
    assert session.opened.chosen == set() and "sharp already" in words.found(session.opened)[0]
    (_, step) = session.restore([truth], Settings(), ".png", Run.begin())
    assert step.file is None and "left as it is" in step.text
    session.opened.chosen.add(0)
    (_, step) = session.restore([truth], Settings(), ".png", Run.begin())
    assert step.file is not None


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_photograph_is_saved_whole_with_what_belongs_to_it(session, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010E] = "Grandfather, 1952"
    source = tmp_path / "grandfather.jpg"
    Image.open(TWO).save(source, exif=exif, quality=95, dpi=(300, 300))
    take(session, [source])
    session.opened.chosen.discard(0)
    (begun, step) = session.restore([source], Settings(), suffix, Run.begin())
    assert (begun.done, step.done, step.file.name) == (0, 1, f"grandfather_restored{suffix}")
    before, after = Image.open(source), Image.open(step.file)
    assert after.size == before.size and after.getexif()[0x010E] == "Grandfather, 1952"
    if suffix == ".png":
        changed = np.any(np.array(before) != np.array(after), axis=2)
        x0, _, x1, _ = session.opened.faces[1].box
        assert changed.any() and not changed[:, : int(x0 - (x1 - x0))].any()
    (*_, again) = session.restore([source], Settings(content=0), suffix, Run.begin())
    assert again.file != step.file and step.file.is_file()


def test_several_photographs_go_on_when_one_fails(session, tmp_path):
    gone = tmp_path / "gone.jpg"
    gone.write_bytes(MAN.read_bytes())
    take(session, [gone, WOMAN])
    session.opened = None
    gone.unlink()
    steps = list(session.restore([gone, WOMAN], Settings(), ".jpg", Run.begin()))
    assert [(step.failed, step.file is not None) for step in steps] == [
        (False, False),
        (True, False),
        (False, False),
        (False, True),
    ]


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


def test_bad_files_are_told_in_a_sentence_and_the_good_ones_go_on(session, tmp_path):
    files = {name: tmp_path / name for name in ("empty.jpg", "text.png", "cut.jpg", "wide.png", "heavy.jpg")}
    files["empty.jpg"].write_bytes(b"")
    files["text.png"].write_text("no picture")
    files["cut.jpg"].write_bytes(MAN.read_bytes()[:20000])
    Image.new("1", (9000, 6000)).save(files["wide.png"])
    files["heavy.jpg"].write_bytes(MAN.read_bytes())
    os.truncate(files["heavy.jpg"], 61_000_000)
    problems = take(session, [*files.values(), WOMAN])
    told = dict(zip(files, problems, strict=False))
    assert problems[-1] is None and session.opened.path == WOMAN and session.photos == [WOMAN]
    assert told["empty.jpg"].startswith("The file is empty")
    assert told["text.png"].startswith("Not a picture")
    assert told["cut.jpg"].startswith("Broken")
    assert told["wide.png"].startswith("The photograph has 54 megapixels; the page takes 50")
    assert told["heavy.jpg"].startswith("The file has 61 MB; the page takes 60 MB")
    assert not any(str(tmp_path) in text for text in told.values())


def test_a_photograph_that_is_added_leaves_the_one_that_is_looked_at(session):
    take(session, [MAN, TWO])
    session.look_at(TWO)
    take(session, [MAN, TWO, WOMAN])
    assert session.opened.path == TWO and session.photos == [MAN, TWO, WOMAN]
    take(session, [MAN, WOMAN])
    assert session.opened.path == MAN and session.photos == [MAN, WOMAN]


def test_a_photograph_without_a_face_says_so(session, tmp_path):
    wall = tmp_path / "wall.png"
    Image.new("RGB", (300, 200), "grey").save(wall)
    take(session, [wall])
    assert "No face was found" in words.found(session.opened)[0]
    (_, step) = session.restore([wall], Settings(), ".png", Run.begin())
    assert step.file is None and "no face" in step.text


def test_more_files_than_the_page_takes_are_refused(session):
    with pytest.raises(ValueError, match="You gave 21 photographs; the page takes 20 at once"):
        list(session.take_photos([MAN] * 21))
    with pytest.raises(ValueError, match="17 reference photographs"):
        list(session.take_references([MAN] * 17))


def test_what_a_visitor_leaves_behind_is_deleted(session):
    take(session, [MAN])
    (*_, step) = session.restore([MAN], Settings(), ".jpg", Run.begin())
    assert step.file.is_file()
    session.close()
    assert not step.file.parent.exists()


def test_words_of_visitors_are_escaped():
    assert "<script>" not in words.status("<script>alert(1)</script>.jpg: not a picture", "bad")


def test_identity_is_told_in_words(session):
    take(session, [MAN])
    text = words.identity(session.drawn(0, Settings()), 0, session.matched())
    assert "Nobody can say yet" in text and "likeness" not in text
    take(session, [MAN], references("man", 1))
    drawn = session.drawn(0, Settings())
    text = words.identity(drawn, 0, session.matched())
    before, after = drawn.likeness
    sure = session.matched().matches[0].chance
    assert f"{before:.2f} before, {after:.2f} after" in text and "Likeness rises by copying alone" in text
    assert f"It is {sure:.0%} sure that it is the same person, by its likeness before." in text
    session.belongs(0, 0)
    text = words.identity(session.drawn(0, Settings()), 0, session.matched())
    sure = session.matched().matches[0].chance
    assert f"It is {sure:.0%} sure that it is the same person, by what you said and its likeness before." in text
    take(session, [WOMAN], references("man", 1))
    text = words.identity(session.drawn(0, Settings()), 0, session.matched())
    assert "without the reference photographs" in text


# The graph for ComfyUI


def shipped_nodes():
    """One node of each kind, as the shipped workflows hold it."""
    nodes = [node for path in (ROOT / "workflows").glob("*.json") for node in json.loads(path.read_text())["nodes"]]
    return {node["type"]: node for node in nodes}


@pytest.mark.parametrize("kind", [kind for kind in graph.KINDS if kind != "LoadImage"])
def test_nodes_have_the_sockets_that_they_have_in_workflows(kind):
    shipped = shipped_nodes()[kind]
    like = graph.KINDS[kind]
    assert [(name.rstrip("?"), socket) for name, socket in like.wires + like.widgets] == [
        (entry["name"], entry["type"]) for entry in shipped["inputs"]
    ]
    optional = [entry["name"] for entry in shipped["inputs"] if entry.get("shape") == 7 and "widget" not in entry]
    assert [name[:-1] for name, _ in like.wires if name.endswith("?")] == optional
    assert list(like.outputs) == [(entry["name"], entry["type"]) for entry in shipped["outputs"]]


def test_links_of_the_graph_name_the_sockets_they_join(session):
    take(session, [TWO], references("two_people", 1, 2, 3))
    session.belongs(0, 1)
    made = json.loads(session.workflow(Settings(0.5, 0.25, 0.75, 2)).read_text())
    nodes = {node["id"]: node for node in made["nodes"]}
    for link, source, output, target, slot, kind in made["links"]:
        assert link in nodes[source]["outputs"][output]["links"] and nodes[source]["outputs"][output]["type"] == kind
        assert nodes[target]["inputs"][slot]["link"] == link and nodes[target]["inputs"][slot]["type"] == kind
    values = {node["type"]: node["widgets_values"] for node in made["nodes"]}
    assert values["ResemblanceRestoreTokens"] == [0.5, 0.25]
    assert values["ResemblanceTransferTexture"] == [0.75]
    assert values["ResemblanceRefineLatent"][0] == 2
    assert values["ResemblanceSelectFaces"][1] == "0, 1"
    assert values["ResemblanceMatchReferences"][1] == "1=person 1"
    shipped = shipped_nodes()
    for kind, given in values.items():
        assert kind == "LoadImage" or len(given) == len(shipped[kind]["widgets_values"]), kind


def test_the_graph_does_the_same_in_comfyui(session, server):
    """Opened in ComfyUI's own frontend and run there, it gives the picture that the page saved."""
    given = references("two_people", 1, 3)
    take(session, [TWO], given)
    settings = Settings(0.6, 0.9, 0.8, 2 if session.studio.restorer.prior else 0)
    (*_, step) = session.restore([TWO], settings, ".png", Run.begin())
    for path in (TWO, *given):
        (server.base / "input" / path.name).write_bytes(path.read_bytes())
    with open_frontend(server) as frontend:
        survey = frontend.load(json.loads(session.workflow(settings).read_text()))
        assert [node["type"] for node in survey["nodes"] if node["missing"] or node["unlisted"]] == []
        made = frontend.api_graph()
        assert frontend.errors == []
    nodes = {key: (node["class_type"], node["inputs"]) for key, node in made.items()}
    end = next(key for key, (kind, _) in nodes.items() if kind == "SaveImage")
    _, inputs = nodes.pop(end)
    result = server.run({**nodes, "kept": ("ResemblanceTestKeep", {"value": inputs["images"], "name": "page"})})
    picture = result.kept("page")[0].permute(2, 0, 1)
    assert float((picture - read_photo(step.file).pixels).abs().max()) <= 1.5 / 255


# The server


def test_without_gradio_one_sentence_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name))
    with pytest.raises(UsageError, match=r'pip install "resemblance\[app\]"'):
        serve.run(argparse.Namespace(), None)


def ask(app, path, cookie=None):
    """Status, headers and body that an ASGI application answers a path with."""
    sent = []

    async def send(message):
        sent.append(message)

    headers = [(b"cookie", cookie.encode())] if cookie else []
    asyncio.run(app({"type": "http", "path": path, "headers": headers}, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(part.get("body", b"") for part in sent[1:])


async def gradio_like(scope, receive, send):
    """Tells of one file, and would serve any."""
    body = b'data: {"path": "/kept/Anna \\u00e4.png"}' if "queue" in scope["path"] else b"content"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_a_file_is_served_only_to_who_was_told_of_it():
    app = visitors.Visitors(gradio_like)
    status, headers, _ = ask(app, "/gradio_api/queue/data")
    cookie = headers[b"set-cookie"].decode().split(";")[0]
    assert status == 200 and b"HttpOnly" in headers[b"set-cookie"]
    file = "/gradio_api/file=/kept/Anna ä.png"
    assert ask(app, file, cookie)[0] == 200
    assert ask(app, file)[0] == 404
    assert ask(app, file, f"{visitors.COOKIE}={'x' * 32}")[0] == 404
    assert ask(app, "/gradio_api/file=/etc/passwd", cookie)[0] == 404
    # gradio would fetch it from there.
    assert ask(app, "/gradio_api/file=https://example.org/a.png", cookie)[0] == 404


def test_the_page_may_ask_no_other_host():
    policy = ask(visitors.Visitors(gradio_like), "/")[1][b"content-security-policy"].decode()
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
