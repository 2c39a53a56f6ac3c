"""The commands of the README and of CONTRIBUTING are tests: what a reader copies is what ran here.

Every block fenced as ```sh or ```python has one of these lines above it, and one without any is a failure:

    <!-- test -->                runs in the quick suite
    <!-- slow -->                runs under `make test-all`
    <!-- file: NAME -->          is written to NAME, for the blocks after it
    <!-- not run: the reason --> is not run

The blocks of a page share one empty folder and run from top to bottom, so that one may use what an earlier one made;
the quick suite leaves the slow ones out. Each is a process: a shell that stops at the first failure, or a Python.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md")
FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\w*)[^`\n]*\n(?P<code>.*?)^ *(?P=fence)`*\s*$", re.M | re.S
)
MARK = re.compile(r"<!-- (test|slow|file: (\S+)|not run: \S[^>]*) -->\s*\Z")
LINK = re.compile(r"\]\(([^)\s]+)\)|<img[^>]*\ssrc=\"([^\"]+)\"")
OTHER_NAMES = {
    "bash": "sh",
    "shell": "sh",
    "console": "sh",
    "zsh": "sh",
    "py": "python",
    "python3": "python",
    "pycon": "python",
}


@dataclass(frozen=True)
class Block:
    language: str
    mark: str
    file: str | None
    code: str
    line: int


def read_blocks(text: str) -> list[Block]:
    """The blocks of a page that are to run or to be written, in order.

    Raises:
        ValueError: a block of commands has no mark, or hides under another name of its language.
    """
    blocks = []
    for fence in FENCE.finditer(text):
        language, line = fence["language"], text.count("\n", 0, fence.start()) + 1
        if language in OTHER_NAMES:
            raise ValueError(f"line {line}: a block is fenced as {language}, expected {OTHER_NAMES[language]}")
        mark = MARK.search(text[: fence.start()])
        if mark is None and language in ("sh", "python"):
            marks = "<!-- test -->, <!-- slow -->, <!-- file: NAME --> or <!-- not run: why -->"
            raise ValueError(f"line {line}: the {language} block has none of {marks} above it")
        if mark is not None and not mark[1].startswith("not run"):
            code = re.sub(f"^{fence['indent']}", "", fence["code"], flags=re.M)
            blocks.append(Block(language, mark[1], mark[2], code, line))
    return blocks


def run_blocks(blocks: list[Block], folder: Path) -> None:
    """Runs them from top to bottom in one folder, and stops at the first that fails with all it said."""
    beside = str(Path(sys.executable).parent)  # where the command `pushforward` of this environment lies
    environment = os.environ | {"PATH": os.pathsep.join([beside, os.environ.get("PATH", "")])}
    programs = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    for block in blocks:
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
            continue
        command = [*programs[block.language], block.code]
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, (
            f"the {block.language} block at line {block.line} ended with {done.returncode}:\n"
            f"{block.code}\n{done.stdout}{done.stderr}"
        )


@pytest.mark.parametrize("page", PAGES)
def test_the_quick_blocks_run(page: str, tmp_path: Path):
    blocks = [b for b in read_blocks((REPOSITORY / page).read_text(encoding="utf-8")) if b.mark != "slow"]
    assert "test" in [block.mark for block in blocks], f"{page} has no block marked <!-- test -->"
    run_blocks(blocks, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_all_blocks_run(page: str, tmp_path: Path):
    run_blocks(read_blocks((REPOSITORY / page).read_text(encoding="utf-8")), tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_shows_are_there(page: str):
    prose = FENCE.sub("", (REPOSITORY / page).read_text(encoding="utf-8"))
    targets = [a or b for a, b in LINK.findall(prose)]
    files = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [file for file in files if not (REPOSITORY / file).exists()] == []


# --- the reader above can fail -------------------------------------------------------------------------------------

PAGE = """\
# Title

<!-- test -->
```sh
echo 3 > three.txt
```

```text
$ output, which is not run
```

<!-- file: numbers/four.txt -->
```text
4
```

1. In a list:

   <!-- slow -->

   ```python
   from pathlib import Path
   assert Path("three.txt").read_text() == "3\\n"
   assert Path("numbers/four.txt").read_text() == "4\\n"
   ```

<!-- not run: it needs a network -->
```sh
false
```
"""


def test_blocks_are_read_in_order_and_without_their_indent():
    text, file, python = read_blocks(PAGE)
    assert text == Block("sh", "test", None, "echo 3 > three.txt\n", 4)
    assert file == Block("text", "file: numbers/four.txt", "numbers/four.txt", "4\n", 13)
    assert (python.mark, python.line) == ("slow", 21)
    assert python.code.splitlines()[0] == "from pathlib import Path"


def test_blocks_share_a_folder(tmp_path: Path):
    run_blocks(read_blocks(PAGE), tmp_path)
    assert (tmp_path / "three.txt").exists()


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```sh\ntrue\n```\n", "line 1: the sh block has none of <!-- test -->"),
        ("a\n<!-- test -->\nb\n```python\n1\n```\n", "line 4: the python block has none"),
        ("<!-- not run: -->\n```sh\ntrue\n```\n", "line 2: the sh block has none"),
        ("<!-- test -->\n```sh\ntrue\n```\n```sh\ntrue\n```\n", "line 5: the sh block has none"),
        ("<!-- test -->\n```bash\ntrue\n```\n", "line 2: a block is fenced as bash"),
    ],
)
def test_no_block_is_skipped_silently(page: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_blocks(page)


@pytest.mark.parametrize("code", ["sh\nfalse\ntrue", "sh\nfalse | true", "sh\necho $unset", "python\nassert 1 == 2"])
def test_a_failing_block_fails(code: str, tmp_path: Path):
    with pytest.raises(AssertionError, match="block at line 3 ended with"):
        run_blocks(read_blocks(f"\n<!-- test -->\n```{code}\n```\n"), tmp_path)
