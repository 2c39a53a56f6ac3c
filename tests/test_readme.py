"""The commands of the README are tests: what a reader copies is what ran here.

Every block fenced as ```sh or ```python has one of these lines above it, and one without any is a failure:

    <!-- test -->                runs in the quick suite
    <!-- slow -->                runs under `make test-all`
    <!-- not run: the reason --> is not run

The blocks share one empty folder and run from top to bottom, so that one may use what an earlier one made; the quick
suite runs the quick ones alone. Each is a process of its own: a shell that stops at the first failure, or a Python.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

README = Path(__file__).parents[1] / "README.md"
FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*(\w*)[^\n]*\n(.*?)^ *\2`*~*\s*$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (test|slow|not run: \S.*?) -->\s*\Z")
LINK = re.compile(r"\]\(([^)\s]+)\)|<img[^>]*\ssrc=\"([^\"]+)\"")


@dataclass(frozen=True)
class Block:
    language: Literal["sh", "python"]
    speed: Literal["test", "slow"]
    code: str
    line: int


def read_blocks(text: str) -> list[Block]:
    """The blocks of a page that are to run, in order.

    Raises:
        ValueError: a ```sh or ```python block has no mark, in the words of which line.
    """
    blocks = []
    for fence in FENCE.finditer(text):
        indent, _, language, code = fence.groups()
        line = text.count("\n", 0, fence.start()) + 1
        if language in ("bash", "shell", "console", "py", "pycon"):
            raise ValueError(f"line {line}: a block is fenced as {language}, where ```sh or ```python is read")
        if language not in ("sh", "python"):
            continue
        mark = MARK.search(text[: fence.start()])
        if mark is None:
            raise ValueError(
                f"line {line}: the ```{language} block has no <!-- test -->, <!-- slow --> or <!-- not run: why -->"
            )
        if mark[1] in ("test", "slow"):
            blocks.append(Block(language, mark[1], re.sub(f"^{indent}", "", code, flags=re.MULTILINE), line))
    return blocks


def run_blocks(blocks: list[Block], folder: Path) -> None:
    """Runs them from top to bottom in one folder, and stops at the first that fails with all it said."""
    beside = str(Path(sys.executable).parent)  # where the command `pushforward` of this environment lies
    environment = os.environ | {"PATH": os.pathsep.join([beside, os.environ.get("PATH", "")])}
    for block in blocks:
        command = ["bash", "-euo", "pipefail", "-c"] if block.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, block.code],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (
            f"the {block.language} block at line {block.line} ended with {done.returncode}:\n"
            f"{block.code}\n{done.stdout}{done.stderr}"
        )


def test_the_quick_blocks_of_the_readme_run(tmp_path: Path):
    blocks = [block for block in read_blocks(README.read_text(encoding="utf-8")) if block.speed == "test"]
    assert blocks, "the README has no block marked <!-- test -->"
    run_blocks(blocks, tmp_path)


@pytest.mark.slow
def test_all_blocks_of_the_readme_run(tmp_path: Path):
    run_blocks(read_blocks(README.read_text(encoding="utf-8")), tmp_path)


def test_files_that_the_readme_shows_are_there():
    targets = [a or b for a, b in LINK.findall(README.read_text(encoding="utf-8"))]
    files = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [file for file in files if not (README.parent / file).exists()] == []


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

1. In a list:

   <!-- slow -->

   ```python
   from pathlib import Path
   assert Path("three.txt").read_text() == "3\\n"
   ```

<!-- not run: it needs a network -->
```sh
false
```
"""


def test_blocks_are_read_in_order_and_without_their_indent():
    code = 'from pathlib import Path\nassert Path("three.txt").read_text() == "3\\n"\n'
    assert read_blocks(PAGE) == [
        Block("sh", "test", "echo 3 > three.txt\n", 4),
        Block("python", "slow", code, 16),
    ]


def test_blocks_share_a_folder(tmp_path: Path):
    run_blocks(read_blocks(PAGE), tmp_path)
    assert (tmp_path / "three.txt").exists()


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```sh\ntrue\n```\n", "line 1: the ```sh block has no <!-- test -->"),
        ("a\n<!-- test -->\nb\n```python\n1\n```\n", "line 4: the ```python block has no"),
        ("<!-- not run: -->\n```sh\ntrue\n```\n", "line 2: the ```sh block has no"),
        ("<!-- test -->\n```sh\ntrue\n```\n```sh\ntrue\n```\n", "line 5: the ```sh block has no"),
        ("<!-- test -->\n```bash\ntrue\n```\n", "line 2: a block is fenced as bash"),
    ],
)
def test_no_block_is_skipped_silently(page: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_blocks(page)


@pytest.mark.parametrize("code", ["sh\nfalse\ntrue", "sh\nfalse | true", "sh\necho $unset", "python\nassert 1 == 2"])
def test_a_failing_block_fails(code: str, tmp_path: Path):
    with pytest.raises(AssertionError, match="block at line 3 ended with 1"):
        run_blocks(read_blocks(f"\n<!-- test -->\n```{code}\n```\n"), tmp_path)
