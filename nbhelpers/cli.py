"""The command line. Errors are one line on stderr: exit code 2 for bad input, 1 for a run that failed."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from typing import Any

from nbhelpers import __version__, cli_models, light
from nbhelpers.errors import InputError, OneLine

GOES_ON = "what is done is recorded, and the same command goes on from there"


def main(words: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(words)
    # A polite end, so that kernel and workers are ended too: SIGTERM's default would leave them behind.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        with light.uninterrupted():
            import pydantic  # noqa: F401 (every command needs it)
        return options.command(options)
    except OneLine as error:
        return _fail(options, error, 2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        print(f"interrupted; {GOES_ON}", file=sys.stderr)
        return 130
    except OSError as error:
        return _fail(options, error, 1)


def _terminated(*_: Any) -> None:
    print(f"terminated; {GOES_ON}", file=sys.stderr)
    sys.exit(143)


def _fail(options: argparse.Namespace, error: BaseException, code: int) -> int:
    if options.debug:
        raise error
    print(f"nbhelpers: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nbhelpers", description="Reproducible deep-learning studies.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute notebooks with a parameter set")
    run.add_argument("notebook", nargs="*", help="names of studies; all where none is given")
    run.add_argument("--set", default="demo", metavar="NAME|FILE", help="parameter set (default: demo)")
    run.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="change one parameter")
    run.add_argument("--workers", type=int, metavar="N", help="processes; 0: one per CPU core")
    run.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster: local, auto, HOST:PORT or ray://HOST:PORT")
    run.add_argument("--results", metavar="DIR", help="results folder")
    again = {"action": "store_const", "dest": "fresh", "default": ""}
    run.add_argument("--fresh", const="all", help="do recorded runs again", **again)
    run.add_argument("--with-probes", const="probes", help="do recorded runs again that lack a measurement", **again)
    run.add_argument("--recorded", action="store_true", help="only show what is recorded: train and download nothing")
    run.set_defaults(command=_run)

    listing = commands.add_parser("list", help="what is recorded, what is missing")
    listing.add_argument("--results", default="", metavar="DIR", help="results folder")
    listing.set_defaults(command=_list)

    report = commands.add_parser("report", help="all results as one page, without network: results/index.html")
    report.add_argument("--results", default="", metavar="DIR", help="results folder")
    port = {"nargs": "?", "type": int, "const": 0, "metavar": "PORT"}
    report.add_argument("--serve", **port, help="then serve it to this machine alone (default: a free port)")
    report.set_defaults(command=_report)

    new = commands.add_parser("new", help="begin a study of one's own: notebook and parameter sets")
    new.add_argument("name", help="of the study, such as Dropout_Rates")
    new.set_defaults(command=_new)

    data = commands.add_parser("data", help="fetch and prepare data sets ahead of time")
    data.add_argument("name", nargs="+", help="names of data sets, or folder:PATH")
    data.set_defaults(command=_data)

    verify = commands.add_parser("verify", help="derive verdicts and do runs again from the records, and compare")
    verify.add_argument("results", nargs="+", metavar="DIR", help="folders of sets: results/STUDY/SET")
    doing_again = "do so many runs of each again: those of this hardware, then the cheapest (default: 3)"
    verify.add_argument("--runs", type=int, default=3, metavar="N", help=doing_again)
    verify.add_argument("--epochs", type=int, metavar="K", help="only the first K epochs of each")
    verify.set_defaults(command=_verify)

    cli_models.add(commands, _param)
    return parser


def _run(options: argparse.Namespace) -> int:
    from nbhelpers import papermill_run, parameters

    # An interrupt leaves a task of nbclient behind, which asyncio would report with a long traceback.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    changes = dict(_param(text) for text in options.param)
    changes |= {"workers": options.workers} if options.workers is not None else {}
    changes |= {"ray": options.ray} if options.ray is not None else {}
    changes |= {"results": options.results} if options.results else {}
    changes |= {"train": False} if options.recorded else {}
    studies = options.notebook or parameters.studies()
    for study in studies:  # all are checked before the first is run
        papermill_run.notebook(study)
        parameters.check(study, {**parameters.load(study, options.set), **changes}, parameters.load(study, "demo"))
    made = []
    for study in studies:
        made.append(papermill_run.run(study, options.set, changes, fresh=options.fresh))
    print("\nOpen:")
    for path in made:
        print(f"  {os.path.relpath(path)}")
        print(f"  {os.path.relpath(path.parent)}{os.sep}*.png")
    return 0


def _param(text: str) -> tuple[str, Any]:
    import yaml

    from nbhelpers.parameters import Loader

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"--param: {text!r}: must be NAME=VALUE")
    if name == "parameter_set":
        raise InputError(f"--param: {text!r}: a set is chosen with --set {value}")
    try:
        parsed = yaml.load(value, Loader)
    except yaml.YAMLError:
        raise InputError(f"--param: {text!r}: the value is no YAML") from None
    if parsed is None:
        raise InputError(f"--param: {text!r}: the value is missing")
    return name, parsed


def _list(options: argparse.Namespace) -> int:
    from nbhelpers import listing

    print(listing.text(options.results))
    return 0


def _report(options: argparse.Namespace) -> int:
    from nbhelpers import report

    index = report.build(options.results)
    print(f"Open:\n  {os.path.relpath(index)}")
    if options.serve is not None:
        from nbhelpers.report.serve import serve

        serve(index.parent, options.serve)
    return 0


def _new(options: argparse.Namespace) -> int:
    from nbhelpers import new

    made = new.create(options.name)
    print("\n  ".join(["Made, to be edited:", *map(os.path.relpath, made)]))
    print(f"nbhelpers run {options.name}  # runs it, as it is already")
    return 0


def _data(options: argparse.Namespace) -> int:
    from nbhelpers import data

    for name in options.name:
        data.prepare(name)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from pathlib import Path

    from nbhelpers import verify

    wrong = 0
    for folder in options.results:
        print(f"{folder}:")
        found = verify.verify(Path(folder), options.runs, options.epochs, lambda line: print(f"  {line}", flush=True))
        wrong += sum(bool(finding.wrong) for finding in found)
    print(f"findings: {wrong}" if wrong else "all as recorded")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
