import socket

import pytest
from resemblance.core.apps.page.hosts import Hosts, is_loopback

EVIL = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", None, "[", "127.0.0.1@evil.example"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:7860", "localhost:8000", "LOCALHOST", "[::1]:7860"])
def test_a_page_for_this_computer_answers_to_its_names(host):
    hosts = Hosts.of("127.0.0.1")
    assert hosts.refusal(host, None) is None and hosts.refusal(host, f"http://{host}") is None


@pytest.mark.parametrize("host", [*EVIL, "192.168.1.5:7860", "10.0.0.1"])
def test_a_page_for_this_computer_answers_to_no_other(host):
    assert "none of its names. Open it at" in Hosts.of("127.0.0.1").refusal(host, None)


def test_a_page_for_others_answers_to_addresses_and_names_of_its_own():
    hosts = Hosts.of("0.0.0.0", ["faces.example.org"])
    for host in ("192.168.1.5:7860", "[fe80::1]", socket.gethostname(), "faces.example.org", "localhost"):
        assert hosts.refusal(host, None) is None
    assert all(hosts.refusal(host, None) for host in EVIL)
    assert Hosts.of("studio.lan").refusal("studio.lan:7860", None) is None


def test_only_the_page_itself_may_ask():
    hosts = Hosts.of("127.0.0.1", ["faces.example.org"])
    others = ("http://evil.example", "null", "http://127.0.0.1:1", "http://localhost:7860", "", "http://[")
    for origin in others:
        assert "Only the page itself may" in hosts.refusal("127.0.0.1:7860", origin), origin
    # A server in front of the page speaks TLS, and may ask the page by its address.
    assert hosts.refusal("127.0.0.1:7860", "https://faces.example.org") is None


def test_which_hosts_are_this_computer_alone():
    assert [h for h in ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST") if not is_loopback(h)] == []
    assert [h for h in ("0.0.0.0", "::", "192.168.1.5", "faces.example.org", "") if is_loopback(h)] == []
