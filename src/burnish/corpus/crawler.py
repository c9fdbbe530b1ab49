"""Pages of a site that the user names, politely: the only place where documents come from another machine.

What the site forbids in its robots.txt (RFC 9309) is not asked for, nor is anything on another host. One request runs
at a time, and between two lies the time that the settings or the site ask for. Pages are kept as they came, so that a
crawl that was interrupted goes on and one that is whole is not made again.

    000001.html ...   the pages
    crawl.jsonl       a line for each address that was asked for or passed over: what became of it, and its links
    whole.json        the settings; written last
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

import httpx2

from burnish.corpus.site import Site
from burnish.errors import BurnishError, DataError
from burnish.files import atomic_write_bytes, atomic_write_text

AGENT = "burnish"
"""By which a site's robots.txt may speak to this crawler."""
KINDS = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "application/pdf": ".pdf",
}
SECONDS_OF_PAGE = 60.0
"""However slowly a page comes, it does not take longer."""
MAX_WAIT = 120.0
"""Seconds that a site may ask to wait before the same page is asked for again."""
_MAX_ADDRESS = 2000
_MAX_REDIRECTS = 5
_MAX_ROBOTS_BYTES = 512 << 10
_ATTEMPTS = 3
_LINES, _WHOLE = "crawl.jsonl", "whole.json"

Sleep = Callable[[float], None]
OnPage = Callable[[int, str], None]
"""Hears how many pages there are and the address of the last."""


@dataclass(frozen=True)
class Visit:
    """What became of an address. file: the page's, if it is kept. reason: why it is not, with what there is to say."""

    url: str
    depth: int
    file: str | None = None
    reason: str | None = None
    detail: str = ""
    links: list[str] = field(default_factory=list)


def crawl(
    site: Site, folder: Path, *, sleep: Sleep = time.sleep, on_page: OnPage = lambda count, url: None
) -> list[Visit]:
    """Read the pages of a site into a folder, or what is left to read of them; everything that was visited, in order.

    Raises BurnishError where the site cannot be reached or the extra `crawl` is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = site.model_dump_json()
    if not _is_of(folder, settings):
        for path in folder.iterdir():
            path.unlink()
        atomic_write_text(folder / "settings.json", settings)
    visits = _visits(folder)
    if (folder / _WHOLE).exists():
        return visits
    with _client() as client, (folder / _LINES).open("a", encoding="utf-8") as lines:
        for visit in _Crawl(site, folder, client, sleep).walk(visits):
            lines.write(json.dumps(asdict(visit), ensure_ascii=False) + "\n")
            lines.flush()
            visits.append(visit)
            if visit.file is not None:
                on_page(sum(one.file is not None for one in visits), visit.url)
    if not any(visit.file for visit in visits):
        said = next((f"{visit.reason}: {visit.detail}" for visit in visits if visit.reason), "no page")
        raise DataError(f"{site.start}: no page of the site could be read ({said})")
    atomic_write_text(folder / _WHOLE, settings)
    return visits


class _Crawl:
    """A walk over a site, the nearest pages first."""

    def __init__(self, site: Site, folder: Path, client: httpx2.Client, sleep: Sleep) -> None:
        self.site, self.folder, self.client, self.sleep = site, folder, client, sleep
        self.last_request = -1e9
        self.pause = site.seconds_between
        self.robots = self._robots()
        self.pause = max(self.pause, float(self.robots.crawl_delay(AGENT) or 0))

    def walk(self, known: list[Visit]) -> Iterator[Visit]:
        """Yield what becomes of every address that is not among the `known` ones."""
        waiting = deque([(normal(self.site.start), 0)])
        seen = {normal(self.site.start)}
        visited = {visit.url: visit for visit in known}
        n_pages = sum(visit.file is not None for visit in known)
        while waiting:
            url, depth = waiting.popleft()
            visit = visited.get(url)
            if visit is None:
                if n_pages >= self.site.max_pages:
                    return
                visit = self._visit(url, depth, n_pages + 1)
                n_pages += visit.file is not None
                yield visit
            for link in visit.links if depth < self.site.depth else ():
                if link not in seen:
                    seen.add(link)
                    waiting.append((link, depth + 1))

    def _visit(self, url: str, depth: int, number: int) -> Visit:
        if not self.robots.can_fetch(url, AGENT):
            return Visit(url, depth, reason="page that robots.txt forbids")
        try:
            found = self._page(url)
        except _NotKeptError as error:
            return Visit(url, depth, reason=error.reason, detail=error.detail)
        final, kind, data = found
        links: list[str] = []
        if KINDS[kind] == ".html":
            page = _Links(final)
            page.feed(data.decode("utf-8", "replace"))
            links = list(dict.fromkeys(link for link in page.links if urlsplit(link).netloc == self.site.host))
            if page.noindex:
                return Visit(url, depth, reason="page that asks not to be kept", links=links)
        name = f"{number:06d}{KINDS[kind]}"
        atomic_write_bytes(self.folder / name, data)
        return Visit(url, depth, file=name, links=links)

    def _page(self, url: str) -> tuple[str, str, bytes]:
        """Address in the end, kind and content of a page, redirects on the same host followed."""
        for _ in range(_MAX_REDIRECTS):
            status, headers, data = self._request(url, self.site.max_page_bytes)
            if status in (301, 302, 303, 307, 308):
                url = normal(urljoin(url, headers.get("location", "")))
                if urlsplit(url).netloc != self.site.host:
                    raise _NotKeptError("page that leads to another host", url)
                if not self.robots.can_fetch(url, AGENT):
                    raise _NotKeptError("page that robots.txt forbids", url)
                continue
            if status != 200:
                raise _NotKeptError(f"page that answers {status}")
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in KINDS:
                raise _NotKeptError("page that is no text", kind or "of no kind")
            return url, kind, data
        raise _NotKeptError("page that leads round in circles")

    def _request(self, url: str, max_bytes: int) -> tuple[int, dict[str, str], bytes]:
        """Ask for an address, when it is time, and again where the site asks to wait."""
        for attempt in range(_ATTEMPTS):
            self.sleep(max(self.last_request + self.pause - time.monotonic(), 0.0))
            self.last_request = time.monotonic()
            try:
                status, headers, data = self._response(url, max_bytes)
            except httpx2.HTTPError as error:
                raise _NotKeptError("page that cannot be reached", f"{type(error).__name__}: {error}") from None
            if status not in (429, 503) or attempt == _ATTEMPTS - 1:
                break
            asked = headers.get("retry-after", "")
            self.sleep(min(float(asked) if asked.isdigit() else 5.0 * (attempt + 1), MAX_WAIT))
        return status, headers, data

    def _response(self, url: str, max_bytes: int) -> tuple[int, dict[str, str], bytes]:
        begun = time.monotonic()
        with self.client.stream("GET", url) as response:
            data = bytearray()
            for part in response.iter_bytes() if response.status_code == 200 else ():
                data += part
                if len(data) > max_bytes:
                    raise _NotKeptError("page that is too large", f"more than {max_bytes:,} bytes")
                if time.monotonic() - begun > SECONDS_OF_PAGE:
                    raise _NotKeptError("page that takes too long", f"more than {SECONDS_OF_PAGE:g} s")
            return response.status_code, {k.lower(): v for k, v in response.headers.items()}, bytes(data)

    def _robots(self) -> Any:
        """The site's rules: none where there is no such file, all is forbidden where it cannot be had (RFC 9309)."""
        try:
            from protego import Protego
        except ImportError:
            raise BurnishError("reading a site needs protego; install it with `pip install 'burnish[crawl]'`") from None
        url = urljoin(self.site.start, "/robots.txt")
        try:
            status, _, data = self._request(url, _MAX_ROBOTS_BYTES)
        except _NotKeptError as error:
            raise BurnishError(f"{url}: {error.reason}: {error.detail}; without it the site may not be read") from None
        if status >= 500:
            raise BurnishError(
                f"{url}: the site answers {status}; without it the site may not be read, try again later"
            )
        return Protego.parse(data.decode("utf-8", "replace") if status == 200 else "")


class _NotKeptError(Exception):
    """Why a page is not kept."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


class _Links(HTMLParser):
    """The addresses that a page links to. noindex: whether it asks not to be kept."""

    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = url
        self.links: list[str] = []
        self.noindex = self.nofollow = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "base" and values.get("href"):
            self.base = urljoin(self.base, values["href"])
        elif tag == "meta" and values.get("name", "").lower() in ("robots", AGENT):
            asked = values.get("content", "").lower()
            self.noindex |= "noindex" in asked or "none" in asked
            self.nofollow |= "nofollow" in asked or "none" in asked
            if self.nofollow:
                self.links.clear()
        elif tag == "a" and "nofollow" not in values.get("rel", "").lower() and not self.nofollow:
            try:
                link = normal(urljoin(self.base, values.get("href", "").strip()))
            except ValueError:  # no address, such as http://[
                return
            if urlsplit(link).scheme in ("http", "https") and len(link) <= _MAX_ADDRESS:
                self.links.append(link)


def normal(url: str) -> str:
    """An address in one form: without its fragment, the host in small letters, `/` for an empty path."""
    parts = urlsplit(urldefrag(url).url)
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path or "/", parts.query, ""))


def _client() -> httpx2.Client:
    import burnish

    agent = f"{AGENT}/{burnish.__version__}"
    return httpx2.Client(
        timeout=30.0, follow_redirects=False, headers={"user-agent": agent, "accept": "text/html, text/*"}
    )


def _is_of(folder: Path, settings: str) -> bool:
    path = folder / "settings.json"
    return path.exists() and path.read_text(encoding="utf-8") == settings


def _visits(folder: Path) -> list[Visit]:
    """What an earlier call has visited; a last line that it could not finish is left out, and cut off."""
    path = folder / _LINES
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    atomic_write_text(path, whole + "\n" if whole else "")
    return [Visit(**json.loads(line)) for line in whole.split("\n") if line]
