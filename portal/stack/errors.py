"""What can go wrong while the stack starts."""


class StackFailed(Exception):
    """The stack did not become ready; the text says which program failed and shows its last lines."""


class NotReady(Exception):
    """A server that was started does not answer yet."""
