"""The crawler, against a site on this machine."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from burnish.corpus.crawler import Visit, crawl, normal
from burnish.corpus.preparation.pipeline import prepare
from burnish.corpus.preparation.sources import DocumentSource
from burnish.corpus.preparation.steps.basic import Normalize
from burnish.corpus.site import Site
from burnish.errors import BurnishError, DataError

pytest.importorskip("protego")

Answer = tuple[int, dict[str, str], bytes]


def page(*links: str, head: str = "", text: str = "") -> Answer:
    body = "".join(f'<p><a href="{link}">{link}</a></p>' for link in links)
    html = f"<html><head>{head}</head><body><p>{text}</p>{body}</body></html>"
    return 200, {"Content-Type": "text/html; charset=utf-8"}, html.encode()


ROBOTS = b"User-agent: *\nDisallow: /private\nDisallow: /*.cgi\nCrawl-delay: 2\n"


class Server:
    """A site that notes what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {"/robots.txt": (200, {"Content-Type": "text/plain"}, ROBOTS)}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append(self.path)
                status, headers, body = site.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.server.shutdown()
    found.server.server_close()


def visited(visits: list[Visit], server: Server) -> dict[str, str | None]:
    return {visit.url.removeprefix(server.url): visit.reason for visit in visits}


def quick(site: Site, folder: Path) -> list[Visit]:
    return crawl(site, folder, sleep=lambda seconds: None)


def test_what_is_read_and_what_is_not(server: Server, tmp_path: Path) -> None:
    server.answers |= {
        "/": page(
            *("a#part", "/private/x", "run.cgi", "http://elsewhere.example/"),
            *("/old", "/big", "/image", "/gone", "http://["),
        ),
        "/a": page("/b", "mailto:ann@example.org", "/"),
        "/b": page("/c"),
        "/c": page("/d"),
        "/old": (301, {"Location": "/b"}, b""),
        "/image": (200, {"Content-Type": "image/png"}, b"\x89PNG"),
        "/big": (200, {"Content-Type": "text/plain"}, b"x" * 5000),
    }
    visits = quick(Site(start=server.url, depth=2, max_page_bytes=4000), tmp_path / "site")
    assert visited(visits, server) == {
        "/": None,
        "/a": None,
        "/private/x": "page that robots.txt forbids",
        "/run.cgi": "page that robots.txt forbids",
        "/old": None,
        "/big": "page that is too large",
        "/image": "page that is no text",
        "/gone": "page that answers 404",
        "/b": None,
        "/c": None,
    }
    assert not [path for path in server.asked if path.startswith(("/private", "/run", "/d"))]
    assert len({visit.file for visit in visits if visit.file}) == 5
    assert server.asked[0] == "/robots.txt"


def test_requests_lie_as_far_apart_as_the_site_asks(server: Server, tmp_path: Path) -> None:
    server.answers["/"] = page("/a", "/b")
    slept: list[float] = []
    crawl(Site(start=server.url, seconds_between=0.5), tmp_path / "site", sleep=slept.append)
    assert slept[1:] == pytest.approx([2.0] * 3, abs=0.5)  # Crawl-delay: 2 is longer than the setting


def test_a_site_that_asks_to_wait_is_waited_for(server: Server, tmp_path: Path) -> None:
    server.answers["/"] = (429, {"Retry-After": "7"}, b"")
    slept: list[float] = []
    with pytest.raises(DataError, match="page that answers 429"):
        crawl(Site(start=server.url, seconds_between=0.0), tmp_path / "site", sleep=slept.append)
    assert slept.count(7.0) == 2
    assert server.asked.count("/") == 3


def test_marks_of_pages_are_obeyed(server: Server, tmp_path: Path) -> None:
    server.answers |= {
        "/": page("/kept", "/hidden", "/dead"),
        "/hidden": page("/behind", head='<meta name="robots" content="noindex">'),
        "/dead": page("/never", head='<meta name="robots" content="nofollow">'),
        "/behind": page(),
        "/kept": page("leaf", head='<base href="/folder/">'),
    }
    found = visited(quick(Site(start=server.url), tmp_path / "site"), server)
    assert found["/hidden"] == "page that asks not to be kept"
    assert "/behind" in found
    assert "/never" not in found
    assert "/folder/leaf" in found


@pytest.mark.parametrize("status", [500, 503])
def test_without_its_rules_a_site_is_not_read(server: Server, tmp_path: Path, status: int) -> None:
    server.answers["/robots.txt"] = (status, {}, b"")
    server.answers["/"] = page()
    with pytest.raises(BurnishError, match=rf"robots.txt: the site answers {status}"):
        quick(Site(start=server.url), tmp_path / "site")
    assert "/" not in server.asked
    with pytest.raises(BurnishError, match="cannot be reached"):
        quick(Site(start="http://127.0.0.1:9/"), tmp_path / "other")


def test_no_rules_forbid_nothing(server: Server, tmp_path: Path) -> None:
    del server.answers["/robots.txt"]
    server.answers["/"] = page("/private")
    server.answers["/private"] = page()
    assert visited(quick(Site(start=server.url), tmp_path / "site"), server) == {"/": None, "/private": None}


def test_an_interrupted_crawl_goes_on_and_a_whole_one_asks_for_nothing(server: Server, tmp_path: Path) -> None:
    for number in range(8):
        server.answers[f"/{number or ''}"] = page(f"/{number + 1}")
    site = Site(start=server.url, depth=20, max_pages=6)
    whole = quick(site, tmp_path / "whole")
    assert sum(visit.file is not None for visit in whole) == 6

    def stop(count: int, url: str) -> None:
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crawl(site, tmp_path / "site", sleep=lambda seconds: None, on_page=stop)
    with (tmp_path / "site" / "crawl.jsonl").open("a", encoding="utf-8") as lines:
        lines.write('{"url": "http://half')
    server.asked.clear()
    assert quick(site, tmp_path / "site") == whole
    assert server.asked == ["/robots.txt", "/3", "/4", "/5"]
    server.asked.clear()
    assert quick(site, tmp_path / "site") == whole
    assert server.asked == []
    quick(Site(start=server.url, depth=1), tmp_path / "site")
    assert sorted(path.name for path in (tmp_path / "site").glob("*.html")) == ["000001.html", "000002.html"]


def test_a_source_may_be_a_site(server: Server, tmp_path: Path) -> None:
    words = "This page says how leave is requested, by whom it is granted and how long it may last. " * 3
    server.answers["/"] = page("/b", "/private/x", text=words)
    server.answers["/b"] = page(text=words.replace("leave", "travel"))
    source = DocumentSource(name="wiki", site=Site(start=server.url, seconds_between=0.0))
    server.answers["/robots.txt"] = (200, {}, b"User-agent: burnish\nDisallow: /private\n")
    record = prepare([source], [Normalize()], tmp_path / "out")
    import polars as pl

    kept = pl.read_parquet(tmp_path / "out" / "documents" / "*.parquet").sort("origin")
    assert kept["origin"].to_list() == [f"{server.url}/", f"{server.url}/b"]
    assert "leave is requested" in kept["text"][0]
    assert [(one["file"], one["reason"]) for one in record.skipped] == [
        (f"{server.url}/private/x", "page that robots.txt forbids")
    ]


@pytest.mark.parametrize("start", ["ftp://a/", "example.org", "https://", "https://user:word@example.org/"])
def test_an_address_has_to_be_one(start: str) -> None:
    with pytest.raises(ValidationError, match="expected the address of a page"):
        Site(start=start)


def test_a_source_is_files_or_a_site() -> None:
    for wrong in ({}, {"paths": ["a"], "site": {"start": "https://example.org/"}}):
        with pytest.raises(ValidationError, match="give `paths`, or a `site`"):
            DocumentSource.model_validate(wrong)


def test_addresses_have_one_form() -> None:
    assert normal("HTTP://Example.org") == "http://example.org/"
    assert normal("http://example.org/A?b=c#d") == "http://example.org/A?b=c"
