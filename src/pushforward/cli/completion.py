"""Completion in the shell: the shell hands over the words typed so far and is given what may come next.

Only names and sources are read, so an answer takes about as long as starting Python.
"""

import ast
import re
from pathlib import Path

from pushforward.core.errors import InputError

__all__ = ["candidates", "completion_command"]

BASH = """\
_pushforward() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(pushforward completion -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- \\
        "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _pushforward pushforward
"""


def completion_command(rest: list[str]) -> int:
    """Print the script for a shell, or (after ``--``) what may follow the words given.

    Raises:
        InputError: for a shell there is no script for.
    """
    if rest and rest[0] == "--":
        print("\n".join(candidates(rest[1:])))
        return 0
    match rest:
        case ["bash"]:
            print(BASH, end="")
        case ["zsh"]:
            print("autoload -U +X bashcompinit && bashcompinit\n" + BASH, end="")
        case _:
            raise InputError(f"completion: got {' '.join(rest) or 'nothing'}, expected bash or zsh")
    return 0


def candidates(words: list[str]) -> list[str]:
    """What may stand in place of the last word.

    Example:
        >>> candidates(["fi"])[:2], "vae" in candidates(["fit", ""])
        (['fit', 'sample'], True)
    """
    from pushforward.cli.command import VERBS
    from pushforward.zoo import models

    if len(words) <= 1:
        return list(VERBS)
    verb, before = words[0], words[-2]
    names = [entry.name for entry in models()]
    if verb in ("fit", "compare") and before == "--data":
        from pushforward.datasets.catalogue import datasets_available

        return [entry.name for entry in datasets_available()]
    if verb == "fit" and len(words) == 2:
        return [*names, "--resume"]
    if verb == "fit":
        package = Path(__file__).parent.parent
        flags = [*_fields(package / "cli/fit.py", "Fit"), *_fields(package / "training/settings.py", "Settings")]
        for entry in models():
            if entry.name == words[1]:
                source = package.parent / (entry.module.replace(".", "/") + ".py")
                flags += [f"model.{name}" for name in _fields(source, entry.cls)]
        return [f"--{flag.replace('_', '-')}" for flag in flags if flag != "settings"]
    if verb == "compare" and not words[-1].startswith("-"):
        return names
    if verb == "book" and len(words) == 2:
        from pushforward.cli.book import chapters

        return [entry.name for entry in chapters()]
    if verb in VERBS and verb not in ("models", "datasets", "completion") and len(words) > 2:
        source = Path(__file__).parent / f"{VERBS[verb].partition(':')[0].rpartition('.')[2]}.py"
        fields = _fields(source, verb.capitalize())
        return [f"--{name.replace('_', '-')}" for name in fields]
    return ["bash", "zsh"] if verb == "completion" else []


def _fields(source: Path, cls: str) -> list[str]:
    """The annotated names in the body of a class, class variables left out, without importing it."""
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == cls:
            fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
            named = [ast.unparse(n.target) for n in fields if not re.match("ClassVar", ast.unparse(n.annotation))]
            return named
    return []
