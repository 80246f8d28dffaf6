"""The endpoints that a shop's site calls: recommendations, similar items, what is popular, a session."""

import asyncio
from time import perf_counter
from typing import Any

from engine.serving.answers import Answer, Headers, Request, json_answer
from engine.serving.attribution import PART, issue
from engine.serving.config import ServingConfig
from engine.serving.counters import Counters, Served
from engine.serving.model import ServedModel
from engine.serving.ranking import RankedList, Ranker
from engine.serving.requests import Refusal, Wanted, read_id, read_one, read_wanted

DIRECT = "direct"  # no gateway chose an arm
EXPLAINED_MAX = 20
REASONS = 3


class Domain:
    """Answers for one release."""

    def __init__(self, config: ServingConfig, key: bytes, model: ServedModel, counters: Counters) -> None:
        self.config, self.model, self.counters = config, model, counters
        self.ranker = Ranker(model)
        self._key = key
        self._facts = {
            "release_id": config.release_id,
            "release": config.release_number,
            "model": config.model,
            "model_version": str(config.model_version),
        }

    async def recommendations(self, request: Request) -> Answer:
        """Answer GET or POST …/recommendations?user=…"""
        user = read_one(request.query, "user")
        wanted = read_wanted(request.query, request.body)
        if wanted.explain and wanted.k > EXPLAINED_MAX:
            raise Refusal(
                422, "k_out_of_range", f"With explain, k goes from 1 to {EXPLAINED_MAX}.", pointer="k"
            )
        return await self._answer(request, await self.ranker.recommend(user, wanted), explain=wanted.explain)

    async def session(self, request: Request) -> Answer:
        """Answer POST …/session?session=…: a list for somebody known only by what is in the body."""
        read_one(request.query, "session")
        wanted = read_wanted(request.query, request.body, more_fields=frozenset({"items"}))
        if wanted.explain and wanted.k > EXPLAINED_MAX:
            raise Refusal(
                422, "k_out_of_range", f"With explain, k goes from 1 to {EXPLAINED_MAX}.", pointer="k"
            )
        if not wanted.context:
            raise Refusal(
                400, "items_missing", 'Name what was looked at: {"items": ["…"]}.', pointer="/items"
            )
        known = self.model.items.find_all(wanted.context)
        ranked = (
            self.ranker.fold_in(known, wanted) if len(known) else self.ranker.popular(wanted, "unknown_items")
        )
        return await self._answer(request, ranked, explain=wanted.explain)

    async def similar(self, request: Request, encoded_item: str) -> Answer:
        """Answer GET …/items/{id}/similar."""
        item_id = read_id(encoded_item, "item")
        wanted = read_wanted(request.query, b"")
        item = self.model.items.find(item_id)
        ranked = (
            self.ranker.similar(item, wanted) if item >= 0 else self.ranker.popular(wanted, "unknown_item")
        )
        return await self._answer(request, ranked)

    async def trending(self, request: Request) -> Answer:
        """Answer GET …/trending: what most shoppers chose."""
        return await self._answer(request, self.ranker.popular(read_wanted(request.query, b""), None))

    async def _answer(self, request: Request, ranked: RankedList, *, explain: bool = False) -> Answer:
        variant = request.header(b"x-aisle-variant")
        if not variant or not PART.fullmatch(variant):
            variant = DIRECT
        served_by, reason = ranked.served_by, ranked.fallback_reason
        arm = request.header(b"x-aisle-arm")
        if arm and arm != self.config.release_id:
            served_by, reason = "stable", "arm_failed"
        shown = self._items(ranked)
        if explain and ranked.served_by != "popularity":
            await self._explain(shown, ranked)
        took_s = perf_counter() - request.started
        answer = json_answer(
            {
                "recommendation_id": issue(
                    self._key,
                    release=self.config.release_id,
                    deployment=self.config.deployment_id,
                    variant=variant,
                ),
                **self._facts,
                "variant": variant,
                "served_by": served_by,
                "fallback_reason": reason,
                "took_ms": round(took_s * 1000, 2),
                "items": shown,
            },
            headers=self._headers(ranked),
        )
        if not request.is_probe:
            self.counters.count(Served(variant, served_by, reason, ranked, took_s))
        return answer

    def _items(self, ranked: RankedList) -> list[dict[str, Any]]:
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
        row = self.model.row_of(ranked.history)
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

    def _headers(self, ranked: RankedList) -> Headers:
        return [
            (b"x-release-id", self.config.release_id.encode()),
            (b"server-timing", f"model;dur={ranked.model_s * 1000:.2f}".encode()),
        ]


def check_explained(wanted: Wanted) -> Wanted:
    """Refuse to explain a long list: each item's reasons cost as much as the list."""
    if wanted.explain and wanted.k > EXPLAINED_MAX:
        raise Refusal(422, "k_out_of_range", f"With explain, k goes from 1 to {EXPLAINED_MAX}.", pointer="k")
    return wanted
