"""Plans to begin with: each fits a kind of change, and all of it can be edited. Pure."""

from dataclasses import dataclass

from deployments_app.plan_rules import AT_ONCE, DEFAULT_PLAN, Plan, Step


@dataclass(frozen=True)
class Template:
    """A plan with its name and when it is the right one."""

    name: str
    title: str
    note: str
    plan: Plan


TEMPLATES = {
    template.name: template
    for template in (
        Template(
            "careful",
            "Careful",
            "When much depends on it, or traffic is thin.",
            Plan(steps=(Step(5, 1800, 500), Step(25, 1800, 500), Step(50, 1800, 500), Step(100))),
        ),
        Template("normal", "Normal", "For most changes.", DEFAULT_PLAN),
        Template("at_once", "At once", "No canary: everybody sees it as soon as it is ready.", AT_ONCE),
        Template(
            "blue_green",
            "Blue-green",
            "Look at it behind its preview address; one press then switches everybody.",
            Plan(strategy="blue_green", steps=(Step(0, ends_by="person"), Step(100, 600))),
        ),
        Template(
            "shadow_first",
            "Shadow first",
            "It answers copies of real requests and is compared, before any shopper sees it.",
            Plan(
                strategy="shadow",
                steps=(Step(0, 1800, 500, mirror_pct=25), Step(10, 600, 100), Step(50, 600, 100), Step(100)),
            ),
        ),
        Template(
            "ab",
            "A/B test",
            "Both stay side by side until a person says which one is kept.",
            Plan(strategy="ab", steps=(Step(50, 86_400, 1000, ends_by="person"), Step(100))),
        ),
    )
}
