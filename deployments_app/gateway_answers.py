"""What the gateway says itself: every refusal as problem+json, with what to do about it.

`error` repeats the sentence for clients of the Open Inference Protocol, whose errors have that one member.
"""

from dataclasses import dataclass

from deployments_app.gateway_clusters import Resource


@dataclass(frozen=True)
class Answer:
    """One refusal: its status, a code for programs, a title and a sentence for people."""

    status: int
    code: str
    title: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


ANSWERS = (
    Answer(400, "malformed_request", "Malformed request", "The gateway could not read this request."),
    Answer(
        401,
        "key_missing_or_invalid",
        "No valid key",
        "Send a serving key of this deployment as 'Authorization: Bearer …'; this one is missing, expired or"
        " revoked.",
    ),
    Answer(403, "key_of_another_deployment", "Wrong key", "This key belongs to another deployment."),
    Answer(
        404,
        "unknown_deployment",
        "Not found",
        "No deployment is served at this address; it should read /{shop}/{deployment}/….",
    ),
    Answer(408, "request_too_slow", "Request timed out", "The request did not arrive in time."),
    Answer(413, "body_too_large", "Body too large", "A request's body may have at most 1 MiB."),
    Answer(431, "headers_too_large", "Headers too large", "The request's headers are too large or too many."),
    Answer(502, "bad_answer", "Bad answer", "The model server's answer could not be read."),
    Answer(
        503,
        "no_server",
        "No model server",
        "No model server of this deployment can answer now.",
        headers=(("retry-after", "1"),),
    ),
    Answer(504, "timed_out", "Timed out", "No model server answered within two seconds."),
)
OTHER = Answer(0, "gateway_error", "The gateway refused", "The gateway could not pass this request on.")


def build_answers() -> Resource:
    """Build the connection manager's `local_reply_config`; an answer below 400 stays as it is."""
    return {
        "mappers": [*(_mapper(answer, "EQ", answer.status) for answer in ANSWERS), _mapper(OTHER, "GE", 400)]
    }


def _mapper(answer: Answer, operator: str, status: int) -> Resource:
    value = {"default_value": status, "runtime_key": "aisle.not_set"}
    return {
        "filter": {"status_code_filter": {"comparison": {"op": operator, "value": value}}},
        "body_format_override": _body(answer),
        "headers_to_add": [{"header": {"key": name, "value": text}} for name, text in answer.headers],
    }


def _body(answer: Answer) -> Resource:
    return {
        "json_format": {
            "type": "about:blank",
            "title": answer.title,
            "status": "%RESPONSE_CODE%",
            "detail": answer.detail,
            "code": answer.code,
            "error": answer.detail,
            "request_id": "%REQ(X-REQUEST-ID)%",
        },
        "content_type": "application/problem+json",
    }
