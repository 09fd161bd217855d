"""What holds for every run and every sequence of events: the promises at the head of `lifecycle`.

The model is a machine room: which trees exist, which answers are due.  It answers as a supervisor
may, in any order, with late and doubled events mixed in, and checks each effect against what is there.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from devrun.config.project import Condition, Dependency, Ready, ReadyKind, Restart, RestartPolicy, Service
from devrun.run.life import events as ev
from devrun.run.life.events import FINAL_PHASES, Phase
from devrun.run.life.lifecycle import STABLE_AFTER, begin, step
from devrun.run.life.servicestate import restart_cap

PENDING, ALIVE, LEFTOVERS = "start pending", "main process alive", "leftovers"
NAMES = ("a", "b", "c", "d", "e")
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)
codes = st.sampled_from((0, 0, 1, 3, 143, -9))


@st.composite
def services(draw):
    """Up to five services; each may depend on those before it."""
    made = []
    for index in range(draw(st.integers(1, 5))):
        needs = draw(st.lists(st.sampled_from(NAMES[:index]), unique=True)) if index else []
        made.append(
            Service(
                name=NAMES[index],
                command="true",
                working_dir="/",
                depends_on=tuple(Dependency(each, draw(st.sampled_from(Condition))) for each in needs),
                ready=Ready(draw(st.sampled_from((ReadyKind.STARTED, ReadyKind.PORT)))),
                restart=Restart(
                    draw(st.sampled_from(RestartPolicy)),
                    draw(st.none() | st.integers(0, 3)),
                    draw(st.sampled_from((0.0, 0.5, 3.0))),
                    draw(st.sampled_from((0.0, 1.0, 30.0))),
                ),
                essential=draw(st.booleans()),
            )
        )
    return draw(st.permutations(made))


class Lives(RuleBasedStateMachine):
    """A run and its machine room."""

    @initialize(made=services())
    def start(self, made):
        self.trees = {}
        self.asked_to_stop = set()
        self.probes = set()
        self.timers = set()
        self.streaks = {}
        self.finish = None
        self.state, effects = begin(made)
        self.check(effects, was_stopping=False)

    def tell(self, event):
        was_stopping, was_finished = self.state.is_stopping, self.state.is_finished
        self.state, effects = step(self.state, event)
        assert not (was_finished and effects)
        self.check(effects, was_stopping)

    def check(self, effects, was_stopping):
        for effect in effects:
            assert self.finish is None, "an effect after Finish"
            getattr(self, f"see_{type(effect).__name__.lower()}")(effect, was_stopping)

    # Effects, each against what is there.

    def see_start(self, effect, was_stopping):
        assert not was_stopping
        assert not self.state.is_stopping
        assert effect.name not in self.trees
        assert effect.name not in self.timers
        mine = self.state.services[effect.name]
        assert effect.guard or effect.attempt == 0
        if effect.attempt == 0:
            assert all(self.is_met(each) for each in mine.service.depends_on)
        self.trees[effect.name] = PENDING

    def is_met(self, dependency):
        other = self.state.services.get(dependency.service)
        if other is None:
            return True
        if dependency.condition is Condition.COMPLETED:
            return other.phase is Phase.EXITED and other.code == 0 and dependency.service not in self.trees
        ready = {Phase.READY, Phase.EXITED}
        return other.phase in (ready if dependency.condition is Condition.READY else {*ready, Phase.RUNNING})

    def see_stoptree(self, effect, was_stopping):
        assert effect.name in self.trees
        if self.state.is_stopping and self.trees[effect.name] == ALIVE and effect.name not in self.asked_to_stop:
            assert not self.dependents(effect.name) & self.trees.keys()
        self.asked_to_stop.add(effect.name)

    def dependents(self, name):
        direct = {each for each, one in self.state.services.items() if one.needs(name)}
        return direct.union(*(self.dependents(each) for each in direct))

    def see_awaitready(self, effect, was_stopping):
        assert self.trees[effect.name] == ALIVE
        assert effect.name not in self.probes
        self.probes.add(effect.name)

    def see_cancelready(self, effect, was_stopping):
        self.probes.remove(effect.name)

    def see_schedulerestart(self, effect, was_stopping):
        assert not was_stopping
        assert effect.name not in self.trees
        assert effect.name not in self.timers
        service = self.state.services[effect.name].service
        assert 0 <= effect.delay <= service.restart.max_backoff
        self.streaks[effect.name] = self.streaks.get(effect.name, 0) + 1
        assert self.streaks[effect.name] <= restart_cap(service)
        self.timers.add(effect.name)

    def see_cancelrestart(self, effect, was_stopping):
        self.timers.remove(effect.name)

    def see_announce(self, effect, was_stopping):
        assert effect.name is None or f"`{effect.name}`" in effect.text

    def see_finish(self, effect, was_stopping):
        assert not self.trees
        assert not self.timers
        assert not self.probes
        assert 0 <= effect.exit_code <= 255
        assert effect.message
        self.finish = effect

    # What a supervisor may say.

    def any_in(self, data, *conditions):
        return data.draw(st.sampled_from(sorted(name for name, each in self.trees.items() if each in conditions)))

    @precondition(lambda self: PENDING in self.trees.values())
    @rule(data=st.data(), fails=st.sampled_from((None, None, None, ev.SpawnFailed, ev.GuardRefused)))
    def answer_a_start(self, data, fails):
        name = self.any_in(data, PENDING)
        if fails is not None:
            del self.trees[name]
            self.asked_to_stop.discard(name)
            self.tell(fails(name, "did not come about"))
        else:
            self.trees[name] = ALIVE
            self.tell(ev.Spawned(name))

    @precondition(lambda self: ALIVE in self.trees.values())
    @rule(data=st.data(), code=codes, lives_long=st.booleans(), held=st.sampled_from((None, None, None, "pid 4711")))
    def end_a_main_process(self, data, code, lives_long, held):
        name = self.any_in(data, ALIVE)
        self.trees[name] = LEFTOVERS
        if lives_long and not self.state.services[name].stop_wanted:
            self.streaks[name] = 0
        self.tell(ev.MainExited(name, code, held, STABLE_AFTER if lives_long else 0.1))

    @precondition(lambda self: self.asked_to_stop)
    @rule(data=st.data())
    def finish_a_stop(self, data):
        self.lose(data.draw(st.sampled_from(sorted(self.asked_to_stop))))

    @precondition(lambda self: ALIVE in self.trees.values() or LEFTOVERS in self.trees.values())
    @rule(data=st.data())
    def kill_a_tree_from_outside(self, data):
        self.lose(self.any_in(data, ALIVE, LEFTOVERS))

    def lose(self, name):
        del self.trees[name]
        self.asked_to_stop.discard(name)
        self.tell(ev.TreeGone(name))

    @precondition(lambda self: self.probes)
    @rule(data=st.data(), succeeds=st.sampled_from((True, True, False)))
    def answer_a_probe(self, data, succeeds):
        name = data.draw(st.sampled_from(sorted(self.probes)))
        self.probes.remove(name)
        self.tell(ev.BecameReady(name) if succeeds else ev.ReadyFailed(name, "not ready in 60 s"))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def fire_a_timer(self, data):
        name = data.draw(st.sampled_from(sorted(self.timers)))
        self.timers.remove(name)
        self.tell(ev.RestartDue(name))

    @rule(data=st.data(), name=st.sampled_from((*NAMES, "ghost")))
    def say_something_late_or_twice(self, data, name):
        strays = [ev.BecameReady(name), ev.ReadyFailed(name, "late"), ev.RestartDue(name)]
        if name in self.probes:
            strays = strays[2:]
        if name in self.timers:
            strays = strays[:-1]
        if self.trees.get(name) != PENDING:
            strays += [ev.Spawned(name), ev.SpawnFailed(name, "late"), ev.GuardRefused(name, "late")]
        if self.trees.get(name) != ALIVE:
            strays.append(ev.MainExited(name, 1))
        if name not in self.trees:
            strays.append(ev.TreeGone(name))
        if strays:
            self.tell(data.draw(st.sampled_from(strays)))

    # What people may ask for.

    @rule(named=names, verb=st.sampled_from((ev.StopServices, ev.StartServices, ev.RestartServices)))
    def ask(self, named, verb):
        self.streaks.clear()  # a person's start counts as a fresh one
        self.tell(verb(named))

    @rule(more=services())
    def add(self, more):
        self.streaks.clear()
        fresh = [replace(each, depends_on=()) for each in more if each.name not in self.state.services]
        self.tell(ev.AddServices(tuple(fresh)))

    @precondition(lambda self: not self.state.is_finished)
    @rule(code=st.sampled_from((0, 130, 143)))
    def stop_the_run(self, code):
        was, before = self.state.is_stopping, self.state.ending
        self.tell(ev.StopRun("asked", code))
        assert self.state.is_stopping
        if was:
            assert self.state.ending == before

    # What is true in between.

    @invariant()
    def phases_say_what_is_there(self):
        for name, each in self.state.services.items():
            assert each.has_tree == (name in self.trees)
            assert each.restart_due == (name in self.timers)
            assert each.is_awaited == (name in self.probes)
            if each.phase in FINAL_PHASES or each.phase is Phase.WAITING:
                assert name not in self.trees
            if each.phase is Phase.STOPPING:
                assert name in self.asked_to_stop
            if self.state.is_finished:
                assert each.phase in FINAL_PHASES
        assert self.state.is_finished == (self.finish is not None)
        assert self.state.is_finished == (self.state.is_stopping and not self.trees)

    @invariant()
    def nothing_waits_that_cannot_come(self):
        """Somebody waits only while something else is under way."""
        waiting = [
            each for each in self.state.services.values() if each.phase is Phase.WAITING and not each.restart_due
        ]
        assert not waiting or self.trees or self.timers

    def teardown(self):
        """Whatever was going on, a stop ends it within a bounded number of answers."""
        if not hasattr(self, "state"):
            return
        self.tell(ev.StopRun("the end", 130))
        for _ in range(3 * len(NAMES)):
            for name in sorted(self.asked_to_stop):
                self.lose(name)
        assert self.finish is not None
        assert self.state.is_finished


TestLives = Lives.TestCase
