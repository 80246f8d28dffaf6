"""What compiled loops share: how freely their sums may be ordered, and the width of a vector register."""

FAST = {"reassoc", "contract", "nsz", "arcp"}  # lets sums use wide registers; their order stays fixed
LANES = 16  # float32 values in the widest vector register


def padded(factors: int) -> int:
    """Round a number of factors up to whole vector registers."""
    return -(-factors // LANES) * LANES
