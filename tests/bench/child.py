"""What only a process of its own can tell: the peak of its memory.

`python -m tests.bench.child WHAT FILE NAME` prints a number about the system NAME of systems/FILE.py: `peak`, the bytes
of the process after some steps of (c), imports included; `arrays`, the peak of what tracemalloc saw of them; `nodes`,
bytes for each node of (e).
"""

from __future__ import annotations

import gc
import resource
import sys
import tracemalloc

from tests.bench.systems import Step, systems_of
from tests.bench.systems.hand import copies
from tests.bench.workloads import WORKLOADS

STEPS = 8


def step_of(key: str, file: str, name: str) -> Step:
    """A step of a workload, ready to run."""
    system = next(s for s in copies()[:1] + systems_of(file) if s.name == name)
    system.prepare()
    return system.steps[key](WORKLOADS[key]())


def peak(file: str, name: str) -> float:
    step = step_of("c", file, name)
    for _ in range(STEPS):
        step.run()
    try:  # getrusage would tell the peak of the parent, if that was higher when it started this process
        with open("/proc/self/status", encoding="utf-8") as status:
            return 1024.0 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def arrays(file: str, name: str) -> float:
    step_of("c", file, name).run()  # so that its imports are done
    gc.collect()
    tracemalloc.start()
    step = step_of("c", file, name)
    for _ in range(STEPS):
        step.run()
    return float(tracemalloc.get_traced_memory()[1])


def nodes(file: str, name: str) -> float:
    """At the peak of a step: the graph, and what the sweep adds."""
    step = step_of("e", file, name)
    step.run()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    step.run()
    return (tracemalloc.get_traced_memory()[1] - before) / WORKLOADS["e"]().nodes


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    print({"peak": peak, "arrays": arrays, "nodes": nodes}[what](*words))
