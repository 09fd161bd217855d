"""`python -m tests`: install what the tests need beside Python, then run all of them, in stages.

    python -m tests            everything, as CI does
    python -m tests lint unit  only these stages: lint, types, unit, node, matrix

Missing programs come from Debian's packages (as root, or with `sudo -n`); elsewhere they are named.
pnpm comes from the npm registry, into a cache folder.  Stops at the first stage that fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(ROOT, ".devrun-node-cache")
PNPM = "pnpm@10"
PROGRAMS = {"git": "git", "tmux": "tmux", "node": "nodejs", "npm": "npm"}  # program → Debian's package

PYTHON = [sys.executable, "-m"]
PARALLEL = ["-n", "2", "--dist", "worksteal"]
STAGES = {
    "lint": [[*PYTHON, "ruff", "check"], [*PYTHON, "ruff", "format", "--check"]],
    "types": [[*PYTHON, "mypy"], [*PYTHON, "mypy", "--platform", "darwin"]],
    "unit": [[*PYTHON, "pytest", *PARALLEL, "-m", "not matrix and not node"]],
    "node": [[*PYTHON, "pytest", "-m", "node"]],
    "matrix": [[*PYTHON, "pytest", *PARALLEL, "-m", "matrix"]],
}


def install_programs() -> None:
    """Install the programs that are missing; end with their names where that is not possible."""
    packages = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not packages:
        return
    if shutil.which("apt-get") is None:
        sys.exit(f"missing: {' '.join(packages)}; install them and run this again")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    say(f"installing {' '.join(packages)}")
    subprocess.run([*sudo, "apt-get", "update", "-qq"], check=True, env=environment)
    words = [*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)


def install_pnpm() -> None:
    """Install pnpm into the cache folder unless there is one, and put it on PATH."""
    binaries = os.path.join(CACHE, "tools", "node_modules", ".bin")
    if shutil.which("pnpm") is None and not os.path.exists(os.path.join(binaries, "pnpm")):
        say(f"installing {PNPM}")
        words = ["npm", "install", "--no-audit", "--no-fund", "--loglevel", "error"]
        subprocess.run([*words, "--prefix", os.path.join(CACHE, "tools"), PNPM], check=True)
    os.environ["PATH"] = os.environ["PATH"] + os.pathsep + binaries


def say(line: str) -> None:
    """Tell how far it is."""
    print(f"== {line}", flush=True)


def main(names: list[str]) -> int:
    """Run the stages named, all by default; return 0, or the code of the first that failed."""
    os.chdir(ROOT)
    install_programs()
    install_pnpm()
    started = time.monotonic()
    for name in names or STAGES:
        for command in STAGES[name]:
            say(f"{name}: {' '.join(command[2:])}")
            code = subprocess.run(command, check=False).returncode
            if code:
                say(f"{name} failed with {code} after {time.monotonic() - started:.0f} s")
                return code
    say(f"all stages passed in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
