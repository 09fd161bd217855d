"""`python -m tests`: install what the tests need beside Python, then run all of them, in stages.

    python -m tests            everything, as CI does
    python -m tests lint unit  only these stages: lint, types, unit, node, matrix

Missing programs come from Debian's packages (as root, or with `sudo -n`); elsewhere they are named.
pnpm, and node where there is none or an old one, come from the npm registry, into a cache folder.
Stops at the first stage that fails.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(ROOT, ".devrun-node-cache")
TOOLS = os.path.join(CACHE, "tools")
PNPM = "pnpm@10"
_MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
NODE = f"node-{sys.platform}-{_MACHINE}"  # a package of the npm registry that is the binary
NODE_VERSION = "22"
NEEDED_NODE = (20, 19)  # vite's and next's; Debian 12 has 18
PROGRAMS = {"git": "git", "tmux": "tmux", "npm": "npm"}  # program → Debian's package

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


def install_node_tools() -> None:
    """Put pnpm, and a node that is new enough, on PATH: from the cache folder where the machine has none."""
    binaries = [os.path.join(TOOLS, "node_modules", ".bin")]
    if not node_is_new_enough():
        binaries.insert(0, os.path.join(TOOLS, "node_modules", NODE, "bin"))
        install_from_npm(f"{NODE}@{NODE_VERSION}", os.path.join(binaries[0], "node"))
        os.environ["PATH"] = os.pathsep.join([binaries[0], os.environ["PATH"]])
    if shutil.which("pnpm") is None:
        install_from_npm(PNPM, os.path.join(binaries[-1], "pnpm"))
        os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], binaries[-1]])


def node_is_new_enough() -> bool:
    """Tell whether the node on PATH can run the examples."""
    if shutil.which("node") is None:
        return False
    shown = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in shown.strip().lstrip("v").split(".")[:2]) >= NEEDED_NODE


def install_from_npm(package: str, program: str) -> None:
    """Install a package into the cache folder unless its program is there already."""
    if not os.path.exists(program):
        say(f"installing {package}")
        words = ["npm", "install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix", TOOLS, package]
        subprocess.run(words, check=True)


def say(line: str) -> None:
    """Tell how far it is."""
    print(f"== {line}", flush=True)


def main(names: list[str]) -> int:
    """Run the stages named, all by default; return 0, or the code of the first that failed."""
    os.chdir(ROOT)
    install_programs()
    install_node_tools()
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
