"""A supervisor made of lists: drives the state machine and remembers what it asked for."""

from __future__ import annotations

from devrun.config.project import Condition, Dependency, Ready, ReadyKind, Restart, RestartPolicy, Service
from devrun.run.life import events as ev
from devrun.run.life.lifecycle import begin, step


def service(name, *needs, probe=False, restart=None, cap=None, essential=True, **fields):
    """`needs` are names or (name, condition)."""
    pairs = ((each, Condition.READY) if isinstance(each, str) else each for each in needs)
    return Service(
        name=name,
        command="true",
        working_dir="/",
        depends_on=tuple(Dependency(other, condition) for other, condition in pairs),
        ready=Ready(ReadyKind.PORT if probe else ReadyKind.STARTED),
        restart=Restart(RestartPolicy(restart or "no"), max_restarts=cap),
        essential=essential,
        **fields,
    )


class Run:
    """One run, told by hand."""

    def __init__(self, *services):
        self.log = []
        self.state, effects = begin(services)
        self.log.extend(effects)
        self.latest = effects

    def tell(self, event):
        self.state, self.latest = step(self.state, event)
        self.log.extend(self.latest)
        return self.latest

    def up(self, *names):
        """Spawn each as soon as it was asked for, and have its probe succeed."""
        for name in names:
            assert self.phase(name) == "starting", (name, self.phase(name))
            self.tell(ev.Spawned(name))
            if self.state.services[name].is_awaited:
                self.tell(ev.BecameReady(name))
        return self

    def end(self, name, code=0, **facts):
        """The main process ends and its tree is gone."""
        effects = self.tell(ev.MainExited(name, code, **facts))
        return effects + self.tell(ev.TreeGone(name))

    def gone(self, *names):
        for name in names:
            self.tell(ev.TreeGone(name))
        return self

    def phase(self, name):
        return self.state.services[name].phase.value

    def phases(self):
        return {name: each.phase.value for name, each in self.state.services.items()}

    def asked(self, kind, effects=None):
        """The names in the effects of a kind, in order."""
        return [each.name for each in (self.log if effects is None else effects) if isinstance(each, kind)]

    def texts(self):
        return [each.text for each in self.log if isinstance(each, ev.Announce)]

    @property
    def finish(self):
        found = [each for each in self.log if isinstance(each, ev.Finish)]
        assert len(found) <= 1
        return (found[0].exit_code, found[0].message) if found else None
