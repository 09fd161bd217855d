"""Projects and worktrees as values, for tests that need ports and no files."""

from __future__ import annotations

from devrun.config.project import PortSettings, Project, Service
from devrun.model import Worktree

BASES = {"web": 3000, "api": 3001, "docs": 3802}


def service(name: str, port: int | None = None, **options: object) -> Service:
    return Service(name=name, command="true", working_dir="/", port=port, **options)


def project(*services: Service, stride: int = 10, slot: int | None = None, **bases: int) -> Project:
    """Make a project of services and of `name=port`; the usual three when nothing is given."""
    chosen = [*services, *(service(name, port) for name, port in bases.items())]
    if not chosen:
        chosen = [service(name, port) for name, port in BASES.items()]
    named = {each.name: each for each in chosen}
    return Project(root="/", file="/services.yaml", services=named, ports=PortSettings(stride=stride, slot=slot))


def main_checkout(repository: str = "shop") -> Worktree:
    root = f"/home/u/{repository}"
    return Worktree(root=root, identity=f"{root}/.git", repository=f"{root}/.git", is_main=True, slug="main")


def linked(name: str, repository: str = "shop") -> Worktree:
    git_dir = f"/home/u/{repository}/.git"
    return Worktree(
        root=f"/home/u/{name}",
        identity=f"{git_dir}/worktrees/{name}",
        repository=git_dir,
        is_main=False,
        slug=name,
    )
