import torch
from resemblance.core.faces import detect
from resemblance.core.faces.measure import luma
from resemblance.core.faces.preview import COLOURS, SHOWN, draw_faces, draw_rows, tinted
from resemblance.core.records import Face


def face(index, box):
    x0, y0, x1, y1 = box
    points = (
        (x0 + 10, y0 + 10),
        (x1 - 10, y0 + 10),
        ((x0 + x1) / 2, (y0 + y1) / 2),
        (x0 + 10, y1 - 10),
        (x1 - 10, y1 - 10),
    )
    return Face(0, index, box, 0.9, points)


def test_preview_draws_box_points_and_number():
    photo = torch.full((3, 300, 400), 0.5)
    box = (100.0, 100.0, 180.0, 200.0)
    drawn = draw_faces(photo, [face(0, box)])
    assert drawn.shape == photo.shape and drawn.dtype == torch.float32
    changed = (drawn - photo).abs().amax(0) > 0.02
    for x, y in ((100, 150), (180, 150), (140, 200), (140, 150), (110, 110)):  # sides, nose, eye
        assert changed[y, x]
    assert not changed[155:185, 115:160].any()  # between the points the face stays visible
    assert not changed[:60].any() and not changed[215:].any() and not changed[:, :90].any()
    label = drawn[:, 70:99, 100:140]
    assert (label.amax(0) < 0.1).sum() > 10  # black digits
    other = draw_faces(photo, [face(len(detect.BACKENDS) * 2, box)])  # six colours: the same colour, another number
    assert not torch.equal(other, drawn)
    assert torch.equal(other[:, 205:], drawn[:, 205:])


def test_preview_is_shrunk_and_copes_with_borders():
    photo = torch.zeros(3, 2000, 4000)
    drawn = draw_faces(photo, [face(7, (-50.0, -60.0, 900.0, 900.0)), face(12, (3800.0, 1500.0, 4100.0, 2100.0))], 500)
    assert drawn.shape == (3, 250, 500)
    assert drawn[:, :20, :20].amax() > 0.5  # the number is inside where there is no room above
    assert torch.equal(draw_faces(photo[:, :10, :10], []), torch.zeros(3, 10, 10))
    assert draw_faces(torch.zeros(3, 1, 1), [face(0, (0.0, 0.0, 1.0, 1.0))]).shape == (3, 1, 1)


RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def plain(*colour):
    return torch.tensor(colour)[None, :, None, None].expand(1, 3, 512, 512).float()


def test_rows_are_drawn_side_by_side():
    red, green = plain(*RED)[0], plain(*GREEN)[0]
    drawn = draw_rows([[(red, "a"), (green, "b")], [(green, "c")]], 64)
    assert drawn.shape == (3, 128, 128)
    corners = drawn[:, [60, 60, 124, 124], [60, 124, 60, 124]].T
    assert corners[:3].tolist() == [list(RED), list(GREEN), list(GREEN)] and len(corners[3].unique()) == 1
    assert draw_rows([], 64).shape == (3, 64, 64)


def test_words_stand_in_lines_of_the_maps_colours_and_sentences_below():
    white = torch.ones(3, 256, 256)
    drawn = draw_rows([[(white, "0: one\ntwo")]])
    for number, colour in enumerate(COLOURS[:2]):
        patch = torch.tensor(colour)[:, None, None] / 255
        row = drawn[:, round(number * 25.6) + 4 : round(number * 25.6) + 16, :20]
        assert ((row - patch).abs().amax(0) < 0.01).float().mean() > 0.3
    short, long = (draw_rows([[(white, "")], [(white, "")]], below=[text, "b"]) for text in ("a", "many words " * 9))
    assert 512 < short.shape[1] < long.shape[1] and short.shape[2] == long.shape[2] == 256
    assert float(short[:, :256].min()) == 1.0 > float(short[:, 256:270].min())


def test_maps_are_laid_over_a_grey_picture():
    picture = torch.rand(3, 8, 8)
    assert torch.allclose(tinted(picture, torch.zeros(0, 8, 8)), luma(picture).expand(3, 8, 8))
    shares = torch.zeros(2, 8, 8)
    shares[0, :4], shares[1, 4:] = 1, 1
    drawn = tinted(picture, shares)
    for rows, colour in ((slice(0, 4), COLOURS[0]), (slice(4, 8), COLOURS[1])):
        expected = (1 - SHOWN) * luma(picture)[rows] + SHOWN * torch.tensor(colour)[:, None, None] / 255
        assert torch.allclose(drawn[:, rows], expected, atol=1e-6)
