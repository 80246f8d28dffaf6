"""Starting and stopping training runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import transaction

from engine.estimators import ALGORITHMS
from engine.parameters import ConfigError, make_config
from engine.readiness import Readiness
from engine.splitting import SplitConfig
from models_app.models import DatasetVersion, ModelVersion, RegisteredModel, RunRole, TrainingRun
from models_app.readiness import judge
from models_app.services.refusals import invalid, refused_config
from models_app.services.weighing import check_weighing, reading_weights
from portal.core.actors import Actor
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import Conflict, InvalidInput, NotFound, NotPermitted, Unprocessable
from portal.core.events import record
from portal.core.ids import new_id
from portal.core.jobs import wake_fields
from portal.core.models import Role, Shop
from portal.core.permissions import authorize
from portal.core.transitions import transition

BASELINE = "popularity"
MAX_ALGORITHMS = len(ALGORITHMS)
MAX_SEED = 2**31 - 1


def start_training(
    actor: Actor,
    shop: Shop,
    dataset_version: DatasetVersion,
    model_name: str,
    algorithms: Sequence[Mapping[str, Any]],
    split: Mapping[str, Any] | None = None,
    seed: int = 0,
    event_weights: Mapping[str, float] | None = None,
    half_life_days: float | None = None,
    champion: ModelVersion | None = None,
) -> list[TrainingRun]:
    """Queue one run an algorithm, and popularity as the baseline of them all.

    algorithms: [{"algorithm": "als", "config": {"factors": 64}}, …]; missing settings keep their defaults.
    split: a `SplitConfig` as a dict, None for the one proposed with the data.
    event_weights, half_life_days: what each row counts, see `check_weighing`; algorithms that can read values
    then do, unless their settings say otherwise.
    champion: a version (the live one) whose recipe is fitted anew on the same split to be compared with.
    Returns the runs in the order in which they were queued: baseline, champion, candidates.
    """
    authorize(actor, "training.run", shop)
    if dataset_version.shop_id != shop.pk or (
        champion is not None and champion.registered_model.shop_id != shop.pk
    ):
        raise NotFound("There is no such dataset version or model version here.")
    if dataset_version.status != "ready":
        raise Conflict(
            f"{dataset_version} is {dataset_version.status}; only data that is ready can be trained on.",
            code="data_not_ready",
        )
    weighing = check_weighing(dataset_version, event_weights, half_life_days)
    recipes = check_recipes(algorithms, weighed=bool(weighing))
    _check_readiness(dataset_version, recipes)
    if champion is not None:
        _check_champion(dataset_version, champion)
    chosen_split, why = _check_split(dataset_version, split)
    if not 0 <= seed <= MAX_SEED:
        raise invalid("/seed", f"A seed is a whole number from 0 to {MAX_SEED}.")
    shared = {
        "shop": shop,
        "group": new_id("grp"),
        "dataset_version": dataset_version,
        "split": chosen_split,
        "split_note": why,
        "weighing": weighing,
        "seed": seed,
        "created_by": actor.user,
    }
    with transaction.atomic():
        shared["registered_model"] = _find_or_create_model(actor, shop, model_name)
        runs = [_queue(actor, BASELINE, default_config(BASELINE), RunRole.BASELINE, **shared)]
        if champion is not None:
            recipe = champion.run.config
            runs.append(
                _queue(actor, champion.algorithm, recipe, RunRole.CHAMPION, recipe_of=champion, **shared)
            )
        runs += [_queue(actor, name, config, RunRole.CANDIDATE, **shared) for name, config in recipes]
    return runs


def cancel_run(actor: Actor, run: TrainingRun, reason: str = "") -> TrainingRun:
    """Stop a run: at once while it is queued, else after its present iteration."""
    authorize(actor, "training.run", run.shop_id)
    is_own = actor.user is not None and actor.user.pk == run.created_by_id
    if actor.role_in(run.shop_id) == Role.ANALYST and not is_own:
        raise NotPermitted(
            "An analyst cancels the runs of their own. Ask who started it, an approver or an admin."
        )
    if run.status == "queued":
        transition(run, "canceled", actor=actor, shop=run.shop_id, reason=reason, due_at=None)
    else:
        transition(run, "canceling", actor=actor, shop=run.shop_id, reason=reason)
    return run


def default_config(algorithm: str) -> dict[str, Any]:
    return asdict(ALGORITHMS[algorithm].Config())


def check_recipes(
    algorithms: Sequence[Mapping[str, Any]], *, weighed: bool = False
) -> list[tuple[str, dict[str, Any]]]:
    """Return (algorithm, complete config) of each; raises InvalidInput that points at every wrong field.

    weighed: whether values are weights of events, which an algorithm that can read values then does.
    """
    if not 1 <= len(algorithms) <= MAX_ALGORITHMS:
        raise invalid("/algorithms", f"Choose 1 to {MAX_ALGORITHMS} algorithms.")
    recipes, errors = [], []
    for at, chosen in enumerate(algorithms):
        name = chosen.get("algorithm")
        if not isinstance(name, str) or name not in ALGORITHMS:
            detail = f"Unknown algorithm. Known are: {', '.join(ALGORITHMS)}."
            errors.append({"pointer": f"/algorithms/{at}/algorithm", "code": "unknown", "detail": detail})
            continue
        try:
            asked = chosen.get("config") or {}
            config = make_config(ALGORITHMS[name].Config, reading_weights(name, asked) if weighed else asked)
        except ConfigError as error:
            errors += refused_config(error, f"/algorithms/{at}/config")
            continue
        recipes.append((name, asdict(config)))
    if not errors and any(recipe in recipes[:at] for at, recipe in enumerate(recipes)):
        raise invalid("/algorithms", "Two of the algorithms have the same settings; one of them is enough.")
    if errors:
        raise InvalidInput(" ".join(error["detail"] for error in errors[:3]), errors=errors)
    return recipes


def _check_readiness(version: DatasetVersion, recipes: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse what cannot be trained on this data, each with its remedy."""
    judged = [_judge(version, name, config) for name, config in recipes]
    errors = [
        {
            "pointer": f"/algorithms/{at}/algorithm",
            "code": "not_ready",
            "detail": f"{ALGORITHMS[each.what].title} cannot be trained on {version}. {each.reason}",
        }
        for at, each in enumerate(judged)
        if each.verdict == "not_ready"
    ]
    if errors:
        raise Unprocessable(
            " ".join(error["detail"] for error in errors[:3]), code="algorithm_not_ready", errors=errors
        )


def _check_champion(version: DatasetVersion, champion: ModelVersion) -> None:
    """Refuse to compare with a version whose recipe cannot be fitted on this data."""
    judged = _judge(version, champion.algorithm, champion.run.config)
    if judged.verdict == "not_ready":
        title = ALGORITHMS[champion.algorithm].title
        detail = (
            f"{champion} is to be compared with, and its recipe, {title}, cannot be fitted on {version}. "
            f"{judged.reason}"
        )
        error = {"pointer": "/champion", "code": "not_ready", "detail": detail}
        raise Unprocessable(detail, code="champion_not_ready", errors=[error])


def _judge(version: DatasetVersion, name: str, config: Mapping[str, Any]) -> Readiness:
    return judge(version, name, make_config(ALGORITHMS[name].Config, config))


def _check_split(version: DatasetVersion, split: Mapping[str, Any] | None) -> tuple[dict[str, Any], str]:
    proposed = version.report.get("split") or {"config": asdict(SplitConfig()), "why": ""}
    if split is None:
        return proposed["config"], proposed["why"]
    try:
        config = make_config(SplitConfig, split)
    except ConfigError as error:
        errors = refused_config(error, "/split")
        raise InvalidInput(str(error), errors=errors) from error
    if config.method != "random" and version.first_at is None:
        raise invalid(
            "/split/method", "This split needs times and the file has none; choose the random split."
        )
    chosen = asdict(config)
    return chosen, proposed["why"] if chosen == proposed["config"] else "Chosen by hand."


def _find_or_create_model(actor: Actor, shop: Shop, name: str) -> RegisteredModel:
    try:
        validate_slug(name)
    except ValidationError:
        name = ""
    if not 1 <= len(name) <= 60:
        detail = "A model's name has 1 to 60 letters, digits, hyphens and underscores, like shop-main."
        raise invalid("/model", detail)
    # The unique constraint decides a race: get_or_create reads again when it lost.
    model, is_new = RegisteredModel.objects.get_or_create(shop=shop, name=name)
    if is_new:
        record("registeredmodel.created", model, actor=actor, shop=shop)
    return model


def _queue(actor: Actor, algorithm: str, config: dict[str, Any], role: RunRole, **shared: Any) -> TrainingRun:
    run = TrainingRun.objects.create(
        algorithm=algorithm, config=config, role=role, status="queued", **shared, **wake_fields()
    )
    record("trainingrun.queued", run, actor=actor, shop=run.shop_id, algorithm=algorithm, role=str(role))
    enqueue_on_commit(run)
    return run
