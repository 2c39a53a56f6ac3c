"""The architecture, held by reading the source with `ast`: nothing of pushforward is imported, nor is torch.

Every rule is a function from the house to its violations, each written `file:line: what is wrong`. The second half of
this file plants a violation of every rule in a small house and expects to see it reported.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = "pushforward"
FILE_LINES = 350  # what the most legible libraries of the field keep to; about six screens
FUNCTION_LINES = 60  # the aim is 45; beyond 60 a function is two
UNDOCUMENTED_LINES = 8  # what is no longer reads for itself
INHERITANCE = 4  # the contract, a capability, one that builds on it, the final model
DYNAMIC_IMPORTERS = {"importlib", "pkgutil", "runpy"}
SILENCERS = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:\s*\w*ignore|TODO|FIXME|XXX)", re.IGNORECASE)

Function = ast.FunctionDef | ast.AsyncFunctionDef
Rule = Callable[["House"], Iterator[str]]


# --- the house, as its source says it is ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """One file of the package; `name` is ("pushforward", "flows", "coupling"), without the `__init__` of a package."""

    path: Path
    name: tuple[str, ...]
    where: str  # the path as messages write it
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The second part of the name; empty for the `__init__` of the whole package, which stands on no floor."""
        return self.name[1] if len(self.name) > 1 else ""

    @property
    def package(self) -> tuple[str, ...]:
        return self.name if self.path.name == "__init__.py" else self.name[:-1]

    def at(self, line: int, message: str) -> str:
        return f"{self.where}:{line}: {message}"

    def imports(self) -> Iterator[tuple[int, str, str]]:
        """(line, local name, dotted target) of every import, wherever in the file it stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.asname or alias.name.partition(".")[0], alias.name
            elif isinstance(node, ast.ImportFrom):
                # One dot is the package of the file, every further dot its parent.
                base = list(self.package[: len(self.package) - node.level + 1]) if node.level else []
                base += node.module.split(".") if node.module else []
                for alias in node.names:
                    yield node.lineno, alias.asname or alias.name, ".".join([*base, alias.name])
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == PACKAGE:
                yield node.lineno, "", f"{PACKAGE}.{node.attr}"  # `pushforward.zoo`, after any import of the package

    def functions(self) -> Iterator[tuple[Function, str, bool]]:
        """(function, dotted name of what it stands in, is it public); what is nested in a function is part of it."""

        def visit(node: ast.AST, inside: str, public: bool) -> Iterator[tuple[Function, str, bool]]:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, Function):
                    shown = not child.name.startswith("_") or child.name in ("__init__", "__call__")
                    yield child, inside, public and shown
                elif isinstance(child, ast.ClassDef):
                    yield from visit(child, f"{inside}.{child.name}", public and not child.name.startswith("_"))
                else:
                    yield from visit(child, inside, public)

        return visit(self.tree, ".".join(self.name), True)

    def models(self) -> Iterator[ast.ClassDef]:
        return (node for node in self.tree.body if isinstance(node, ast.ClassDef) and is_model(node))


@dataclass(frozen=True)
class House:
    modules: tuple[Module, ...]
    floors: dict[str, int]
    tests: Path

    @classmethod
    def read(cls, root: Path) -> House:
        package = root / "src" / PACKAGE
        modules = []
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package.parent).with_suffix("").parts
            name = name[:-1] if name[-1] == "__init__" else name
            text = path.read_text(encoding="utf-8")
            where = path.relative_to(root).as_posix()
            modules.append(Module(path, name, where, text, ast.parse(text, filename=str(path))))
        return cls(tuple(modules), tomllib.loads((package / "floors.toml").read_text()), root / "tests")

    @cached_property
    def classes(self) -> dict[str, tuple[Module, ast.ClassDef]]:
        """Every top-level class by its dotted name."""
        nodes = ((module, node) for module in self.modules for node in module.tree.body)
        return {".".join([*m.name, n.name]): (m, n) for m, n in nodes if isinstance(n, ast.ClassDef)}

    @cached_property
    def aliases(self) -> dict[str, str]:
        """What each imported name stands for: `pushforward.flows.realnvp.Model` -> `pushforward.core.model.Model`."""
        named = ((m, local, target) for m in self.modules for _, local, target in m.imports() if local)
        # `import pushforward.core.noise` binds the first part alone.
        return {".".join([*m.name, n]): n if target.startswith(f"{n}.") else target for m, n, target in named}

    def bases(self, dotted: str) -> list[str]:
        """The bases of a class that are classes of this package, by dotted name, followed through re-exports."""
        module, node = self.classes[dotted]
        written = (ast.unparse(b.value if isinstance(b, ast.Subscript) else b) for b in node.bases)
        return [found for base in written if (found := self._resolve(".".join([*module.name, base])))]

    def _resolve(self, dotted: str) -> str | None:
        for _ in range(20):  # a re-export of a re-export is followed, a ring of them is not
            if dotted in self.classes:
                return dotted
            parts = dotted.split(".")
            heads = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
            head = next((head for head in heads if head in self.aliases), None)
            if head is None:
                return None
            dotted = self.aliases[head] + dotted[len(head) :]
        return None

    def documents(self, inside: str, function: Function) -> bool:
        """Whether the function has a docstring, or the class it stands in inherits one for it."""
        if ast.get_docstring(function):
            return True
        for base in self.bases(inside) if inside in self.classes else []:
            body = self.classes[base][1].body
            written = [n for n in body if isinstance(n, Function) and n.name == function.name]
            if any(self.documents(base, method) for method in written or [function]):
                return True
        return False

    def shows(self, package: tuple[str, ...], name: str) -> bool:
        """Whether the `__init__` of the package imports `name` out of the file `name`, or names it for later."""
        inside = ".".join([*package, name])
        for module in self.modules:
            if module.name == module.package == package:
                strings = (n.value for n in ast.walk(module.tree) if isinstance(n, ast.Constant))
                targets = {target for _, _, target in module.imports()}
                return name in strings or not targets.isdisjoint({f"{inside}.{name}", f"{inside}.*"})
        return False

    def chain(self, dotted: str, below: tuple[str, ...] = ()) -> list[str]:
        """The longest line of descent within the package, from the class up."""
        rest = [self.chain(base, (*below, dotted)) for base in self.bases(dotted) if base not in below]
        return [dotted, *max(rest, key=len, default=[])]


def is_model(node: ast.ClassDef) -> bool:
    """Whether `@model` or `@model(...)` stands over the class, by whatever path the decorator is reached."""
    calls = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return any(ast.unparse(d).rpartition(".")[2] == "model" for d in calls)


# --- the rules -----------------------------------------------------------------------------------------------------


def every_room_has_a_floor(house: House) -> Iterator[str]:
    for room in {m.room: m for m in reversed(house.modules) if m.room}.values():
        if room.room not in house.floors:
            yield room.at(1, f"the room {room.room} stands on no floor of floors.toml")


def imports_go_down(house: House) -> Iterator[str]:
    for module in house.modules:
        floor = house.floors.get(module.room)
        if floor is None:  # the root `__init__`, or a room that is reported above
            continue
        for line, _, target in module.imports():
            top, _, rest = target.partition(".")
            room = rest.partition(".")[0]
            if top != PACKAGE or room in (module.room, "__version__"):
                continue
            if not room:
                yield module.at(line, f"imports {target} as a whole, where a room is to be named")
            elif room not in house.floors:
                yield module.at(line, f"imports {target}, and {room} is no room of floors.toml")
            elif house.floors[room] >= floor:
                here = f"{module.room} (floor {floor})"
                yield module.at(line, f"{here} imports {target} (floor {house.floors[room]}), which is not below it")


def imports_are_written_out(house: House) -> Iterator[str]:
    """Below the zoo nothing imports by a computed name: the rule above would not see it."""
    for module in house.modules:
        if house.floors.get(module.room, house.floors["zoo"]) >= house.floors["zoo"]:
            continue
        found = {line: t for line, _, t in module.imports() if t.partition(".")[0] in DYNAMIC_IMPORTERS}
        for node in ast.walk(module.tree):
            if "__import__" in (getattr(node, "id", ""), getattr(node, "attr", "")):
                found[node.lineno] = "__import__"
        for line, target in found.items():
            yield module.at(line, f"{target} below the zoo: an import is written out where it can be read")


def files_and_functions_are_short(house: House) -> Iterator[str]:
    for module in house.modules:
        if (lines := len(module.text.splitlines())) > FILE_LINES:
            yield module.at(FILE_LINES + 1, f"the file has {lines} lines, more than {FILE_LINES}")
        for function, _, _ in module.functions():
            if (lines := function.end_lineno - function.lineno + 1) > FUNCTION_LINES:
                yield module.at(function.lineno, f"{function.name} has {lines} lines, more than {FUNCTION_LINES}")


def signatures_say_everything(house: House) -> Iterator[str]:
    for module in house.modules:
        for function, inside, public in module.functions():
            if not public:
                continue
            name, lines = function.name, function.end_lineno - function.lineno + 1
            if function.returns is None:
                yield module.at(function.lineno, f"{name} has no return annotation")
            if function.args.kwarg:
                yield module.at(
                    function.lineno, f"{name} takes **{function.args.kwarg.arg}, where a misspelt name hides"
                )
            if lines > UNDOCUMENTED_LINES and not name.startswith("_") and not house.documents(inside, function):
                yield module.at(
                    function.lineno, f"{name} has {lines} lines and no docstring, nor has a base one for it"
                )


def inheritance_is_shallow(house: House) -> Iterator[str]:
    for dotted, (module, node) in house.classes.items():
        if len(chain := house.chain(dotted)) > INHERITANCE:
            names = " < ".join(c.rpartition(".")[2] for c in chain)
            yield module.at(node.lineno, f"{names} is a chain of {len(chain)} classes, more than {INHERITANCE}")


def models_are_final(house: House) -> Iterator[str]:
    for dotted, (module, node) in house.classes.items():
        for base in house.bases(dotted):
            if is_model(house.classes[base][1]):
                name = base.rpartition(".")[2]
                yield module.at(node.lineno, f"{node.name} subclasses the model {name}: set a field of it, or wrap it")


def models_are_found_by_name(house: House) -> Iterator[str]:
    first: dict[str, str] = {}
    for module in house.modules:
        for node in module.models():
            name = node.name.lower()
            if name in first:
                yield module.at(node.lineno, f"the model name {name} is taken by {first[name]}")
            first.setdefault(name, f"{module.where}:{node.lineno}")
            if house.floors.get(module.room, 0) >= house.floors["training"]:
                yield module.at(node.lineno, f"the model {node.name} stands above the families, where no one finds it")


def models_have_tests(house: House) -> Iterator[str]:
    for module in house.modules:
        for node in module.models():
            test = house.tests.joinpath(*module.name[1:-1], f"test_{module.name[-1]}.py")
            if not test.is_file() or "def test_" not in test.read_text(encoding="utf-8"):
                path = test.relative_to(house.tests.parent).as_posix()
                yield module.at(node.lineno, f"the model {node.name} has no test in {path}")


def functions_are_not_submodules(house: House) -> Iterator[str]:
    """`from pushforward.core import model` must mean one thing.

    A function named as its own file is fine for as long as the `__init__` beside it does not show it: there the name is
    the file's.
    """
    packages: dict[tuple[str, ...], set[str]] = {}
    for module in house.modules:
        packages.setdefault(module.name[:-1], set()).add(module.name[-1])
    for module in house.modules:
        above = [module.package[:n] for n in range(1, len(module.package) + 1)]
        for node in module.tree.body:
            if isinstance(node, Function) and not node.name.startswith("_"):
                for package in above:
                    name = (*package, node.name)
                    own = name == module.name and module.package != name
                    if node.name in packages.get(package, ()) and (not own or house.shows(package, node.name)):
                        yield module.at(node.lineno, f"{node.name} is also the module {'.'.join(name)}")


def nothing_is_silenced_or_postponed(house: House) -> Iterator[str]:
    for module in house.modules:
        for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
            if token.type == tokenize.COMMENT and SILENCERS.search(token.string):
                yield module.at(token.start[0], f"the comment {token.string!r} silences a check or puts off a task")


RULES: tuple[Rule, ...] = (
    every_room_has_a_floor,
    imports_go_down,
    imports_are_written_out,
    files_and_functions_are_short,
    signatures_say_everything,
    inheritance_is_shallow,
    models_are_final,
    models_are_found_by_name,
    models_have_tests,
    functions_are_not_submodules,
    nothing_is_silenced_or_postponed,
)


@pytest.fixture(scope="module")
def house() -> House:
    return House.read(REPOSITORY)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule, house: House):
    assert len(house.modules) > 1, "there is no source to read"
    violations = list(rule(house))
    assert not violations, "\n" + "\n".join(violations)


# --- the rules can fail --------------------------------------------------------------------------------------------

SOUND = {  # a house with every form that is allowed
    "__init__.py": "import importlib\n\n__version__ = '0'\n\n\ndef __getattr__(name):\n    from pushforward import zoo",
    "core/__init__.py": "from pushforward.core.model import Model",
    "core/model.py": "import torch\n\nclass Model(torch.nn.Module): ...\n\ndef model(cls: type) -> type: ...",
    "core/noise.py": """\
        class Noise:
            def draw(self) -> None:
                'What this does.'

        class HasDensity(Noise): ...
        """,
    "flows/__init__.py": "",
    "flows/parts.py": "def part() -> None: ...\n\ndef _helper(**kwargs): ...",
    "flows/realnvp.py": """\
        from typing import TYPE_CHECKING
        import pushforward.core.noise
        from pushforward.flows.parts import part
        from . import parts
        from ..core import Model, model
        if TYPE_CHECKING:
            from .. import core
        @model
        class RealNVP(Model, pushforward.core.noise.Noise):
            def draw(self) -> None:
                x = [
                    1,
                    2,
                    3,
                    4,
                    5,
                    6,
                ]
        """,
    "run.py": "from pushforward import __version__, zoo\n\ndef fit() -> None: ...",
    "training/fit.py": "def train() -> None: ...",
    "zoo.py": "import importlib\n\nfrom pushforward.flows import realnvp",
}


def build(root: Path, files: dict[str, str]) -> House:
    """Lays a house out under `root`, on the real floors, with a test for the one model of `SOUND`."""
    package = root / "src" / PACKAGE
    for name, source in (SOUND | files).items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    (package / "floors.toml").write_text((REPOSITORY / "src" / PACKAGE / "floors.toml").read_text())
    test = root / "tests" / "flows" / "test_realnvp.py"
    test.parent.mkdir(parents=True)
    test.write_text("def test_realnvp(): ...")
    return House.read(root)


def test_a_sound_house_is_left_alone(tmp_path: Path):
    sound = build(tmp_path, {})
    assert [violation for rule in RULES for violation in rule(sound)] == []


LONG_BODY = "\n".join(["    x = 1"] * 60)
PLANTED = {
    "unlisted room": ("attic/__init__.py", "", 1, "the room attic stands on no floor"),
    "unlisted file": ("attic.py", "", 1, "the room attic stands on no floor"),
    "import of a higher floor": (
        "flows/a.py",
        "import pushforward.training.fit",
        1,
        "(floor 5), which is not below it",
    ),
    "from-import of a sibling": (
        "flows/a.py",
        "\nfrom pushforward import gans",
        2,
        "imports pushforward.gans (floor 4)",
    ),
    "import of a name of a sibling": (
        "flows/a.py",
        "from pushforward.gans.gan import GAN",
        1,
        "pushforward.gans.gan.GAN",
    ),
    "relative import of a room": ("flows/a.py", "from .. import zoo", 1, "imports pushforward.zoo (floor 7)"),
    "relative import from a room": ("flows/a.py", "from ..gans.gan import GAN", 1, "imports pushforward.gans.gan.GAN"),
    "relative import in a file": ("plotting.py", "from .zoo import find", 1, "imports pushforward.zoo.find (floor 7)"),
    "relative import in a package": (
        "core/__init__.py",
        "from ..nn import mlp",
        1,
        "core (floor 0) imports pushforward.nn",
    ),
    "import in a function": (
        "flows/a.py",
        "def _f():\n    import pushforward.cli",
        2,
        "imports pushforward.cli (floor 11)",
    ),
    "import for type checking": (
        "core/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pushforward.nn import mlp",
        3,
        "imports pushforward.nn.mlp (floor 1)",
    ),
    "import of the whole": ("flows/a.py", "import pushforward as pf", 1, "imports pushforward as a whole"),
    "import of a public name": ("flows/a.py", "from pushforward import fit", 1, "fit is no room"),
    "import of everything": ("flows/a.py", "from pushforward import *", 1, "* is no room"),
    "attribute of the whole": (
        "flows/a.py",
        "import pushforward.core\nx = pushforward.zoo",
        2,
        "imports pushforward.zoo",
    ),
    "importlib": ("flows/a.py", "import importlib.util as u", 1, "importlib.util below the zoo"),
    "from importlib": (
        "flows/a.py",
        "def _f():\n    from importlib import import_module",
        2,
        "importlib.import_module",
    ),
    "__import__": ("training/a.py", "x = __import__('pushforward.zoo')", 1, "__import__ below the zoo"),
    "builtins.__import__": (
        "core/a.py",
        "import builtins\nx = builtins.__import__('os')",
        2,
        "__import__ below the zoo",
    ),
    "long file": ("flows/a.py", "x = 1\n" * 351, 351, "the file has 351 lines"),
    "long function": ("flows/a.py", f"def _f() -> None:\n{LONG_BODY}", 1, "_f has 61 lines"),
    "long method": (
        "flows/a.py",
        f"class A:\n    def _f(self) -> None:\n{LONG_BODY.replace('  x', '    x')}",
        2,
        "_f has 61",
    ),
    "no return annotation": ("flows/a.py", "class A:\n    def f(self): ...", 2, "f has no return annotation"),
    "no return annotation under if": (
        "flows/a.py",
        "if True:\n    async def f(): ...",
        2,
        "f has no return annotation",
    ),
    "**kwargs": ("flows/a.py", "def f(**extra: int) -> None: ...", 1, "f takes **extra"),
    "**kwargs of a constructor": ("flows/a.py", "class A:\n    def __init__(self, **k) -> None: ...", 2, "takes **k"),
    "no docstring": ("flows/a.py", "def f() -> None:\n" + "    x = 1\n" * 8, 1, "f has 9 lines and no docstring"),
    "deep inheritance": (
        "flows/a.py",
        "from pushforward.core import noise\nclass A(noise.HasDensity): ...\n\nclass B(A): ...\n\nclass C(B): ...",
        6,
        "C < B < A < HasDensity < Noise is a chain of 5 classes",
    ),
    "subclass of a model": (
        "flows/a.py",
        "from .realnvp import RealNVP as R\n\nclass A(R[int]): ...",
        3,
        "A subclasses the model RealNVP",
    ),
    "second model of a name": (
        "flows/realnvp.py",
        "from pushforward.core.model import model\n@model\nclass A: ...\n@model()\nclass a: ...",
        5,
        "the model name a is taken by src/pushforward/flows/realnvp.py:3",
    ),
    "model without a test": (
        "gans/gan.py",
        "@core.model\nclass GAN: ...",
        2,
        "GAN has no test in tests/gans/test_gan.py",
    ),
    "function named as a sibling": ("flows/a.py", "def parts() -> None: ...", 1, "the module pushforward.flows.parts"),
    "function named as a room": (
        "flows/a.py",
        "async def zoo() -> None: ...",
        1,
        "zoo is also the module pushforward.zoo",
    ),
    "noqa": ("flows/a.py", "x = 1\nimport os  # noqa: F401", 2, "the comment '# noqa: F401'"),
    "type: ignore": ("flows/a.py", "x: int = 'a'  # a word  #type:ignore", 1, "silences a check"),
    "to do": ("flows/a.py", "x = 1  # " + "TODO write it", 1, "puts off a task"),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_violation_is_reported(planted: tuple[str, str, int, str], tmp_path: Path):
    name, source, line, message = planted
    planted_house = build(tmp_path, {name: source})
    violations = [violation for rule in RULES for violation in rule(planted_house)]
    assert len(violations) == 1, violations
    assert violations[0].startswith(f"src/{PACKAGE}/{name}:{line}: ")
    assert message in violations[0]


def test_a_model_above_the_families_is_reported(tmp_path: Path):
    high = build(tmp_path, {"training/a.py": "@model\nclass A: ..."})
    assert [v for v in models_are_found_by_name(high)] == [
        "src/pushforward/training/a.py:2: the model A stands above the families, where no one finds it"
    ]


@pytest.mark.parametrize(
    "init", ["from .model import model", "from .model import *", "NAMES = {'model': 'core.model'}"]
)
def test_a_function_may_not_hide_its_own_file(init: str, tmp_path: Path):
    hiding = build(tmp_path, {"core/__init__.py": init})
    assert list(functions_are_not_submodules(hiding)) == [
        "src/pushforward/core/model.py:5: model is also the module pushforward.core.model"
    ]


def test_an_empty_test_file_is_no_test(tmp_path: Path):
    build(tmp_path, {})
    (tmp_path / "tests" / "flows" / "test_realnvp.py").write_text("# nothing yet")
    assert len(list(models_have_tests(House.read(tmp_path)))) == 1
