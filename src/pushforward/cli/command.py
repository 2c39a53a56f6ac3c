"""``pushforward VERB ...``: find the verb, run it, and turn what a user can cause into one sentence and a status."""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from pushforward.core.errors import InputError

__all__ = ["VERBS", "main"]

#: Where the function of each verb is; only that of the chosen one is imported.
VERBS = {
    "fit": "pushforward.cli.fit:fit_command",
    "sample": "pushforward.cli.sample:sample_command",
    "evaluate": "pushforward.cli.evaluate:evaluate_command",
    "check": "pushforward.cli.check:check_command",
    "compare": "pushforward.cli.compare:compare_command",
    "latent": "pushforward.cli.latent:latent_command",
    "anomalies": "pushforward.cli.anomalies:anomalies_command",
    "denoise": "pushforward.cli.denoise:denoise_command",
    "compress": "pushforward.cli.compress:compress_command",
    "decompress": "pushforward.cli.compress:decompress_command",
    "book": "pushforward.cli.book:book_command",
    "models": "pushforward.cli.command:models_command",
    "datasets": "pushforward.cli.command:datasets_command",
    "completion": "pushforward.cli.completion:completion_command",
}

USAGE = """\
usage: pushforward VERB [ARGUMENTS]

Fit any family of generative model to your data, sample it, measure it, and compare it with the others.

  fit MODEL --data DATA     learn: vae, realnvp, gan, ddpm, gpt, mixture, ... on a name, file or folder
  fit --resume RUN          go on with a run that was stopped
  sample RUN -n 64          draw new examples; --out FILE.png .npy .csv .txt, --prompt TEXT
  sample RUN --given CSV    fill the empty cells of a table with draws
  evaluate RUN              likelihood, distances, coverage, memorisation, costs; --data FILE --per-example CSV
  check RUN                 does its maths hold? Exit status 1 if a property fails
  compare MODEL ...         the same data, time and seeds for several models, in one report; --data DATA --out DIR
  latent RUN                a tour of the codes of a model that has them
  anomalies RUN --data DIR  the examples it finds strange, the strangest first, and a threshold
  denoise RUN --data DIR    examples without their noise; --out DIR
  compress RUN PICTURES     losslessly (a vqvae: with loss), in the bytes it needs; --out FILE.pfz
  decompress FILE --run RUN and back; --out DIR
  book [CHAPTER]            the chapters of the book; run one, or copy it to change its numbers
  models                    the models there are
  datasets                  the data sets that have a name
  completion bash|zsh       print a script that completes these commands in your shell

pushforward VERB --help tells more; every field of a model is a flag, such as --model.latent-dim 32.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: done. 1: the computation failed (a diverging loss), or a property does not hold. 2: an argument or file cannot
    be used. 130: stopped.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(arguments)
    except InputError as error:
        print(f"pushforward: {error}", file=sys.stderr)
        return 2
    except ArithmeticError as error:
        print(f"pushforward: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"pushforward: {stop or 'stopped'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone, as in `pushforward models | head -1`
        sys.stderr.close()
        return 0
    except SystemExit as end:  # --help
        return int(end.code or 0)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"pushforward {version('pushforward')}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"verb: there is no {verb!r}{hint}, expected one of {', '.join(VERBS)}")
    module, _, function = VERBS[verb].partition(":")
    return getattr(import_module(module), function)(rest)


def models_command(rest: list[str]) -> int:
    """List the models."""
    from pushforward.zoo import models

    _nothing_more("models", rest)
    for entry in models():
        print(f"{entry.name:<12} {entry.family:<14} {entry.summary}")
    return 0


def datasets_command(rest: list[str]) -> int:
    """List the data sets that have a name."""
    from pushforward.datasets.catalogue import datasets_available

    _nothing_more("datasets", rest)
    for entry in datasets_available():
        print(f"{entry.name:<16} {entry.modality:<7} {entry.line} ({entry.where})")
    return 0


def _nothing_more(verb: str, rest: list[str]) -> None:
    if rest and rest[0] not in ("-h", "--help"):
        raise InputError(f"{rest[0]}: is not an argument of pushforward {verb}, which takes none")
