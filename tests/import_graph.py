"""The import graph of our packages, and its size.

python -m tests.import_graph [ROOT]  # counts modules, packages, imports and circles of a checkout
"""

import ast
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = (
    "client/mien",
    "models/mien_models",
    "models/mien_training",
    "orchestrator/mien_orchestrator",
    "workers/mien_workers",
)

Graph = Mapping[str, Set[str]]
"""The names that each name imports."""


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return every module by its dotted name, generated stubs included; a package is its `__init__`."""
    found = {}
    for source in SOURCES:
        for path in sorted((root / source).rglob("*.py")):
            parts = path.relative_to((root / source).parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: Set[str]) -> Iterator[tuple[str, bool]]:
    """Yield the modules that a file imports, at its top or inside a function, and whether only type checkers do."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in known else node.module), node in typing_only


def module_graph(found: Mapping[str, Path]) -> Graph:
    """Return the imports between modules at run time."""
    return {
        name: {target for target, typing_only in imports(path, found.keys()) if target in found and not typing_only}
        - {name}
        for name, path in found.items()
    }


def package_graph(graph: Graph, found: Mapping[str, Path]) -> Graph:
    """Return the imports between packages: the folders of the modules."""
    package = {
        name: name if path.name == "__init__.py" else name.rpartition(".")[0] or name for name, path in found.items()
    }
    result: dict[str, set[str]] = {name: set() for name in package.values()}
    for name, targets in graph.items():
        result[package[name]] |= {package[target] for target in targets} - {package[name]}
    return result


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of names that import each other, directly or through others."""
    reached = {name: _reached(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return [list(group) for group in sorted(groups)]


def _reached(graph: Graph, start: str) -> set[str]:
    reached: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(graph[name])
    return reached


def main(root: Path) -> None:
    """Print the size of the graph, without generated stubs."""
    found = {name: path for name, path in modules(root).items() if "_pb2" not in name}
    graph = module_graph(found)
    packages = package_graph(graph, found)
    sizes = {package: sum(path.parent == found[package].parent for path in found.values()) for package in packages}
    largest = max(sizes, key=sizes.__getitem__)
    print(f"modules: {len(found)} in {len(packages)} packages, at most {sizes[largest]} in one ({largest})")
    print(f"imports between modules: {sum(map(len, graph.values()))}, circles: {len(circles(graph))}")
    print(f"imports between packages: {sum(map(len, packages.values()))}, circles: {len(circles(packages))}")
    for circle in circles(packages):
        print("  " + ", ".join(circle))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
