"""Puts the site's pages together: docs/ as it is, the few pages that lie elsewhere, and the generated reference.

The pages of docs/ link to each other and to the rest of the repository as they lie there, so that these links work
where the repository is read. On the site, a link to a page is one to where that page is now; a link to anything else
becomes the path, in words, or a link into the source where `pyproject.toml` says where that is.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from functools import cache
from pathlib import Path

from manual.complaint import ComplaintError
from manual.reference import reference_pages

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
STAGED = ROOT / "build" / "manual"

ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "examples.md",
    "examples/fastapi_orders/README.md": "examples-fastapi.md",
}
"""Pages of the repository outside docs/, where they exist, and what they are on the site."""

_LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)"
)
_FENCE = re.compile(r"^(```|~~~).*?^\1 *$", re.DOTALL | re.MULTILINE)


def stage() -> list[str]:
    """Write every page to `STAGED`; their paths there, sorted.

    What has not changed keeps its time, so that a server that watches sees what did.

    Raises:
        ComplaintError: a link leads to nothing.

    """
    written: dict[str, bytes] = {}
    places = page_places()
    for source, target in places.items():
        written[target] = moved_links((ROOT / source).read_text(encoding="utf-8"), source, target, places).encode()
    for path in sorted(DOCS.rglob("*")):
        name = str(path.relative_to(DOCS))
        if path.is_file() and path.suffix != ".md":
            written[name] = path.read_bytes()
    written |= {name: text.encode() for name, text in reference_pages().items()}
    _write(written)
    return sorted(name for name in written if name.endswith(".md"))


def page_places() -> dict[str, str]:
    """Every hand-written page: where it lies in the repository, and where on the site."""
    inside = {f"docs/{path.relative_to(DOCS)}": str(path.relative_to(DOCS)) for path in sorted(DOCS.rglob("*.md"))}
    return inside | {source: target for source, target in ELSEWHERE.items() if (ROOT / source).exists()}


def moved_links(text: str, source: str, target: str, places: dict[str, str]) -> str:
    """A page's text with its links as they are on the site; what stands in blocks of code is left alone."""

    def moved(found: re.Match[str]) -> str:
        path = os.path.normpath(Path(source).parent / found["path"])
        here, anchor = Path(target).parent, found["anchor"] or ""
        if path.startswith("docs/reference/"):  # made of the code: the strict build says where it is not
            return f"{found['image']}[{found['text']}]({os.path.relpath(path.removeprefix('docs/'), here)}{anchor})"
        if path in places:
            return f"[{moved_inside(found['text'])}]({os.path.relpath(places[path], here)}{anchor})"
        if path.startswith("docs/") and (ROOT / path).is_file():
            name = os.path.relpath(path.removeprefix("docs/"), here)
            return f"{found['image']}[{moved_inside(found['text'])}]({name})"
        if not (ROOT / path).exists():
            raise ComplaintError(f"{source} links to {found['path']}, which does not exist: mend the link")
        return in_source(path, found["text"])

    def moved_inside(label: str) -> str:
        return _LINK.sub(moved, label)

    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(moved, text[end : fence.start()]), fence.group()]
        end = fence.end()
    return "".join([*parts, _LINK.sub(moved, text[end:])])


def in_source(path: str, label: str) -> str:
    """What stands for a link to something that is no page."""
    address = source_address()
    if address:
        return f"[{label}]({address}/blob/main/{path})"
    return label if path in label.replace("`", "") else f"{label} (`{path}`)"


@cache
def source_address() -> str | None:
    """Where the repository can be looked at, if the project says so."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {})
    return next((url.rstrip("/") for name, url in urls.items() if name.lower() in {"source", "repository"}), None)


def state_of() -> dict[Path, float]:
    """When each page and picture was last written."""
    return {path: path.stat().st_mtime for path in DOCS.rglob("*") if path.is_file()}


def _write(written: dict[str, bytes]) -> None:
    STAGED.mkdir(parents=True, exist_ok=True)
    for path in sorted(STAGED.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                shutil.rmtree(path)
        elif str(path.relative_to(STAGED)) not in written:
            path.unlink()
    for name, content in written.items():
        path = STAGED / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
