"""Finds the files of a package: a provider, a channel or a table exists the moment its file does."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def modules(package: ModuleType) -> list[ModuleType]:
    """Import and return every module of `package`, in name order."""
    return [import_module(f"{package.__name__}.{found.name}") for found in iter_modules(package.__path__)]
