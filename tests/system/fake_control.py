"""A machine made of values: processes that react to signals as a test says, and a clock that only waiting moves."""

from __future__ import annotations

import signal

from devrun.model import Classified, KillPlan, ProcessIdentity, ProcessRecord, Verdict

STUBBORN = None


class FakeProcess:
    """Dies `after` seconds after the first signal (None: never), and of SIGKILL at once unless `unkillable`."""

    def __init__(self, machine, pid, *, after=0.0, stopped=False, unkillable=False, denied=False, token=None):
        self.machine = machine
        self.identity = ProcessIdentity(pid, pid * 10 if token is None else token)
        self.after = after
        self.stopped = stopped
        self.unkillable = unkillable
        self.denied = denied
        self.dies_at = None
        self.pending = False
        self.on_signal = lambda _signum: None

    @property
    def gone(self):
        return self.dies_at is not None and self.dies_at <= self.machine.now

    def receive(self, signum):
        self.on_signal(signum)
        if signum == signal.SIGKILL:
            self.dies_at = self.dies_at if self.unkillable else self.machine.now
        elif signum == signal.SIGSTOP:
            self.stopped = True
        elif signum == signal.SIGCONT:
            self.stopped = False
            if self.pending:
                self.end()
        elif self.stopped:
            self.pending = True
        else:
            self.end()

    def end(self):
        if self.after is not None and self.dies_at is None:
            self.dies_at = self.machine.now + self.after


class FakeHandle:
    def __init__(self, machine, process):
        self.machine = machine
        self.process = process
        self.closed = False

    def send(self, signum):
        assert not self.closed
        if self.process.gone:
            return False
        if self.process.denied:
            raise PermissionError
        self.machine.sent.append((self.process.identity.pid, signal.Signals(signum).name))
        self.process.receive(signum)
        return True

    def is_gone(self):
        assert not self.closed
        return self.process.gone

    def fileno(self):
        return None

    def close(self):
        self.closed = True


class Machine:
    """The processes, the clock, and everything that was sent; also the `ProcessControl` to stop them with."""

    def __init__(self):
        self.now = 100.0
        self.processes = {}
        self.sent = []
        self.handles = []
        self.waits = []

    def start(self, pid, **behaviour):
        self.processes[pid] = FakeProcess(self, pid, **behaviour)
        return self.processes[pid]

    def clock(self):
        return self.now

    def open(self, identity):
        process = self.processes.get(identity.pid)
        if process is None or process.identity != identity:
            return None
        self.handles.append(FakeHandle(self, process))
        return self.handles[-1]

    def plan(self, *pids):
        """Return the plan over these pids, as they are now or would have been."""
        return KillPlan(steps=tuple(self.step(pid) for pid in pids))

    def step(self, pid):
        process = self.processes.get(pid)
        identity = ProcessIdentity(pid, pid * 10) if process is None else process.identity
        return Classified(ProcessRecord(identity=identity), Verdict.STOP, "test", "planned by a test")

    def rescan(self):
        """Return the plan over everybody who lives."""
        return self.plan(*(pid for pid, process in self.processes.items() if not process.gone))

    def drive(self, stopping, *, on_wait=None):
        """Resume when a process is due to die or the time has come, as a real driver would."""
        try:
            wait = next(stopping)
            while True:
                self.waits.append(wait)
                due = [process.dies_at for process in self.processes.values() if process.dies_at is not None]
                due = [moment for moment in due if self.now < moment < wait.until]
                self.now = max(self.now, min([wait.until, *due]))
                if on_wait is not None:
                    on_wait()
                wait = stopping.send(None)
        except StopIteration as finished:
            return finished.value

    def signals_of(self, pid):
        return [name for target, name in self.sent if target == pid]
