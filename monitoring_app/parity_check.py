"""Whether the new release answers as the registry says it should. Pure."""

from monitoring_app.checks import FAIL, PASS, Check, Facts
from portal.core import figures


def check_parity(facts: Facts) -> Check | None:
    """Fail a step whose servers disagree with the registry; nothing to say before they were compared."""
    parity = facts.parity
    if parity is None:
        return None
    is_same = parity.agreeing == parity.compared and not parity.difference
    of = figures.counted(parity.compared, "sampled list")
    sentence = f"{parity.agreeing:,} of {of} as the registry has it"
    return Check(
        "parity",
        "Served = registered",
        PASS if is_same else FAIL,
        sentence if is_same else f"{sentence}: {parity.difference or 'the others differ'}",
        value=parity.agreeing / parity.compared if parity.compared else None,
        threshold=1.0,
        unit="ratio",
        n=parity.compared,
    )
