"""Visitors of the web page without a browser, who say what they like."""

import json

import httpx
from pages import EXAMPLES

PATIENCE = 60  # s that a busy machine may take


class Guest:
    """One visitor, with a cookie and a session of their own."""

    def __init__(self, url, session):
        # Asked by its address, whatever proxy is set.
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE)
        self.session = session
        page = self.http.get("/")
        assert page.status_code == 200, page.text
        self.events = {event["api_name"]: event["id"] for event in self.http.get("/config").json()["dependencies"]}

    def upload(self, name="man_damaged.jpg", data=None):
        """Send a file."""
        data = (EXAMPLES / "man_damaged.jpg").read_bytes() if data is None else data
        return self.http.post("/gradio_api/upload", files=[("files", (name, data))])

    def join(self, event, *data, **said):
        """Ask for an event, in this session or what is said otherwise."""
        event = {"fn_index": self.events.get(event, event), "data": data, "session_hash": self.session, **said}
        return self.http.post("/gradio_api/queue/join", json=event)

    def heard(self, session=None, seconds=PATIENCE):
        """What the page is told until all events are done, or until nothing was told for so long."""
        told, session = [], {"session_hash": session or self.session}
        try:
            with self.http.stream("GET", "/gradio_api/queue/data", params=session, timeout=seconds) as news:
                told += [json.loads(line.removeprefix("data: ")) for line in news.iter_lines() if line]
        except httpx.ReadTimeout:
            assert seconds < PATIENCE, "the page still waits"
        return told

    def take(self, *paths, references=False):
        """Give the page photographs by their paths, and what it is told of them in the end."""
        event = "take_references" if references else "take_photos"
        answer = self.join(event, event_data={"files": [{"path": path} for path in paths], "face": None})
        assert answer.status_code == 200, answer.text
        done = next(news for news in self.heard() if news["msg"] == "process_completed")
        return json.dumps(done["output"], ensure_ascii=False)
