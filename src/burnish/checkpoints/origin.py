"""What a checkpoint says of where it comes from: its licence, its repository on the Hugging Face Hub, its languages.

Only what the files say is told. A model without such a word has an unknown licence, not a free one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from burnish.checkpoints.gguf_file import open_gguf
from burnish.errors import BurnishError, CheckpointError
from burnish.files import open_regular

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_HUB = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([^/\s]+/[^/\s?#]+)")
_CACHE = re.compile(r"models--(.+?)--(.+)")
_QUANTIZATION = re.compile(r"[.-](I?Q\d\w*|F16|F32|BF16)$", re.IGNORECASE)
MAX_CARD_BYTES = 1 << 20


@dataclass(frozen=True)
class Origin:
    """licence: the Hub's identifier, such as `apache-2.0`. repository: `ORG/NAME`. None: the files do not say.

    presumed: whether the repository is put together from the author that the file names and from the file's own name.
    """

    licence: str | None = None
    licence_name: str | None = None
    licence_link: str | None = None
    repository: str | None = None
    languages: tuple[str, ...] = ()
    presumed: bool = False


def origin(path: Path) -> Origin:
    """Read what a Hugging Face folder's card and configuration, or a GGUF file's metadata, say. Never raises."""
    if path.is_dir():
        return _of_folder(path)
    try:
        metadata = open_gguf(path).metadata
    except CheckpointError:
        return Origin()
    urls = [metadata.get(f"general.{key}") for key in ("repo_url", "source.repo_url", "base_model.0.repo_url")]
    named = next((found[1] for url in urls if (found := _HUB.match(str(url)))), None)
    presumed: str | None = f"{metadata.get('general.organization')}/{_QUANTIZATION.sub('', path.stem)}"
    if "general.organization" not in metadata or not REPOSITORY.fullmatch(str(presumed)):
        presumed = None
    return Origin(
        licence=_text(metadata.get("general.license")),
        licence_name=_text(metadata.get("general.license.name")),
        licence_link=_text(metadata.get("general.license.link")),
        repository=named or presumed,
        languages=_languages(metadata.get("general.languages")),
        presumed=named is None and presumed is not None,
    )


def _of_folder(path: Path) -> Origin:
    card = _front_matter(path / "README.md")
    return Origin(
        licence=_text(card.get("license")),
        licence_name=_text(card.get("license_name")),
        licence_link=_text(card.get("license_link")),
        repository=_repository(path, card),
        languages=_languages(card.get("language")),
    )


def _repository(path: Path, card: Mapping[str, Any]) -> str | None:
    """The repository that a folder was downloaded from, or that of the model that a run made the folder from."""
    for part in reversed(path.absolute().parts):
        if found := _CACHE.fullmatch(part):
            return f"{found[1]}/{found[2]}"
    try:
        with open_regular(path / "config.json") as file:
            named = json.loads(file.read()).get("_name_or_path")
    except (BurnishError, OSError, ValueError, AttributeError, RecursionError):
        named = None
    base = card.get("base_model") if "burnish" in (card.get("tags") or ()) else None
    for name in (base, named):
        if isinstance(name, str) and REPOSITORY.fullmatch(name):
            return name
    return None


def _front_matter(card: Path) -> dict[str, Any]:
    """The YAML between the first two `---` of a model card; nothing where there is none that can be read."""
    try:
        with open_regular(card) as file:
            text = file.read(MAX_CARD_BYTES).decode(errors="replace")
        if not text.startswith("---"):
            return {}
        found = yaml.safe_load(text.split("\n---", 1)[0].removeprefix("---"))
    except (BurnishError, OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    """A word from outside, on one line and not too long."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return " ".join(value.split())[:200] or None if isinstance(value, str) else None


def _languages(value: object) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(one for one in found if isinstance(one, str) and re.fullmatch(r"[a-z]{2,3}", one))[:50]
