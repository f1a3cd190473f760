"""Errors as problem documents (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from stable_audio_open.arguments.checks import shown
from stable_audio_open.service.problems import InvalidError, Problem, ServiceError

KIND = "application/problem+json"


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = KIND


def answer(problem: Problem) -> ProblemResponse:
    """Return a problem as HTTP has it."""
    headers = {"cache-control": "no-store"}
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    return ProblemResponse(dict(problem.document()), problem.status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Have every error of an application answered by a problem document."""

    @app.exception_handler(ServiceError)
    def of_service(request: Request, error: ServiceError) -> ProblemResponse:
        del request
        return answer(error.problem)

    @app.exception_handler(RequestValidationError)
    def of_validation(request: Request, error: RequestValidationError) -> ProblemResponse:
        del request
        first = error.errors()[0]
        field = _field(first["loc"])
        if first["type"] == "json_invalid":
            return answer(Problem(title="Bad request", status=400, detail="the body is no JSON"))
        return answer(InvalidError(_detail(first, field), field=field).problem)

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> ProblemResponse:
        del request
        title = HTTPStatus(error.status_code).phrase
        return answer(Problem(title=title, status=error.status_code, detail=str(error.detail)))

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> ProblemResponse:
        del request
        detail = f"{type(error).__name__}; whoever runs the service finds the reason in its log"
        return answer(Problem(title="Failed", status=500, detail=detail))


def _field(place: Sequence[str | int]) -> str | None:
    """Return the name of a field by its place, without the forms that it may have."""
    names = [str(one) for one in place if one not in ("body", "query", "path")]
    return names[0] if names else None


def _detail(error: dict[str, Any], field: str | None) -> str:
    """Say what was wrong in the words of others: the name, what we got, what is wanted."""
    match error["type"]:
        case "missing":
            return f"{field or 'the body'} is missing"
        case "extra_forbidden":
            return f"there is no field {str(error['loc'][-1])!r:.60}; see /openapi.json"
        case _:
            message = error["msg"][0].lower() + error["msg"][1:]
            return f"{field or 'the body'}: {message}, got {shown(error['input'])}"
