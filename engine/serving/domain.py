"""The endpoints that a shop's site calls: recommendations, similar items, what is popular, a session."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import orjson

from engine.serving.answers import Answer, Headers, Request, json_answer
from engine.serving.attribution import PART, issue
from engine.serving.config import ServingConfig
from engine.serving.counters import Counters, Served
from engine.serving.model import ServedModel
from engine.serving.ranking import POPULARITY, RankedList, Ranker
from engine.serving.requests import Refusal, Wanted, read_id, read_one, read_wanted
from engine.serving.result_cache import KeptList, Key, ResultCache, key_of

DIRECT = "direct"  # no gateway chose an arm
ARM_FAILED = "arm_failed"  # the arm that the gateway chose did not answer, so it asked this release
EXPLAINED_MAX = 20
NOBODY = -1
REASONS = 3


class Domain:
    """Answers for one release."""

    def __init__(self, config: ServingConfig, key: bytes, model: ServedModel, counters: Counters) -> None:
        self.config, self.model, self.counters = config, model, counters
        self.ranker = Ranker(model)
        self.cache = ResultCache(config.cache_bytes)
        self._key = key
        self.facts = {
            "release_id": config.release_id,
            "release": config.release_number,
            "model": config.model,
            "model_version": str(config.model_version),
        }

    async def recommendations(self, request: Request) -> Answer:
        """Answer GET or POST …/recommendations?user=…"""
        user_id = read_one(request.query, "user")
        wanted = check_explained(read_wanted(request.query, request.body))
        user = self.model.users.find(user_id)
        key = key_of("user", user, wanted)
        return await self._answer(request, key, lambda: self.ranker.recommend(user, wanted), wanted.explain)

    async def session(self, request: Request) -> Answer:
        """Answer POST …/session?session=…: a list for somebody known only by what is in the body."""
        read_one(request.query, "session")
        wanted = read_wanted(request.query, request.body, more_fields=frozenset({"items"}))
        check_explained(wanted)
        if not wanted.context:
            raise Refusal(
                400, "items_missing", 'Name what was looked at: {"items": ["…"]}.', pointer="/items"
            )

        async def make() -> RankedList:
            known = self.model.items.find_all(wanted.context)
            if len(known):
                return self.ranker.fold_in(known, wanted)
            return self.ranker.popular(wanted, "unknown_items")

        return await self._answer(request, key_of("session", NOBODY, wanted), make, wanted.explain)

    async def similar(self, request: Request, encoded_item: str) -> Answer:
        """Answer GET …/items/{id}/similar."""
        item_id = read_id(encoded_item, "item")
        wanted = read_wanted(request.query, b"")
        item = self.model.items.find(item_id)

        async def make() -> RankedList:
            if item >= 0:
                return self.ranker.similar(item, wanted)
            return self.ranker.popular(wanted, "unknown_item")

        return await self._answer(request, key_of("item", item, wanted), make)

    async def trending(self, request: Request) -> Answer:
        """Answer GET …/trending: what most shoppers chose."""
        wanted = read_wanted(request.query, b"")

        async def make() -> RankedList:
            return self.ranker.popular(wanted, None)

        return await self._answer(request, key_of("trending", NOBODY, wanted), make)

    async def _answer(
        self,
        request: Request,
        key: Key | None,
        make: Callable[[], Awaitable[RankedList]],
        explain: bool = False,
    ) -> Answer:
        asked_at = perf_counter()
        kept = self.cache.find(key)
        cache_s, model_s, rules_s = perf_counter() - asked_at, None, 0.0
        found = "hit" if kept is not None else "miss" if self.config.cache_bytes else "off"
        if kept is None:
            ranked = await make()
            ranked_at = perf_counter()
            shown = self.items(ranked)
            if explain and ranked.served_by != POPULARITY:
                await self._explain(shown, ranked)
            kept = KeptList(
                orjson.dumps(shown),
                *(len(shown), ranked.served_by, ranked.fallback_reason, ranked.dropped, ranked.is_short),
            )
            self.cache.keep(key, kept)
            model_s, rules_s = ranked.model_s, ranked.rules_s + perf_counter() - ranked_at
        variant = self.variant(request)
        served_by, reason = self.made_by(request, kept)
        took_s = perf_counter() - request.started
        answer = json_answer(
            {
                "recommendation_id": self.recommendation_id(variant),
                **self.facts,
                "variant": variant,
                "served_by": served_by,
                "fallback_reason": reason,
                "cache": found,
                "took_ms": round(took_s * 1000, 2),
                "items": orjson.Fragment(kept.items),
            },
            headers=self.headers(cache_s, model_s or 0.0, rules_s),
        )
        if not request.is_probe:
            if found != "off":
                self.counters.look_up(is_hit=found == "hit")
            facts = (kept.n_items, kept.is_short, kept.dropped)
            self.counters.count(Served(variant, served_by, reason, *facts, took_s, model_s))
        return answer

    def made_by(self, request: Request, made: RankedList | KeptList) -> tuple[str, str | None]:
        """Say who serves a list, and why it is not the shopper's own; here also for an arm that failed."""
        arm = request.header(b"x-aisle-arm")
        if arm and arm != self.config.release_id:
            return "stable", ARM_FAILED
        return made.served_by, made.fallback_reason

    def variant(self, request: Request) -> str:
        """Read which arm the gateway chose."""
        variant = request.header(b"x-aisle-variant")
        return variant if variant and PART.fullmatch(variant) else DIRECT

    def recommendation_id(self, variant: str) -> str:
        """Make the id of one list that goes out."""
        config = self.config
        return issue(self._key, release=config.release_id, deployment=config.deployment_id, variant=variant)

    def items(self, ranked: RankedList) -> list[dict[str, Any]]:
        """Write a list's items with what is known of them."""
        shown = []
        for rank, (item, score) in enumerate(zip(ranked.items, ranked.scores, strict=True), 1):
            facts = self.model.facts(item)
            shown.append(
                {
                    "item_id": facts.item_id,
                    "rank": rank,
                    "score": score,
                    "title": facts.title,
                    "category": facts.category,
                    "price": facts.price,
                }
            )
        return shown

    async def _explain(self, shown: list[dict[str, Any]], ranked: RankedList) -> None:
        """Add to each item which items of the history speak for it most."""
        row = self.model.row_of(ranked.history, ranked.user)
        for entry, item in zip(shown, ranked.items, strict=True):
            await asyncio.sleep(0)  # a long history takes milliseconds an item: others come between
            found = self.model.estimator.explain(row, item, REASONS)
            parts = zip(found.items.tolist(), found.contributions.tolist(), strict=True)
            known = [(self.model.facts(owned), part) for owned, part in parts]
            entry["contributions"] = [
                {"item_id": facts.item_id, "title": facts.title, "contribution": part}
                for facts, part in known
            ]
            if known:
                first = known[0][0]
                entry["reason"] = f"Because of {first.title or first.item_id}"
            else:
                entry["reason"] = found.note or None

    def headers(self, cache_s: float, model_s: float, rules_s: float) -> Headers:
        """Say who answered and what took how long, in seconds."""
        times = (cache_s * 1000, model_s * 1000, rules_s * 1000)
        return [
            (b"x-release-id", self.config.release_id.encode()),
            (b"server-timing", b"cache;dur=%.3f, model;dur=%.3f, rules;dur=%.3f" % times),
        ]


def check_explained(wanted: Wanted) -> Wanted:
    """Refuse to explain a long list: each item's reasons cost as much as the list."""
    if wanted.explain and wanted.k > EXPLAINED_MAX:
        raise Refusal(422, "k_out_of_range", f"With explain, k goes from 1 to {EXPLAINED_MAX}.", pointer="k")
    return wanted
