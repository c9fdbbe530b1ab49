"""Burnish's own server as a container and as a service of systemd."""

import json
from collections.abc import Callable

from burnish import __version__
from burnish.deployment.exported import PORT, Exported


def dockerfile(exported: Exported, say: Callable[[str], None]) -> tuple[str, str]:
    """A container that serves the model by Burnish, built from wheels, without the network."""
    model = exported.folder_for("docker")
    serve = _burnish_serve(exported, f"/srv/{model.name}", host="0.0.0.0")
    text = f"""\
# Serves {exported.name} by Burnish. The image is built without the network, from wheels in wheels/, which are made once
# on a machine that has one, with the Python and the system of the image:
#
#     pip wheel --wheel-dir wheels 'burnish[serve]=={__version__}' --extra-index-url https://download.pytorch.org/whl/cpu
#     burnish serve --new-key team --keys keys.txt
#     docker build --network none -t {exported.name.lower()} .
#     docker run -p 127.0.0.1:{PORT}:{PORT} -v "$PWD/keys.txt:/run/keys.txt:ro" {exported.name.lower()}
FROM python:3.11-slim
COPY wheels /wheels
RUN pip install --no-cache-dir --no-index --find-links /wheels 'burnish[serve]'
RUN useradd --system --create-home burnish
COPY {json.dumps([model.name, f"/srv/{model.name}"])}
USER burnish
EXPOSE {PORT}
HEALTHCHECK --start-period=120s CMD ["python", "-c", "import urllib.request as r; \
r.urlopen('http://127.0.0.1:{PORT}/health')"]
CMD {json.dumps([*serve, "--keys", "/run/keys.txt"], ensure_ascii=False)}
"""
    return "Dockerfile", text


def systemd_unit(exported: Exported, say: Callable[[str], None]) -> tuple[str, str]:
    """A service that serves the model by Burnish, on this machine only, as a user of its own without rights."""
    model = exported.folder_for("systemd")
    place = f"/srv/burnish/{model.name}"
    command = " ".join(_quoted(word) for word in _burnish_serve(exported, place, host="127.0.0.1"))
    text = f"""\
# Serves {exported.name} by Burnish. The model is expected in {place}, and Burnish in /opt/burnish:
#
#     python3 -m venv /opt/burnish && /opt/burnish/bin/pip install 'burnish[serve]=={__version__}'
#     install -d /srv/burnish && cp -r {model.name} /srv/burnish/
#     cp burnish.service /etc/systemd/system/ && systemctl enable --now burnish
[Unit]
Description=Burnish serves {exported.name}
After=network.target

[Service]
ExecStart=/opt/burnish/bin/{command}
Restart=on-failure
DynamicUser=yes
StateDirectory=burnish
Environment=HOME=/var/lib/burnish
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX

[Install]
WantedBy=multi-user.target
"""
    return "burnish.service", text


def _burnish_serve(exported: Exported, model: str, *, host: str) -> list[str]:
    command = ["burnish", "serve", model, "--name", exported.name, "--host", host, "--port", str(PORT)]
    command += [] if exported.temperature is None else ["--temperature", f"{exported.temperature:g}"]
    return [*command, "--system", exported.system] if exported.system else command


def _quoted(word: str) -> str:
    """A word of a unit's command: https://www.freedesktop.org/software/systemd/man/systemd.service.html."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%").replace("$", "$$")
    return escaped if escaped and all(c.isalnum() or c in "-_./:@+,=" for c in escaped) else f'"{escaped}"'
