"""Messages and mailboxes."""

import email
import email.policy
import mailbox
from collections.abc import Iterator
from email.message import EmailMessage, Message, MIMEPart
from pathlib import Path

from burnish.corpus.parsers.limits import MAX_BYTES, Part, limited
from burnish.corpus.parsers.pages import main_text


def mail(path: Path) -> Iterator[Part]:
    """A message: its subject and its text."""
    message = email.message_from_bytes(limited(path, MAX_BYTES), policy=email.policy.default)
    yield _message(message), None


def mbox(path: Path) -> Iterator[Part]:
    """The messages of a mailbox, each a text of its own."""
    box = mailbox.mbox(path, create=False)
    for number, found in enumerate(box, start=1):
        message = email.message_from_bytes(found.as_bytes(), policy=email.policy.default)
        yield _message(message), str(found.get("Message-ID", number)).strip("<> \n")


def _message(message: Message) -> str:
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain", "html"))
    text = "" if body is None else _content(body)
    if body is not None and body.get_content_subtype() == "html":
        text = main_text(f"<html><body>{text}</body></html>".encode(), whole=True)
    subject = str(message.get("Subject", "")).strip()
    return f"# {subject}\n\n{text.strip()}" if subject else text.strip()


def _content(body: MIMEPart) -> str:
    """The text of a part; of one in an encoding that there is not, what is UTF-8 in it."""
    try:
        return str(body.get_content())
    except (LookupError, ValueError):
        data = body.get_payload(decode=True)
        return data.decode("utf-8", "replace") if isinstance(data, bytes) else ""
