"""The command line of one net: train, evaluate, predict."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from nbhelpers.errors import InputError


def add(commands: Any, params: Any) -> None:
    """Add the three commands to an argparse subparsers object; `params` reads NAME=VALUE."""
    train = commands.add_parser("train", help="train one net and keep its weights")
    train.add_argument("--model", required=True, metavar="NAME", help="such as resnet50")
    train.add_argument(
        "--set", default="ran", metavar="NAME|FILE", help="parameter set of ResNet_CIFAR10 (default: ran)"
    )
    train.add_argument("--epochs", type=int, metavar="N", help="also the length of the schedule (default: the set's)")
    train.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="change one parameter")
    train.add_argument("--seed", type=int, default=0, metavar="N")
    train.add_argument("--checkpoints", default="checkpoints", metavar="DIR", help="where weights go")
    train.add_argument("--resume", action="store_true", help="go on with a training that was stopped")
    train.add_argument("--fresh", action="store_true", help="start again, over what is there")
    train.add_argument("--every", type=int, metavar="STEPS", help="between two writings of the state (default: 200)")
    train.add_argument("--teacher", metavar="FILE", help="weights of a net whose answers are learnt too")
    train.add_argument("--distillation", type=float, metavar="W", help="their weight in the loss (default: 0.5)")
    train.add_argument("--temperature", type=float, metavar="T", help="at which they are compared (default: 4)")
    train.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda")
    train.add_argument(
        "--threads", type=int, default=1, metavar="N", help="on a CPU (default: 1, as recorded runs have)"
    )
    train.add_argument("--compiled", default="no", metavar="HOW", help="no, default, cuda-graphs or both")
    train.add_argument("--sync-batchnorm", action="store_true", help="under torchrun: BatchNorm over all processes")
    train.set_defaults(command=_train, params=params)

    evaluate = commands.add_parser("evaluate", help="test a trained net")
    _checkpoint(evaluate)
    evaluate.add_argument(
        "--data", default="", metavar="SOURCE", help="set, class folder, .npz or pickle; else its own set"
    )
    evaluate.add_argument("--output", metavar="DIR", help="for tables and pictures (default: beside the checkpoint)")
    evaluate.set_defaults(command=_evaluate)

    predict = commands.add_parser("predict", help="classify images: a CSV file with ID and Labels")
    _checkpoint(predict)
    predict.add_argument("--input", required=True, metavar="SOURCE", help="folder, .npz, pickle or set")
    predict.add_argument("--output", default="submission.csv", metavar="FILE")
    predict.set_defaults(command=_predict)


def _checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", "--model_path", required=True, metavar="FILE", help="weights: .safetensors, .pth"
    )
    parser.add_argument("--model", default="", metavar="NAME", help="which net a .pth file is of")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda")
    for name in ("mean", "std"):
        said = f"{name} of each channel in [0, 1], to normalise with (default: as the net was trained)"
        parser.add_argument(f"--{name}", type=float, nargs="+", metavar="X", help=said)


def _train(options: argparse.Namespace) -> int:
    if options.resume and options.fresh:
        raise InputError("--resume and --fresh: give one of them")
    for name, least in (("epochs", 1), ("every", 1), ("threads", 1), ("seed", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise InputError(f"{name}: {value}: must be at least {least}")
    taught = {name: getattr(options, name) for name in ("distillation", "temperature")}
    taught = {name: value for name, value in taught.items() if value is not None}
    if taught and not options.teacher:
        raise InputError(f"{next(iter(taught))}: needs a --teacher")
    from nbhelpers import settings

    changes = dict(options.params(text) for text in options.param)
    settings.of_net(options.model, options.set, changes)  # before torch is imported, which takes seconds

    from nbhelpers import distributed
    from nbhelpers.training import STEPS, Training

    training = Training(
        options.model,
        options.set,
        Path(options.checkpoints),
        changes=changes,
        epochs=options.epochs or 0,
        seed=options.seed,
        teacher=Path(options.teacher) if options.teacher else None,
        **taught,
    )
    if not training.begin(options.resume, options.fresh):
        print(f"{training.file('_last.safetensors')}: is finished; nothing to do")
        return 0
    first = distributed.rank() == 0
    if first:
        print("\n".join(filter(None, [training.text(), "" if options.fresh else training.place()])), flush=True)
    how = {"threads": options.threads, "compiled": options.compiled, "sync_batchnorm": options.sync_batchnorm}
    try:
        record = training.carry_out(options.device, every=options.every or STEPS, fresh=options.fresh, **how)
    except KeyboardInterrupt:
        print("\ninterrupted; --resume goes on from here", file=sys.stderr)
        return 130
    if first:
        print("\n".join(training.outcome(record)))
    return 0 if record["status"] == "done" else 1


def _evaluate(options: argparse.Namespace) -> int:
    from nbhelpers import answering

    output = Path(options.output) if options.output else None
    trained = answering.load(Path(options.checkpoint), options.model, options.mean, options.std)
    lines = answering.evaluate(trained, options.data, options.device, output)
    print("\n".join(lines))
    return 0


def _predict(options: argparse.Namespace) -> int:
    from nbhelpers import answering

    trained = answering.load(Path(options.checkpoint), options.model, options.mean, options.std)
    print("\n".join(answering.predict(trained, options.input, options.device, Path(options.output))))
    return 0
