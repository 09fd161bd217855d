"""The programs that measure devrun; none of them is a test.

Each runs by itself, `python -m benchmarks.NAME`, says in its docstring what it measures and how, and
takes `--help`.  They want a quiet machine.

beside other programs   startup, stop, idle, log_throughput, guard, snapshot
alone                   decide, ports_scale
promises                leaks (what launchers leave), chaos (random events), ports_race, ports_kill
"""
