import pytest


@pytest.fixture
def scrfd(assets):
    pytest.importorskip("insightface.model_zoo")
    from resemblance.core.training.assets import asset

    return asset("scrfd", assets)


@pytest.fixture
def retinaface(assets):
    pytest.importorskip("facexlib.detection.retinaface")
    from resemblance.core.training.assets import asset

    return asset("retinaface", assets)
