"""The chat page: files of the package, served so that nothing but they can run in it.

The Content-Security-Policy allows scripts and styles of this server alone, no inline ones, no images but `data:`, no
frames and no forms: what a model wrote could not run or load anything even where the page made a mistake.
"""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[Route]:
    """A route for each file of the page; `/` is the page itself. They need no key: the page asks for it."""
    folder = files("burnish.serving") / "page"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        kind = _TYPES.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            found["/" if file.name == "index.html" else f"/{file.name}"] = (file.read_bytes(), kind)

    async def serve(request: Request) -> Response:
        content, kind = found[request.url.path]
        return Response(content, media_type=kind, headers=HEADERS)

    return [Route(path, serve, methods=["GET"]) for path in found]
