"""What an installation of this package brings with it, and whether anything is known against it.

`python deploy/audit.py` writes dist/sbom.cdx.json (CycloneDX): this package and all that its extra `all` needs, in the
versions that are installed here; tools of those who work on it are not in it. Then pip-audit asks an advisory service.
Exits with 1 if something is known, and with 3 if the service cannot be asked: then nothing was judged.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT, EXTRA = "orchestrator", "all"
FILE = Path("dist/sbom.cdx.json")
KNOWN = "pip==9.0.3"
"""Asked for first, since much is known against it: a service that says nothing of it can judge nothing."""

Needs = dict[str, set[str]]
"""Package -> those that it needs, by their canonical names."""


def needs(root: str, extra: str) -> Needs:
    """Whatever is installed of what a package needs with an extra, however far down."""
    found: Needs = {}
    asked = [(root, extra)]
    seen: set[tuple[str, str]] = set()
    while asked:
        if (ask := asked.pop()) in seen:
            continue
        seen.add(ask)
        below = found.setdefault(ask[0], set())
        for name, extras in _requirements(*ask):
            below.add(name)
            asked += [(name, wanted) for wanted in ("", *extras)]
    return {name: below - {name} for name, below in found.items()}


def _requirements(name: str, extra: str) -> Iterator[tuple[str, set[str]]]:
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if (requirement.marker is None or requirement.marker.evaluate({"extra": extra})) and _is_installed(name):
            yield name, requirement.extras


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def bill(found: Needs) -> dict[str, Any]:
    """As CycloneDX has it; in one order, so that two bills of one installation are the same."""
    components = {name: _component(name, distribution(name)) for name in sorted(found)}
    root = components.pop(ROOT) | {"type": "application"}
    refs = {name: component["bom-ref"] for name, component in {ROOT: root, **components}.items()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": list(components.values()),
        "dependencies": [
            {"ref": refs[name], "dependsOn": sorted(refs[below] for below in found[name])} for name in sorted(found)
        ],
    }


def _component(name: str, installed: Distribution) -> dict[str, Any]:
    reference = f"pkg:pypi/{name}@{installed.version}"
    component = {"type": "library", "bom-ref": reference, "name": name, "version": installed.version, "purl": reference}
    # Older packages put the whole text of their licence into the field for its name.
    said = installed.metadata.get("License-Expression") or (installed.metadata.get("License") or "").strip()
    is_name = 0 < len(said) <= 100 and "\n" not in said
    return {**component, "licenses": [{"license": {"name": said}}]} if is_name else component


def unasked() -> str:
    """Why the advisory service cannot be asked; empty if it can."""
    asked = ask(KNOWN, "--format", "json", capture_output=True)
    try:
        told = any(package.get("vulns") for package in json.loads(asked.stdout)["dependencies"])
    except ValueError:
        return (asked.stderr.strip().splitlines() or ["it gave no answer"])[-1]
    return "" if told else f"it knows nothing against {KNOWN}"


def audit(found: Needs) -> int:
    """Ask for each package, this one apart; 1 if something is known."""
    pinned = (f"{name}=={distribution(name).version}" for name in sorted(found) if name != ROOT)
    return ask("\n".join(pinned)).returncode


def ask(pinned: str, *options: str, **run: Any) -> subprocess.CompletedProcess[str]:
    """Have pip-audit ask for packages, one a line, in just these versions."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pinned)
        file.flush()
        command = ("pip_audit", "--strict", "--no-deps", "--disable-pip", "--requirement", file.name, *options)
        return subprocess.run([sys.executable, "-m", *command], check=False, text=True, **run)


def main() -> int:
    found = needs(ROOT, EXTRA)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(bill(found), indent=1) + "\n", "utf-8")
    print(f"{FILE}: {len(found)} packages")
    if why := unasked():
        print(f"not audited: the advisory service cannot be asked: {why}", file=sys.stderr)
        return 3
    return audit(found)


if __name__ == "__main__":
    sys.exit(main())
