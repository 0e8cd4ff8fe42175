"""The child process of the layout: `python wheel.py svg < graph.dot > graph.svg`, by the pygraphviz wheel.

It runs as a script and imports nothing of this package, so that it starts quickly and wherever the package lies.
"""

from __future__ import annotations

import sys

MISSING = 97  # what it answers if pygraphviz is not installed


def main() -> int:
    """Read a graph, lay it out, write the picture."""
    try:
        import pygraphviz
    except ImportError:
        return MISSING
    graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
    sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
