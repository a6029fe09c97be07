"""The imports of a package, read from its files: who imports whom, and what the rules of the house forbid."""

import ast
from pathlib import Path

SHARED = (
    "layers",
    "text",
    "vision",
    "classification",
    "regression",
    "tabular",
    "generation",
)  # folders for what two tasks or more share


def modules_of(root):
    """The modules of the package in `root` by name."""
    named = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        named[".".join(parts).removesuffix(".__init__")] = path
    return named


def imports_of(path, modules):
    """The modules of the package that a file imports, inside functions too, but not for type checkers alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    found &= set(modules)
    return found - {module for module in found if any(other.startswith(f"{module}.") for other in found)}


def graph_of(root):
    """Module to the modules that it imports."""
    modules = modules_of(root)
    return {name: imports_of(path, modules) for name, path in modules.items()}


def reached(graph, start):
    """All modules that a module draws in."""
    seen, left = set(), [start]
    while left:
        for module in graph[left.pop()] - seen:
            seen.add(module)
            left.append(module)
    return seen


def circles(graph):
    """The modules that draw in themselves."""
    return sorted(module for module in graph if module in reached(graph, module))


def task_of(module):
    """The task whose folder a module lies in, or ""."""
    parts = module.split(".")
    return parts[2] if len(parts) > 3 and parts[1] == "tasks" else ""


def crossings(graph):
    """Imports from one task's folder into another's, and from shared code into a task's."""
    return sorted(
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in others
        if task_of(other) and task_of(other) != task_of(module) and module.count(".")  # the package lists the tasks
    )


def misplaced(graph):
    """Modules of shared folders that one task alone uses."""
    users = {module: set() for module in graph}
    for module in graph:
        folder = module.split(".")[1] if "." in module else ""
        user = task_of(module) or ("" if folder in SHARED else "the core")
        for other in reached(graph, module) if user else ():
            users[other].add(user)
    return sorted(
        f"{module}: {', '.join(users[module]) or 'nobody'}"
        for module in graph
        if module.count(".") > 1 and module.split(".")[1] in SHARED and "the core" not in users[module]
        if len(users[module]) < 2
    )


def names_in(path):
    """All names that a file uses, but for type checkers alone."""
    tree = ast.parse(path.read_text())
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found | {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}


def columns_of_tasks(root):
    """The kinds of columns that tasks define."""
    kinds = set()
    for path in root.glob("tasks/*/*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and path.stem == "columns":
                kinds.add(node.name)
    return kinds


def named_in_shared_code(root):
    """Where shared code names a column of a task."""
    kinds = columns_of_tasks(root)
    return sorted(
        f"{module} names {', '.join(sorted(names_in(path) & kinds))}"
        for module, path in modules_of(root).items()
        if not task_of(module) and names_in(path) & kinds
    )


def unannotated(root):
    """Parameters without a type, of functions that are in no other; and how many there are with one."""
    without, typed = [], 0

    def visit(node, module):
        nonlocal typed
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                visit(child, module)
                continue
            given = child.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            for parameter in every:
                if parameter is None or parameter.arg in ("self", "cls"):
                    continue
                if parameter.annotation is None:
                    without.append(f"{module}: {child.name}({parameter.arg})")
                else:
                    typed += 1

    for module, path in modules_of(root).items():
        visit(ast.parse(path.read_text()), module)
    return without, typed


PACKAGE = Path(__file__).parents[2] / "dlkit"
