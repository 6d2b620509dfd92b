"""`python -m manual build` makes the site, `serve` shows it and follows what is written."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from threading import Event

from manual.complaint import ComplaintError
from manual.navigation import check_navigation
from manual.staging import ROOT, stage, state_of

CONFIG = ROOT / "mkdocs.yml"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")

LOOK_AGAIN_S = 1.0
"""How soon a page that was written is shown."""


def main() -> int:
    """Run one command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m manual", description=__doc__)
    parser.add_argument("act", choices=["build", "serve"])
    parser.add_argument("--address", default="127.0.0.1:8000", help="where it is served")
    given = parser.parse_args()
    try:
        pages = stage()
        check_navigation(CONFIG.read_text(encoding="utf-8"), pages)
    except ComplaintError as error:
        print(f"manual: {error}", file=sys.stderr)
        return 1
    if given.act == "serve":
        return serve(given.address)
    done = subprocess.run([*tool("build"), "--strict"], cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        print("\n".join(complaints(done.stdout + done.stderr)), file=sys.stderr)
        return 1
    print(f"{len(pages)} pages in {Path('build', 'site')}")
    return 0


def complaints(said: str) -> list[str]:
    """What is wrong with the pages, a line each: `docs/page.md:3:7: page does not exist`; all that was said else."""
    plain = COLOURS.sub("", said)
    found = re.findall(r"^Warning: (.*)\n +╭─\[ ([^ ]+) \]", plain, re.MULTILINE)
    return [f"{place}: {what}" for what, place in found] or plain.splitlines()


def tool(act: str) -> list[str]:
    """The command of the site's generator that does this; it keeps nothing of a run before."""
    return [
        sys.executable,
        "-m",
        "zensical",
        act,
        "--config-file",
        str(CONFIG),
        *(["--clean"] if act == "build" else []),
    ]


def serve(address: str) -> int:
    """Show the site until Ctrl-C; what changes in docs/ is staged again, and the server sees that."""
    seen = state_of()
    with subprocess.Popen([*tool("serve"), "--dev-addr", address], cwd=ROOT) as server:
        try:
            while server.poll() is None:
                Event().wait(LOOK_AGAIN_S)
                if (now := state_of()) != seen:
                    seen = now
                    try_to_stage()
        except KeyboardInterrupt:
            server.terminate()
    return server.returncode or 0


def try_to_stage() -> None:
    """Stage, and say what is wrong with a page that is half written."""
    try:
        stage()
    except ComplaintError as error:
        print(f"manual: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
