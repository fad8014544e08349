"""Faces by hand, as the nodes hand them on."""

from dataclasses import replace

LANDMARKS = ((70.0, 80.0), (122.0, 82.0), (96.0, 112.0), (74.0, 134.0), (118.0, 136.0))


def found(photos, places, **settings):
    """Faces by hand: of `places` (image, shift in px) in an IMAGE."""
    from resemblance.core.records import Face, PhotoFaces

    faces, count = [], {}
    for image, shift in places:
        index = count[image] = count.get(image, -1) + 1
        points = tuple((x + shift, y) for x, y in LANDMARKS)
        faces.append(Face(image, index, (40.0 + shift, 30.0, 150.0 + shift, 190.0), 0.9, points, **settings))
    return PhotoFaces(tuple(faces), tuple((photos.shape[1], photos.shape[2]) for _ in photos))


def people(faces):
    return [face.person for face in faces.faces]


def labelled(tokens, sure):
    """The tokens of one face that shows anna, as sure as that."""
    (face,) = tokens.crops.faces
    return replace(tokens, crops=replace(tokens.crops, faces=(replace(face, person="anna", match_chance=sure),)))
