import socket

import numpy as np
import pytest
import torch


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("something reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def group():
    data = pytest.importorskip("insightface.data")
    return torch.from_numpy(np.ascontiguousarray(data.get_image("t1")[..., ::-1])).permute(2, 0, 1).float() / 255
