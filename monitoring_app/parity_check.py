"""Whether the new release answers as the registry says it should, and whether anybody can tell. Pure."""

from monitoring_app.checks import FAIL, NOT_ENOUGH, PASS, Check, Facts
from portal.core import figures


def check_servers(facts: Facts) -> Check | None:
    """Hold a step while a server cannot be asked: its answers are neither counted nor compared."""
    if not facts.silent:
        return None
    more = len(facts.silent) - 1
    sentence = facts.silent[0].sentence + (f" (and {figures.counted(more, 'other server')})" if more else "")
    return Check("servers", "Every server can be asked", NOT_ENOUGH, sentence, holds=True)


def check_parity(facts: Facts) -> Check:
    """Fail a step whose servers disagree with the registry, and hold it until they were compared."""
    parity, label = facts.parity, "Served = registered"
    if parity is None:
        sentence = "its servers have not been compared with the registry yet"
        return Check("parity", label, NOT_ENOUGH, sentence, threshold=1.0, unit="ratio", holds=True)
    is_same = parity.agreeing == parity.compared and not parity.difference
    of = figures.counted(parity.compared, "sampled list")
    sentence = f"{parity.agreeing:,} of {of} as the registry has it"
    return Check(
        "parity",
        label,
        PASS if is_same else FAIL,
        sentence if is_same else f"{sentence}: {parity.difference or 'the others differ'}",
        value=parity.agreeing / parity.compared if parity.compared else None,
        threshold=1.0,
        unit="ratio",
        n=parity.compared,
    )
