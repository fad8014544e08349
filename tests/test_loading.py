import pytest
from people import ColourEmbedder, Giving, both
from resemblance.core import loading
from resemblance.core.loading import Models, load_models


def test_models_are_read_once_and_where_they_are_to_run(monkeypatch, tmp_path):
    asked = []
    for name in ("load_restorer", "load_embedders", "load_detector"):
        monkeypatch.setattr(loading, name, lambda *args, name=name: asked.append((name, *args)) or name)
    models = load_models(tmp_path, "built-in", "insightface", "meta", "folder")
    assert (models.restorer, models.embedders, models.detector) == ("load_restorer", "load_embedders", "load_detector")
    assert asked == [
        ("load_restorer", tmp_path, "meta"),
        ("load_embedders", "insightface", "meta", "folder"),
        ("load_detector", "built-in", "folder", "meta"),
    ]


def test_who_needs_embedders_is_told_where_there_are_none():
    embedders = both(ColourEmbedder())
    assert Models(Giving(), embedders).telling_apart is embedders
    with pytest.raises(ValueError, match=r"models without embedders; expected them .* Load them with load_models"):
        Models(Giving()).telling_apart  # noqa: B018
