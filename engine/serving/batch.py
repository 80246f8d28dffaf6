"""Lists for many users in one request, as a mail to all shoppers needs them.

What it asks is the same for all of them; each list has a recommendation_id of its own, which says that it is
of a batch: nobody counts it as given out to a shopper, so its clicks must not count either. A batch neither
uses nor fills the cache of lists: it would drive out what the shoppers who are there ask for.
"""

from time import perf_counter
from typing import Any

from engine.serving.answers import Answer, Request, json_answer
from engine.serving.batch_limits import BatchRoom, check_size
from engine.serving.counters import BATCH, Served
from engine.serving.domain import Domain
from engine.serving.requests import Query, Refusal, Wanted, check_id, read_json, read_object, read_wanted


class Batches:
    """Answers POST …/recommendations/batch?k=…"""

    def __init__(self, domain: Domain, room: BatchRoom) -> None:
        self.domain, self.room = domain, room

    async def answer(self, request: Request) -> Answer:
        """Make all lists, leaving room for other requests between blocks of users."""
        users, wanted = read_batch(request.query, request.body)
        with self.room.taken():
            return await self._answer(request, users, wanted)

    async def _answer(self, request: Request, users: list[str], wanted: Wanted) -> Answer:
        domain, variant = self.domain, self.domain.variant(request)
        results: list[dict[str, Any]] = []
        model_s = 0.0
        async for block, lists in domain.ranker.in_blocks(users, wanted):
            model_s += max(each.model_s for each in lists)
            took_s = perf_counter() - request.started
            for user, ranked in zip(block, lists, strict=True):
                served_by, reason = made_by = domain.made_by(request, ranked)
                results.append(
                    {
                        "user_id": user,
                        "recommendation_id": domain.recommendation_id(BATCH),
                        "served_by": served_by,
                        "fallback_reason": reason,
                        "items": domain.items(ranked),
                    }
                )
                if not request.is_probe:
                    domain.counters.count(Served.of(ranked, variant, made_by, took_s, BATCH))
        took_ms = round((perf_counter() - request.started) * 1000, 2)
        return json_answer(
            {**domain.facts, "variant": variant, "took_ms": took_ms, "results": results},
            headers=domain.headers(0.0, model_s, max(0.0, took_ms / 1000 - model_s)),
        )


def read_batch(query: Query, body: bytes) -> tuple[list[str], Wanted]:
    """Check a batch request; raise Refusal for what cannot be answered."""
    found = read_object(read_json(body), "", {"users", "exclude", "filters"})
    users = found.pop("users", None)
    if not isinstance(users, list) or not users:
        raise Refusal(400, "users_missing", 'Say for whom: {"users": ["…"]}.', pointer="/users")
    wanted = read_wanted(query, found)
    if wanted.explain:
        raise Refusal(422, "not_in_a_batch", "A batch is not explained; ask for one user.", pointer="explain")
    check_size(len(users), wanted.k, "/users")
    for at, each in enumerate(users):
        if not isinstance(each, str):
            raise Refusal(400, "wrong_type", "A user's id is a text.", pointer=f"/users/{at}")
    names = [check_id(each, f"/users/{at}") for at, each in enumerate(users)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refusal(400, "given_twice", f"The user {twice[:80]!r} stands twice.", pointer="/users")
    return names, wanted
