"""Packages installed into a folder of their own, as pip does it for a stranger, with nothing downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("cache", "classifiers", "features", "pipeline", "pyproject.toml", "README.md", "LICENSE")


def install(source: Path, target: Path) -> None:
    """Build the package in `source` and install it, and nothing that it depends on, into the folder `target`."""
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--upgrade"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def install_crisis(workshop: Path, target: Path) -> None:
    """This project, built from a copy of its sources in the folder `workshop`, so that nothing is left in the tree."""
    workshop.mkdir()
    for part in (*PARTS, *(file.name for file in ROOT.glob("crisis*.py"))):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, workshop / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, workshop)
    install(workshop, target)


def run(target: Path, folder: Path, *arguments: str, first: str = "") -> subprocess.CompletedProcess[str]:
    """`crisis ARGUMENTS` as installed in `target`, in the working folder `folder`; `first` comes first on the path."""
    path = os.pathsep.join([*([first] if first else []), str(target)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    environment.pop("CRISIS_DATA", None)
    command = [sys.executable, str(target / "bin" / "crisis"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
