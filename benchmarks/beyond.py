"""``docs/beyond_one_machine.md`` from scale.json and cluster.json: ``python -m benchmarks.beyond``.

No number that was measured is typed: a test compares the page with what `page` returns.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import cluster as accident
from benchmarks import scale as thousands
from benchmarks import written
from nbhelpers import cluster, progress, records

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "beyond_one_machine.md"
GPUS = (8, 64, 1000)
MINUTE = 60.0  # seconds: the run for which the table gives a rate
CIFAR = 60_000 * (32 * 32 * 3 + 8)  # bytes: pixels, and labels of 8
LINK = 10e9 / 8  # bytes a second out of one machine: 10 Gbit/s
PER_NODE = 8  # GPUs

USE = """# Beyond one machine

A study is a list of runs that know nothing of each other. On one machine they go to worker processes; with `--ray
ADDRESS` (in a notebook `ray = "ADDRESS"`) to the nodes of a [Ray](https://docs.ray.io) cluster. One run is one task
with its CPUs and its share of a GPU. Records, tables and verdicts are made by the one process that was started, as
ever, and a run gives the same numbers wherever it is carried out. Ray is an extra:

    pip install "nbhelpers[ray]"

Every node needs the same Python and the same version of nbhelpers and torch, such as one container image or one
environment on a shared disk. Images are read from the node's own `NBHELPERS_DATA` where they are the driver's by their
fingerprint, and else come through Ray's object store, once for each node. Results stay with the driver; so do weights
(`--param weights=true`).

`--param runs_per_gpu=4` lets four runs share a GPU, `--param processes=8` splits each run over eight GPUs of a node
instead, `--param run_limit=3600` ends a run that takes longer than an hour. Only a run whose worker or node was lost is
tried again, {tries} times in all; one that failed is reported. Ctrl-C ends all of them, and the same command goes on
from the records. What a run computes on is `cuda` where a node that is there at the start has a GPU, and then no run
goes to a node without one; `--param device=cpu` takes all nodes, and `--param device=cuda` waits for a node with a GPU.

## A laptop

    nbhelpers run BatchNorm_vs_GroupNorm --set ran                # a process for each core; Ray is not needed
    nbhelpers run BatchNorm_vs_GroupNorm --set ran --ray local    # the same runs through a Ray that ends with them

## One machine with 8 GPUs

    nbhelpers run BatchNorm_vs_GroupNorm --set full --ray local --param runs_per_gpu=4

A Ray that is started for these runs sees all GPUs; 32 runs are under way at a time, if the machine has 32 CPUs.

## A Slurm job

```bash
#!/bin/bash
#SBATCH --job-name=study --nodes=4 --ntasks-per-node=1 --cpus-per-task=32 --gpus-per-node=8 --time=12:00:00
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_NNODES" -- \\
    nbhelpers run BatchNorm_vs_GroupNorm --set full --ray auto
```

`ray symmetric-run` starts Ray on every node of the job, the command on the first, and stops Ray when it ends. A job
that runs into its time is given again, and goes on.

## A Kubernetes cluster

With the [KubeRay](https://docs.ray.io/en/latest/cluster/kubernetes/index.html) operator, an image that has nbhelpers,
and a volume for the results:

```yaml
apiVersion: ray.io/v1
kind: RayJob
metadata: {{name: study}}
spec:
  entrypoint: nbhelpers run BatchNorm_vs_GroupNorm --set full --ray auto --results /results
  shutdownAfterJobFinishes: true
  rayClusterSpec:
    enableInTreeAutoscaling: true
    headGroupSpec:
      rayStartParams: {{num-cpus: "0"}}  # the driver's place: it carries out no runs
      template:
        spec:
          containers: [{{name: head, image: IMAGE, volumeMounts: [{{name: results, mountPath: /results}}]}}]
          volumes: [{{name: results, persistentVolumeClaim: {{claimName: results}}}}]
    workerGroupSpecs:
      - groupName: gpu
        minReplicas: 1
        maxReplicas: 16
        rayStartParams: {{}}
        template:
          spec:
            containers: [{{name: worker, image: IMAGE, resources: {{limits: {{cpu: 32, nvidia.com/gpu: 8}}}}}}]
```

Any other cluster that Ray starts (`ray up`, `ray start` by hand) is named by `--ray HOST:PORT` from one of its
machines. `ray://HOST:PORT`, Ray's client, needs `pip install "ray[client]"` too, and has no `run_limit`.

## One big model

A model that needs several GPUs for one run is no task for a cluster of runs, but one run of several processes:

    torchrun --nproc-per-node 8 -m nbhelpers train --model resnet50

or, for each run of a study, `--param processes=8` (`nbhelpers/distributed.py`): each process has its part of every
batch, and gradients are averaged.
"""

UNTESTED = """## What is untested, for want of the hardware

- **GPUs beyond one**: several nodes with GPUs, one run over several GPUs, and Ray with a share of one
  (`runs_per_gpu`). Tests check what is asked of Ray, not what a card does with it.
- **Several machines**: the nodes of the tests and of the tables are processes of one machine. A real network, its
  failures, and clocks that differ are not in them.
- **Slurm** and **Kubernetes** with KubeRay: the two configs above were read by a parser, no more; `ray symmetric-run`
  is tested on one machine, by `make test-all`.
- **Ray's client** (`ray://`), and autoscalers.
- More than four nodes.
"""


def number(value: float) -> str:
    """Two digits, and all of those before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def size(count: float) -> str:
    """Bytes in the unit that suits them."""
    unit, name = next((u, n) for u, n in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1, "bytes")) if count >= u or u == 1)
    return f"{number(count / unit)} {name}"


def accidents(found: Mapping[str, Any]) -> str:
    """What became of the kills."""
    kills = found["kills"]
    total = {name: sum(kill[name] for kill in kills) for name in ("lost", "repeated", "orphans", "begun_again")}
    joined = [kill["on_joined"] for kill in kills if kill["on_joined"] is not None]
    each = statistics.mode(sum(kill["victim"] == victim for kill in kills) for victim in ("worker", "node", "driver"))
    return (
        f"## What befalls it\n\nA worker, a node and the driver were killed {each} times each at random moments of a "
        f"sweep of {found['runs']} light runs on {found['nodes']} nodes. Runs lost: {total['lost']}; recorded runs "
        f"done again: {total['repeated']}; processes left: {total['orphans']}; runs cut short and begun again: "
        f"{total['begun_again']}. On the nodes that joined in place of killed ones "
        f"{sum(joined)} runs were carried out, {min(joined)} to {max(joined)} each. "
        f"[Table](../benchmarks/cluster.md).\n\n{accident.joins(found)}\n\n"
        "Where Ray was started for the runs (`--ray local`) and the driver is "
        "killed outright, two helpers of Ray's, which compute nothing, end later than the rest.\n"
    )


def costs(scale: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What a run costs, and what that comes to for many GPUs."""
    own, here, write = scale["ray"]["ms"] / 1000, scale["local"]["ms"] / 1000, scale["writing"]["ms"] / 1000
    sent, back, record = found["bytes"]["there"], found["bytes"]["back"], scale["writing"]["bytes"]
    each = scale["writing"].get("each", ())
    moment = f"before, between and after (median of {len(each)})" if each else "in another minute"
    count, table, listed = scale["table"]["rows"], scale["table"]["seconds"], scale["list"]["seconds"]
    lines = [
        [
            *(f"{gpus:,}", f"{number(gpus * own)} s", number(gpus / MINUTE), f"{number(100 * gpus * own / MINUTE)}%"),
            *(f"{size(gpus / MINUTE * (sent + back))}/s", size(cluster.AHEAD * gpus * sent)),
            f"{number(max(1, gpus / PER_NODE) * CIFAR / LINK)} s",
        ]
        for gpus in GPUS
    ]
    head = ["GPUs", "shortest run", "runs a second", "driver busy", "sent", "in flight", "CIFAR-10 sent"]
    text = "\n".join([written.row(head), written.row(["--:"] * len(head)), *map(written.row, lines)])
    most, machine, memory = GPUS[-1], scale["machine"], list(scale["ray"]["memory"].values())
    return f"""## What it costs, on paper

Measured on {machine["processor"]}, {machine["cores"]} cores, {machine["date"][:10]} ([scale](../benchmarks/scale.md),
[cluster](../benchmarks/cluster.md)), with runs that do nothing: {number(1000 * own)} ms a run on Ray, driver and nodes
on these cores together, {number(1000 * here)} ms in local processes. To write a record alone took
{number(1000 * write)} ms {moment}, so the disk is a large part of it, and its speed varies.
A task is {size(sent)}, a record {size(back)} on its way and {size(record)} on the disk. The driver's memory does
not grow with the number of runs: {number(memory[-1])} MiB after {scale["ray"]["runs"]:,}.

One driver hands out and records all runs, so with G GPUs and runs of T seconds it is busy for G·{1000 * own:.1f} ms
of every T. Carried on from these numbers, not measured; they come from sweeps with as many tasks in flight as a few
cores have places, and the driver's part of a run may grow with the number in flight:

{text}

*Shortest run*: below it the driver is slower than the GPUs. *Runs a second*, *driver busy* and *sent*: with runs of a
minute. *In flight*: specs of the tasks that Ray holds, {cluster.AHEAD} for each place. *CIFAR-10 sent*: where no node
has it and all nodes ({PER_NODE} GPUs each) have it from the driver's machine at {LINK * 8 / 1e9:.0f} Gbit/s, once.

What breaks first, at {most:,} GPUs:

1. **The driver**, with runs shorter than {number(most * own)} s. Runs of small nets on a GPU may be as short, and runs
   that share one (`runs_per_gpu`) multiply the rate. A study can then be cut in sets (`first_seed`), each with a driver
   of its own.
2. **The images**, if no node has them: {number(most / PER_NODE * CIFAR / LINK)} s for CIFAR-10 and as much more as a
   set is larger. `nbhelpers data NAME` on every node, or a shared `NBHELPERS_DATA`, and nothing is sent.
3. **Reading the records**, which grows with their number and not with the GPUs: {count:,} take `nbhelpers list`
   {number(listed)} s and a table {number(table)} s. A sweep rewrites `runs.csv` at most every
   {progress.SAVE_EVERY} s and rests {progress.REST} times as long as that took, so it costs at most
   {100 / (progress.REST + 1):.0f}% of the driver's time.
4. **The disk of the driver**: a flush for each record, {number(1000 * write)} ms here, slower on a network disk. It is
   in the driver's time of a run.

Little is asked of the network between the nodes and of the object store: tasks and records are some KB, and
no run waits for another. How Ray's own scheduling does with so many places was not measured.
"""


def page(folder: Path = HERE) -> str:
    """The whole page, from the JSON files in `folder`."""
    scale, found = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("scale", "cluster"))
    return "\n".join([USE.format(tries=cluster.TRIES), accidents(found), costs(scale, found), UNTESTED])


def main() -> None:
    for module, name in ((thousands, "scale"), (accident, "cluster")):
        found = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
        records.write(HERE / f"{name}.md", module.text(found))
    records.write(PAGE, page())


if __name__ == "__main__":
    main()
