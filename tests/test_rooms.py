"""The rooms of the package: who may import whom, and what may be heavy (design, section 4).

Imports inside functions and for type checkers count for the direction. For the weight a module
counts with everything that it imports when it is imported itself.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ssl_ood.declarations import DECLARING

ROOT = Path(__file__).parents[1] / "workflow"
ROOMS = {
    "common": 1, "datasets": 2, "views": 3, "measures": 3, "methods": 4, "study": 5,
    "training": 6, "evaluation": 7, "report": 8, "cli": 9, "__main__": 9, "declarations": 9,
    "manual": 9,
}  # fmt: skip
# Rooms of which neither may import the other, whatever their numbers.
APART = [{"training", "evaluation"}, {"views", "measures", "datasets"}]
HEAVY = {"torch", "torchvision", "timm", "pandas", "matplotlib", "seaborn", "sklearn", "snakemake"}
# What is not mended yet. Both lists may only shrink.
UPWARD: set[tuple[str, str]] = set()
CIRCLES: set[str] = set()


def modules() -> dict[str, Path]:
    """The modules of the package by their name without `ssl_ood.`; a package is its __init__."""
    package = ROOT / "ssl_ood"
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    del found["__init__"]  # the version
    return found


MODULES = modules()


def imports(path: Path, *, at_import_only: bool = False) -> set[str]:
    """What a module imports: ours as in `modules`, others by the name of their package."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        later |= isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if later and at_import_only:
            return
        if isinstance(node, ast.ImportFrom):
            found.update(_named(node))
        elif isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found - {""}


def _named(node: ast.ImportFrom) -> set[str]:
    assert node.level == 0, "imports are absolute"
    head, _, rest = node.module.partition(".")
    if head != "ssl_ood":
        return {head}
    names = {f"{rest}.{alias.name}".lstrip(".") for alias in node.names}
    return {name if name in MODULES else rest for name in names}


EDGES = {name: imports(path) & MODULES.keys() for name, path in MODULES.items()}


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_is_in_a_room():
    assert {room(name) for name in MODULES} == ROOMS.keys()


def test_no_room_imports_one_above_it_or_one_that_it_is_apart_from():
    found = set()
    for module, others in EDGES.items():
        for other in others:
            here, there = room(module), room(other)
            apart = here != there and any({here, there} <= pair for pair in APART)
            if apart or ROOMS[there] > ROOMS[here]:
                found.add((module, other))
    assert found == UPWARD


def test_no_module_is_part_of_a_circle():
    reached: dict[str, set[str]] = {}
    for name in EDGES:
        seen, waiting = set(), list(EDGES[name])
        while waiting:
            other = waiting.pop()
            if other not in seen:
                seen.add(other)
                waiting += EDGES[other]
        reached[name] = seen
    assert {name for name in EDGES if name in reached[name]} == CIRCLES


# ---- weight


LIGHT = {
    *DECLARING,
    *(f"ssl_ood.{name}" for name in MODULES if room(name) in ("common", "study")),
    *(f"ssl_ood.datasets.{name}" for name in ("names", "catalogue", "weights", "places")),
} - {"ssl_ood.common.distributed", "ssl_ood.common.devices"}


def imported_with(module: str) -> set[str]:
    """Everything that is imported when a module of ours is, ours and others'."""
    seen: set[str] = set()
    waiting = [module.removeprefix("ssl_ood.")]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            if name in MODULES:
                waiting += imports(MODULES[name], at_import_only=True)
    return seen


@pytest.mark.parametrize("module", sorted(LIGHT))
def test_planning_and_declaring_import_nothing_heavy(module):
    assert imported_with(module) & HEAVY == set()
