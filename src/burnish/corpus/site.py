"""Settings of a site whose pages are documents: what `burnish.corpus.crawler` reads, and how much of it."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Site(BaseModel):
    """A site whose pages are documents, as settings name it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    start: str = Field(description="address of the first page, such as https://docs.example.org/manual/")
    depth: int = Field(2, ge=0, description="how many links a page may be away from the first")
    max_pages: int = Field(200, ge=1, description="pages that are kept at most")
    max_page_bytes: int = Field(4 << 20, ge=1, description="larger pages are not kept")
    seconds_between: float = Field(1.0, ge=0.0, description="between two requests; longer where robots.txt asks for it")

    @field_validator("start")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("expected the address of a page: http:// or https://, a host, no user or password")
        return value

    @property
    def host(self) -> str:
        """Whom requests go to."""
        return urlsplit(self.start).netloc
