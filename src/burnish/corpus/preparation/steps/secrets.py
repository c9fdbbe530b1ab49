"""Keys, tokens and passwords in a text, by the expressions of detect-secrets.

Only its expressions are used: it scans no files, and its checks of a token with whoever gave it out are never called.

Notable choices:
- private keys go as a whole block; detect-secrets marks their first line;
- strings of high entropy are not searched for: in documents they are hashes and identifiers far more often than keys;
- a password without quotes counts if it is one word of at least six characters with a digit or sign: "password: must
  be long" is a sentence.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from burnish.corpus.preparation.steps.identifiers import Spans, need

_PLUGINS = (
    "artifactory.ArtifactoryDetector",
    "aws.AWSKeyDetector",
    "azure_storage_key.AzureStorageKeyDetector",
    "basic_auth.BasicAuthDetector",
    "cloudant.CloudantDetector",
    "discord.DiscordBotTokenDetector",
    "github_token.GitHubTokenDetector",
    "gitlab_token.GitLabTokenDetector",
    "ibm_cloud_iam.IbmCloudIamDetector",
    "ibm_cos_hmac.IbmCosHmacDetector",
    "jwt.JwtTokenDetector",
    "mailchimp.MailchimpDetector",
    "npm.NpmDetector",
    "openai.OpenAIDetector",
    "pypi_token.PypiTokenDetector",
    "sendgrid.SendGridDetector",
    "slack.SlackDetector",
    "softlayer.SoftlayerDetector",
    "square_oauth.SquareOAuthDetector",
    "stripe.StripeDetector",
    "telegram_token.TelegramBotTokenDetector",
    "twilio.TwilioKeyDetector",
)
_WHOLE = {"GitHubTokenDetector", "GitLabTokenDetector"}
"""Whose group is the token's first letters; a group of the others is the secret within its assignment."""
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[\s\S]{0,20000}?-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s]*)"
)
_PUTTY_KEY = re.compile(r"PuTTY-User-Key-File-\d:[\s\S]{0,20000}?(?:Private-MAC: *[0-9a-f]+|\Z)")
_KEYWORD = re.compile(r"key|pass|pwd|secret|contrase", re.IGNORECASE)
_MAY_BE_TOKEN = re.compile(r"//|(?<![\w+/=.-])(?=[A-Za-z_+/=.-]*\d)[\w+/=.:-]{11}|[A-Za-z]{24}")
_LONGEST_LINE = 4096
_SEGMENT = re.compile(rf"[^\n]{{1,{_LONGEST_LINE}}}(?=\s|\Z)|[^\n]{{1,{_LONGEST_LINE}}}")


def secrets(text: str) -> Spans:
    """Private keys, tokens of known services, passwords in addresses, and what is assigned to a password's name."""
    for pattern in (_PRIVATE_KEY, _PUTTY_KEY):
        for match in pattern.finditer(text):
            yield match.start(), match.end(), match[0]
    for offset, segment in _segments(text):
        for start, end in (*_tokens(segment), *_assigned(segment)):
            while start < end and segment[start] in " \t\n\r\"'=:,":
                start += 1
            while end > start and segment[end - 1] in " \t\n\r\"',;":
                end -= 1
            if start < end:
                yield offset + start, offset + end, segment[start:end]


def _segments(text: str) -> Iterator[tuple[int, str]]:
    """The text in lines, and long ones in pieces: some expressions take the square of a line's length."""
    for match in _SEGMENT.finditer(text):
        if len(match[0]) >= 8:
            yield match.start(), match[0]


@cache
def _detectors() -> tuple[Any, ...]:
    need("detect_secrets")
    made = []
    for name in _PLUGINS:
        module, _, kind = name.partition(".")
        made.append(getattr(import_module(f"detect_secrets.plugins.{module}"), kind)())
    return tuple(made)


def _tokens(line: str) -> Iterator[tuple[int, int]]:
    if not _MAY_BE_TOKEN.search(line):
        return
    for detector in _detectors():
        name = type(detector).__name__
        for pattern in detector.denylist:
            for match in pattern.finditer(line):
                if name == "JwtTokenDetector":
                    # Its expression ends before the signature.
                    signature = re.compile(r"[\w+/=-]*(?:\.[\w+/=-]+)*").match(line, match.end())
                    if detector.is_formally_valid(match[0]) and signature:
                        yield match.start(), signature.end()
                elif name == "ArtifactoryDetector" and not re.search(r"\d", match[0]):
                    continue
                elif pattern.groups and name not in _WHOLE:
                    yield from (match.span(group) for group in range(1, pattern.groups + 1) if match[group])
                else:
                    yield match.span()


def _assigned(line: str) -> Iterator[tuple[int, int]]:
    """What is assigned to a name such as `db_password`, in quotes or as one word."""
    if not _KEYWORD.search(line):
        return
    keyword = need("detect_secrets.plugins.keyword")
    for patterns, quoted in (
        (keyword.QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP, True),
        (keyword.CONFIG_DENYLIST_REGEX_TO_GROUP, False),
    ):
        for pattern, group in patterns.items():
            for match in pattern.finditer(line):
                start, end = match.span(group)
                if not quoted:
                    end = start + len(re.split(r"[\s,;]", line[start:end], maxsplit=1)[0])
                if _is_secret(line[start:end], quoted):
                    yield start, end


def _is_secret(value: str, quoted: bool) -> bool:
    """Whether it may be a password, and is no reference to one, template, or plain word."""
    heuristic = need("detect_secrets.filters.heuristic")
    if heuristic.is_templated_secret(value) or heuristic.is_prefixed_with_dollar_sign(value):
        return False
    if heuristic.is_not_alphanumeric_string(value) and not re.search(r"\d{4}", value):
        return False
    if quoted:
        return len(value) >= 4 and " " not in value.strip()
    if re.search(r"[(\[<{]", value) or len(value) < 6:
        return False
    return bool(re.search(r"[\d!#$%&*@^~]", value))
