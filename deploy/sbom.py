"""The bill of materials of an installed kafka-saga, as CycloneDX: distributions by cyclonedx-py, and files of others.

    python deploy/sbom.py ENVIRONMENT/bin/python OUTPUT.json

What the dashboard carries of others is no distribution of Python; its folder says what it is: `npm pack NAME@VERSION`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENDORED = ROOT / "orchestrator" / "dashboard" / "static" / "vendor"
LICENCES = {"Zero-Clause BSD": "0BSD"}


def carried(folder: Path) -> dict[str, Any]:
    """The component that a folder of somebody else's files is."""
    about = (folder / "README.md").read_text(encoding="utf-8")
    told = re.search(r"npm pack ([\w.-]+)@([\d.]+)", about)
    licence = re.search(r"Licence: (.+?),", about)
    if told is None or licence is None:
        sys.exit(f"{folder}/README.md does not say what it is: `npm pack NAME@VERSION`, Licence: …")
    name, version = told.groups()
    return {
        "bom-ref": f"{name}@{version}",
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:npm/{name}@{version}",
        "licenses": [{"license": {"id": LICENCES[licence[1]]}}],
    }


def main(python: str, output: Path) -> None:
    """Write the bill of the environment of `python`."""
    tool = Path(sys.executable).with_name("cyclonedx-py")
    command = [tool, "environment", python, "--pyproject", ROOT / "pyproject.toml", "--output-reproducible"]
    bill = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    bill["components"] += [carried(folder) for folder in sorted(VENDORED.iterdir()) if folder.is_dir()]
    output.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
