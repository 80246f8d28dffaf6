"""What to do about servers that do not get ready: one sentence for each reason that a backend names. Pure.

The reasons are words already (`backends.kubernetes_reasons`, `backends.local_reasons`): the first remedy
whose words stand in a reason is meant, the more specific ones first.
"""

import re

AGAIN = "then start it again from its request."
GOES_ON = "then it goes on by itself."

REMEDIES: tuple[tuple[str, str], ...] = (
    (
        r"image .* cannot be fetched",
        "check that the image's name is right (KUBERNETES_IMAGE) and that the cluster's nodes may fetch it; "
        + AGAIN,
    ),
    (
        r"\bquota\b.* used up",
        "ask for fewer or smaller servers in the plan, or have the namespace's quota raised; " + AGAIN,
    ),
    (
        r"Pod Security refuses",
        "have the labels of the namespace checked: the servers satisfy Pod Security's level restricted; "
        + AGAIN,
    ),
    (
        r"Aisle may not ",
        "have an administrator of the cluster apply the Role that the environment's page prints; " + AGAIN,
    ),
    (
        r"does not know Aisle's account",
        "renew Aisle's KUBECONFIG or service account; it goes on by itself.",
    ),
    (
        r"has not answered since|cluster is busy",
        "look after the cluster's API server; it goes on by itself as soon as that answers.",
    ),
    (
        r"no node has room",
        "add a node or ask for fewer or smaller servers in the plan; " + AGAIN,
    ),
    (
        r"used more memory than it may|MemoryError|Cannot allocate memory",
        "give each server more memory in the plan, or train a smaller model, and ask for promotion anew.",
    ),
    (
        r"fetching the artifact ended",
        "check that pods reach the portal, or its S3 store, and that the model's files are whole; " + AGAIN,
    ),
    (
        r"ended with status|was killed by|server is gone",
        "read what the server said last: it ends whenever it is started. Ask for another version, or mend "
        "what it names; " + AGAIN,
    ),
    (
        r"cannot be (set up|started)",
        "mend what it names on the machine or in the namespace; " + AGAIN,
    ),
    (
        r"^never ready|^no server ready",
        "look at the servers' own log. If they only need longer, ask again with a plan that gives them "
        "longer (ready_within_s, by the API).",
    ),
)


def remedy(reason: str, *, is_over: bool = True) -> str:
    """Say what to do about a rollout's reason; empty where nothing has to. is_over: it was given up."""
    found = next((words for pattern, words in REMEDIES if re.search(pattern, reason)), "")
    return found if is_over else found.replace(AGAIN, GOES_ON)
