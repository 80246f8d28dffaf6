"""A picture of every page, in both themes, wide and narrow, and one contact sheet: `make screenshots`.

Runs against the stack of AISLE_HOME (or var/), which should hold a demo shop: `make demo` makes one.
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Browser

from portal.stack.home import StackHome
from tests.browser import open_browser, open_context, sign_in
from tests.pages import find_pages
from tests.running_stack import RunningStack

FOLDER = Path("screenshots")
WIDTHS = (1440, 360)
THUMB = 360


def main() -> int:
    stack = RunningStack(StackHome.default().path)
    FOLDER.mkdir(exist_ok=True)
    taken: list[Path] = []
    with open_browser() as browser:
        for width in WIDTHS:
            for theme in ("light", "dark"):
                taken += photograph(browser, stack, width, theme)
    sheet(taken, FOLDER / "contact-sheet.png")
    print(f"{len(taken)} pictures in {FOLDER}/, and {FOLDER}/contact-sheet.png")
    return 0


def photograph(browser: Browser, stack: RunningStack, width: int, theme: str) -> list[Path]:
    context = open_context(browser, width=width, theme=theme)
    page = context.new_page()
    sign_in(page, stack.manage("sign_in_link", "ada").strip())
    taken = []
    for name, url in find_pages(page, stack.portal_url, "nordic-attic").items():
        page.goto(url)
        page.wait_for_load_state("networkidle")
        # A bar that sticks to the bottom belongs at the end of a picture of the whole page.
        tall = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": max(900, tall)})
        target = FOLDER / f"{name}-{width}-{theme}.png"
        page.screenshot(path=target, full_page=True)
        taken.append(target)
        page.set_viewport_size({"width": width, "height": 900})
    context.close()
    return taken


def sheet(pictures: list[Path], target: Path) -> None:
    """Lay all pictures out in columns, scaled, each with its name."""
    columns, gap, label = 8, 16, 18
    thumbs = []
    for path in sorted(pictures):
        image = Image.open(path).convert("RGB")
        scale = THUMB / image.width
        image = image.resize((THUMB, round(image.height * scale)))
        thumbs.append((path.stem, image.crop((0, 0, THUMB, min(image.height, 640)))))
    rows = [thumbs[at : at + columns] for at in range(0, len(thumbs), columns)]
    heights = [max(image.height for _, image in row) + label + gap for row in rows]
    canvas = Image.new("RGB", (columns * (THUMB + gap) + gap, sum(heights) + gap), "#808080")
    draw = ImageDraw.Draw(canvas)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        for place, (name, image) in enumerate(row):
            left = gap + place * (THUMB + gap)
            draw.text((left, top), name, fill="white")
            canvas.paste(image, (left, top + label))
        top += height
    canvas.save(target)


if __name__ == "__main__":
    sys.exit(main())
