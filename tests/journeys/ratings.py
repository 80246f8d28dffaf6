"""Files that people upload in the journeys: one to correct, one that is broken, one that attacks."""

import csv
from pathlib import Path

ATTACK = "<img src=x onerror=window.__xss=1>"


def own_names(ratings: Path, target: Path, *, copies: int = 1) -> Path:
    """Write the ratings under a shop's own column names: what is wanted is `opinion`, not `quantity`."""
    with ratings.open(newline="") as source, target.open("w", newline="") as sink:
        rows = list(csv.DictReader(source))
        writer = csv.writer(sink)
        writer.writerow(["customer", "sku", "quantity", "opinion", "bought"])
        for number in range(copies):
            for row in rows:
                writer.writerow(
                    [row["user_id"] + "x" * number, row["item_id"], 1, row["rating"], row["timestamp"]]
                )
    return target


def broken(ratings: Path, target: Path) -> Path:
    """Write the ratings with three bad lines: 5 has no item, 9 no number, 12 a time that never was."""
    lines = ratings.read_text().splitlines()
    for line, field, value in ((5, 1, ""), (9, 2, "lots"), (12, 3, "2024-02-30")):
        fields = lines[line - 1].split(",")
        fields[field] = value
        lines[line - 1] = ",".join(fields)
    target.write_text("\n".join(lines) + "\n")
    return target


def hostile(ratings: Path, items: Path, folder: Path) -> tuple[Path, Path]:
    """Write files whose names, ids, titles and categories are markup that would run if a page let it."""
    own, products = folder / f"{ATTACK}.csv", folder / f"{ATTACK}-items.csv"
    with ratings.open(newline="") as source, own.open("w", newline="") as sink:
        writer = csv.writer(sink)
        for number, row in enumerate(csv.reader(source)):
            mark = ATTACK if number else ""
            writer.writerow([row[0] + mark, row[1] + mark, *row[2:]])
    with items.open(newline="") as source, products.open("w", newline="") as sink:
        writer = csv.writer(sink)
        for number, row in enumerate(csv.reader(source)):
            mark = ATTACK if number else ""
            writer.writerow([row[0] + mark, f"{row[1]}{mark}", f"{row[2]}{mark}", *row[3:]])
    return own, products
