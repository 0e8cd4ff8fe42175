"""What is not needed by everybody is loaded when it is first used: so importing tinygrad_edu stays quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from tinygrad_edu.porting import missing


def late(
    owner: str, contents: Mapping[str, Iterable[str]], hints: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """The `__getattr__` of the module `owner`: `contents` says which names come from which module.

    What comes from `owner` itself are its modules.  Python asks only for what is not there yet; from then on the name
    is an attribute like any other.
    """
    homes = {name: module for module, names in contents.items() for name in names}

    def find(name: str) -> Any:
        if name not in homes:
            raise missing(owner, name, hints or {})
        home = homes[name]
        value = import_module(f"{owner}.{name}") if home == owner else getattr(import_module(home), name)
        setattr(sys.modules[owner], name, value)
        return value

    return find
