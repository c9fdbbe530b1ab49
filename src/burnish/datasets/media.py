"""Rows and messages with pictures, films or sounds, which are refused: without them their text means nothing."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from burnish.corpus.records import shown
from burnish.datasets.bad_rows import BadRowError

MEDIA_KEYS = ("images", "image", "videos", "video", "audios", "audio")
MEDIA_PARTS = ("image", "image_url", "input_image", "video", "video_url", "audio", "audio_url", "input_audio", "file")
_WORDS = (
    *("image", "img", "picture", "photo", "pixel", "screenshot", "figure", "video", "frame", "clip"),
    *("audio", "speech", "sound", "wav", "mp3", "mp4", "media", "file", "path", "url"),
)
_PLACEHOLDER = re.compile(r"<\|?(?:image|img|video|audio|speech)(?:_pad|_\d+)?\|?>", re.IGNORECASE)
# A file by its name or address, or its bytes in base 64.
_FILE = re.compile(
    r"(?:https?|file|s3|gs)://\S+|data:\S+|[A-Za-z0-9+/_-]{200,}=*"
    r"|[^\n]*\.(?:png|jpe?g|gif|webp|bmp|tiff?|svg|heic|pdf|mp4|mov|avi|mkv|webm|wav|mp3|flac|ogg|opus|m4a|npy)",
    re.IGNORECASE,
)
# What datasets note about a row, which is no medium whatever the text has a place for.
_NOTES = frozenset(
    (
        *(
            "id",
            "idx",
            "index",
            "uid",
            "uuid",
            "hash",
            "source",
            "sources",
            "dataset",
            "data_source",
            "subset",
            "split",
        ),
        *("category", "categories", "topic", "topics", "domain", "subject", "tag", "tags", "type", "task", "task_type"),
        *("lang", "language", "license", "author", "model", "generator", "difficulty", "level", "quality", "score"),
        *("date", "time", "timestamp", "created", "created_at", "title", "meta", "metadata", "info", "note", "notes"),
    )
)


def refuse_media(holder: Mapping[str, Any], used: Collection[str], prefix: str = "", *, strict: bool = True) -> None:
    """Raise BadRowError where a row or message has pictures, films or sounds.

    A key such as `image_path` may be no more than a note, unless the text has a place for what it names; then any key
    that nothing reads may be what stands there, by whatever name.

    used: the keys that are read. strict: whether all others are without use; those of a task may be its verifier's.
    """
    said = {key: value for key, value in holder.items() if is_said(value) and not _is_empty_text(value)}
    has_place = any(_PLACEHOLDER.search(text) for text in _texts(list(said.values())))
    in_text = any(_PLACEHOLDER.search(text) for key in used if key in said for text in _texts(said[key]))
    for key, value in said.items():
        name, spare = key.casefold(), key not in used
        if (
            name in MEDIA_KEYS
            or _is_decoded(value)
            or (has_place and spare and (any(word in name for word in _WORDS) or _is_file(value)))
            or (in_text and spare and strict and name not in _NOTES and isinstance(value, str | list | Mapping))
        ):
            raise BadRowError(
                f"{prefix}{key} is {shown(value)}; only text is supported: leave out the rows that have {key}"
            )


def is_said(value: object) -> bool:
    """Whether a value says anything: null, empty text, and empty lists and objects do not."""
    return value is not None and value != "" and value != [] and value != {}


def _is_empty_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() in ("", "[]", "{}", "null")


def _is_decoded(value: object) -> bool:
    """Whether a value is a medium as `datasets` writes it: its bytes and path, or the samples of a sound."""
    if isinstance(value, list):
        return any(map(_is_decoded, value))
    if not isinstance(value, Mapping) or not any(map(is_said, value.values())):
        return False
    keys = set(value)
    return {"bytes"} <= keys <= {"bytes", "path"} or {"array", "sampling_rate"} <= keys


def _is_file(value: object) -> bool:
    return any(_FILE.fullmatch(text.strip()) for text in _texts(value))


def _texts(value: object) -> Iterator[str]:
    """All texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)
