"""Training one net from the command line: the resolved recipe, the run, and the files that it leaves."""

from __future__ import annotations

import hashlib
import signal
import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from nbhelpers import data as datasets
from nbhelpers import device as devices
from nbhelpers import distributed, estimate, records, settings, stats, weights
from nbhelpers.checkpoints import Best, Checkpoint, read
from nbhelpers.errors import InputError
from nbhelpers.models.resnet import NAMED, narrowed
from nbhelpers.perform import perform
from nbhelpers.progress import Live, duration
from nbhelpers.run import Recipe, Run

STEPS = 200  # between two writings of the state that --resume goes on from


class Training:
    """One net to be trained: its run, and its files NAME_last, NAME_best, NAME.state and NAME.json in `folder`.

    model: a name in `models.resnet.NAMED`. changes: to parameters of the set. epochs: 0 for those of the set. teacher:
    a weights file, and what counts its answers have in the loss. Raises InputError for what is not allowed.
    """

    def __init__(
        self,
        model: str,
        set_name: str,
        folder: Path,
        *,
        changes: Mapping[str, Any] | None = None,
        epochs: int = 0,
        seed: int = 0,
        teacher: Path | None = None,
        distillation: float = 0.5,
        temperature: float = Recipe.model_fields["temperature"].default,
    ):
        values = settings.of_net(model, set_name, changes or {})
        self.epochs = epochs or next((n for name, n in values["nets"] if name == model), 0)
        if not self.epochs:
            raise InputError(f"epochs: the set {set_name} has none for {model}: give --epochs")
        self.name, self.folder = model, Path(folder)
        self.teacher = weights.load(teacher) if teacher else None
        own = settings.data(values)
        _, classes = datasets.describe(own.name, own.size, own.classes)
        if self.teacher and len(self.teacher.about["class_names"]) != classes:
            known = len(self.teacher.about["class_names"])
            raise InputError(f"teacher: {teacher}: knows {known} classes, the images have {classes}")
        taught = {"distillation": distillation, "temperature": temperature} if teacher else {}
        self.run = Run(
            data=own,
            model=narrowed(NAMED[model], values["share_of_width"]),
            recipe=settings.recipe(values | {"epochs": self.epochs} | taught),
            seed=seed,
            teacher=hashlib.sha256(self.teacher.path.read_bytes()).hexdigest() if self.teacher else None,
        )

    def file(self, kind: str) -> Path:
        """One of this net's files."""
        return self.folder / f"{self.name}{kind}"

    def text(self) -> str:
        """The resolved model, images and recipe."""
        shape, classes = datasets.describe(self.run.data.name, self.run.data.size, self.run.data.classes)
        rows = estimate.layer_rows(self.run.model, shape, classes)
        parameters, macs = (sum(row[name] for row in rows) for name in ("parameters", "macs"))
        train, test = estimate.images(self.run, classes)
        held_out = (self.run.data.validation_per_class or 0) * classes
        kept = f"{held_out:,} to choose the best epoch on" if held_out else "none held out, so the last epoch is kept"
        lines = [
            f"model: {self.name}, {parameters:,} parameters, {macs:,} multiply-accumulates an image",
            f"images: {train:,} of {self.run.data.name} to train on, {test:,} to test on, {kept}",
        ]
        for name, spec in (("data", self.run.data), ("recipe", self.run.recipe)):
            fields = ", ".join(f"{field} = {getattr(spec, field)}" for field in type(spec).model_fields)
            lines += textwrap.wrap(f"{name}: {fields}", 118, subsequent_indent="  ")
        return "\n".join([*lines, f"seed: {self.run.seed}"])

    def begin(self, resume: bool, fresh: bool) -> bool:
        """Whether there is anything to do. InputError where files would be overwritten that nobody gave up."""
        state, done = self.file(".state.safetensors"), self.file("_last.safetensors")
        if fresh:
            return True
        if state.exists() and not resume:
            raise InputError(f"{state}: a training is unfinished: go on with --resume, or start again with --fresh")
        if done.exists() and not state.exists():
            if not resume:
                raise InputError(f"{done}: is there already: do it again with --fresh, or give another --checkpoints")
            if (other := weights.load(done).about["key"]) != self.run.key:
                raise InputError(
                    f"{done}: is of another training ({other}, this is {self.run.key}): --fresh does this one"
                )
            return False
        return True

    def place(self) -> str:
        """Where an unfinished training goes on, as a line; empty where there is none."""
        state = self.file(".state.safetensors")
        if not state.exists():
            return ""
        at = read(state)[1]["progress"]
        return f"going on from epoch {at['epoch'] + 1}, step {at['step'] + 1}"

    def carry_out(
        self,
        device: str = "auto",
        *,
        every: int = STEPS,
        fresh: bool = False,
        sync_batchnorm: bool = False,
        **how: Any,
    ) -> dict[str, Any]:
        """Train, keep the weights, and return the record; of several processes (torchrun) the first one writes.

        every: steps between two writings of the state, and several processes write it after each epoch. An interrupt
        (SIGINT) writes it after the step at hand. fresh: forget the state of an unfinished training. how: `threads`
        and `compiled` of `perform.perform`.
        """
        choice, precision = how.get("compiled", "no"), self.run.recipe.precision
        devices.check_compiled(choice, devices.choose(device), precision)  # before anything goes
        if fresh:
            self.file(".state.safetensors").unlink(missing_ok=True)
        for left in self.folder.glob(f".{self.name}.state.safetensors.*"):  # of a writer that was killed
            left.unlink(missing_ok=True)
        if distributed.started():
            with distributed.joined(device, sync_batchnorm) as world:
                return self._train(device, every, world, how)
        if sync_batchnorm:
            raise InputError("sync_batchnorm: there is one process; start several with torchrun")
        return self._train(device, every, None, how)

    def _train(self, device: str, every: int, world: distributed.World | None, how: dict[str, Any]) -> dict[str, Any]:
        first = not (world and world.rank)
        checkpoint = Checkpoint(self.file(".state.safetensors"), _flat(self.run.canonical()), every=every)
        live = Live(min(self.run.recipe.stop_after or self.epochs, self.epochs), self.run) if first else None

        def step(images: int) -> None:
            if live:
                live.step(images)
            if checkpoint.stopped:  # not before the state is written: after the last step of an epoch it is not yet
                raise KeyboardInterrupt

        def keep(model: torch.nn.Module, best: Best | None) -> None:
            if not weights.finite(model.state_dict()):
                return
            weights.save(self.file("_last.safetensors"), model.state_dict(), self._about("last", best))
            if best and best.weights:
                weights.save(self.file("_best.safetensors"), best.weights, self._about("best", best))
            else:
                self.file("_best.safetensors").unlink(missing_ok=True)  # of an earlier training

        with _interrupt(checkpoint if not world else None):
            record = perform(
                self.run,
                device,
                on_epoch=live and live.epoch,
                on_step=step,
                checkpoint=checkpoint,
                trained=keep if first else None,
                world=world,
                teacher=self.teacher and self.teacher.net,
                **how,
            )
        if first:
            live.close()
            records.write(self.file(".json"), records.dump(record))
            checkpoint.path.unlink(missing_ok=True)
        return record

    def outcome(self, record: Mapping[str, Any]) -> list[str]:
        """What came out, as lines."""
        final, made = record["final"], record["provenance"]
        if record["status"] == "diverged":
            return [f"diverged in epoch {final['epochs']}: the training loss is {final['train_loss']}"]
        right = round(final["test_accuracy"] * final["test_images"] / 100)
        share = stats.wilson(right, final["test_images"])
        which = f"epoch {final['kept_epoch']}" if "kept_epoch" in final else "the last epoch"
        interval = f"95% interval {100 * share.low:.2f} to {100 * share.high:.2f} (Wilson)"
        lines = [f"test accuracy of {which}: {final['test_accuracy']:.2f} %, {interval}, n = {final['test_images']:,}"]
        files = [self.file(kind) for kind in ("_last.safetensors", "_best.safetensors", ".json")]
        lines += [f"{duration(made['wall_seconds'])} on {made['hardware']}"]
        return [*lines, "written: " + ", ".join(str(file) for file in files if file.exists())]

    def _about(self, kept: str, best: Best | None) -> dict[str, Any]:
        data = self.run.data
        shape, _ = datasets.describe(data.name, data.size, data.classes)
        whole = datasets.load(data.name, size=data.size, classes=data.classes)
        about = {"name": self.name, "model": self.run.model.canonical(), "shape": shape, "mean": data.mean}
        about |= {"std": data.std, "class_names": whole.class_names, "data": data.canonical(), "kept": kept}
        about |= {"key": self.run.key, "seed": self.run.seed, "recipe": self.run.recipe.canonical()}
        return about | ({"epoch": best.epoch, "validation_accuracy": best.accuracy} if kept == "best" else {})


def _flat(canonical: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested fields as "recipe.epochs", so that what differs between two trainings can be named."""
    made: dict[str, Any] = {}
    for name, value in canonical.items():
        made |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return made


@contextmanager
def _interrupt(checkpoint: Checkpoint | None) -> Iterator[None]:
    """Have the first SIGINT stop the training once its state is written; a second one stops it at once."""
    if checkpoint is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(*_: Any) -> None:
        if checkpoint.stop:
            raise KeyboardInterrupt
        checkpoint.stop = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
