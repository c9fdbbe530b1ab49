"""Errors as OpenAI's clients read them."""

from typing import Any

from pydantic import ValidationError


class ApiError(Exception):
    """A request is refused.

    param: the field at fault. retry_after: seconds after which trying again is worth it. closes: whether the connection
    ends with it, since what follows cannot be told from a further request.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(message)
        self.closes = closes
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after

    @property
    def body(self) -> dict[str, Any]:
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(
            self.status, "server_error" if self.status >= 500 else "invalid_request_error"
        )
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def of_validation(error: ValidationError) -> ApiError:
    """What is wrong with a body, by its field: of several forms that a field may have, what came closest to one."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    first = max((one for one in found if one["loc"][:1] == found[0]["loc"][:1]), key=lambda one: len(one["loc"]))
    param = ".".join(str(part) for part in first["loc"] if not _is_form(part)) or None
    said = first["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{param}: {said}" if param else said, code="invalid_value", param=param)


def _is_form(part: int | str) -> bool:
    """Whether a part of a place is pydantic's name of a type rather than a field."""
    return isinstance(part, str) and ("[" in part or part in ("str", "int", "constrained-str", "constrained-int"))
