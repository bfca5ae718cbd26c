"""Thousands of runs and a cluster's accidents: small stagings, the tables, and the page that is made from them."""

import importlib.util
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks are not installed

from benchmarks import beyond, idle, quoted, scale
from benchmarks import cluster as accidents
from nbhelpers import cli, parameters, records
from nbhelpers.records import Store

HERE = Path(__file__).resolve().parent.parent
PAGE = (HERE / "docs" / "beyond_one_machine.md").read_text(encoding="utf-8")


def load(name: str) -> dict:
    return json.loads((HERE / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))


def test_the_page_is_what_its_files_say():
    assert beyond.page() == PAGE


def test_a_changed_number_changes_the_page_and_what_the_readme_quotes(tmp_path):
    found, accident = load("scale"), load("cluster")
    found["ray"]["ms"], accident["kills"][0]["lost"] = 98.7, 3
    for name, content in (("scale", found), ("cluster", accident)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    page, said = beyond.page(tmp_path), quoted.sentences(tmp_path)
    assert "G·98.7 ms" in page and "| 1,000 | 99 s |" in page and "Runs lost: 3;" in page
    assert "98.7 ms on Ray" in said and "runs lost: 3;" in said


@pytest.mark.parametrize("module", [scale, accidents], ids=["scale", "cluster"])
def test_a_table_is_what_its_file_says(module):
    name = module.__name__.rpartition(".")[2]
    assert (HERE / "benchmarks" / f"{name}.md").read_text(encoding="utf-8") == module.text(load(name))


def test_the_targets_of_scale_are_marked():
    found = load("scale")
    found["local"]["ms"], found["local"]["memory"], found["list"]["seconds"] = 12.5, {"100": 50.0, "1000": 61.0}, 2.5
    found["table"]["seconds"] = 1.9
    marks = {row[0]: row[-1][-1] for row in scale.rows(found)}
    assert marks["a run by local worker processes"] == marks["list"] == "✗" and marks["table"] == "✓"
    assert marks["memory of the driver, local worker processes"] == "✗"


def test_a_kill_that_lost_a_run_is_in_the_table():
    found = load("cluster")
    found["kills"][0] |= {"lost": 2, "repeated": 1, "orphans": 4, "begun_again": 3}
    assert accidents.rows(found)[0][2:5] == [2 + sum(k["lost"] for k in found["kills"][1:5]), 1, 4]


def test_what_a_node_is_worth_that_joins_is_said_with_its_number_of_sweeps():
    found = load("cluster")
    own = {"alone": [20.2, 21.0, 19.0], "joined": [14.1, 15.0, 13.0]}
    found["joining"] |= {
        name: [{"seconds": s, "on_joined": 9 * (name == "joined")} for s in seconds] for name, seconds in own.items()
    }
    said = accidents.joins(found)
    assert "took 20.2 s" in said and "14.1 s, 9 of them" in said and "medians of 3" in said
    assert said in accidents.text(found)


def test_runs_that_do_nothing_are_recorded_listed_and_tabled(tmp_path):
    folder = tmp_path / scale.STUDY / scale.SET
    found = scale.apart("local", folder, 20)
    assert list(found["memory"]) == [str(count) for count in range(2, 21, 2)] and found["ms"] > 0
    assert len(Store(folder).load_all(run.key for run in idle.runs(20))) == 20
    assert scale.listed(tmp_path, folder, 20)["runs"] == 20
    assert scale.table(folder, 20)["rows"] == 20 and (folder / "runs.csv").read_text().count("\n") == 21


# ------------------------------------------------------------------------------- the page's commands and configs


def commands() -> list[list[str]]:
    """The words of every ``nbhelpers run`` on the page."""
    text = PAGE.replace("\\\n", " ")
    lines = re.findall(r"nbhelpers (run [^\n#`]*)", text)
    return [shlex.split(line) for line in lines]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install nbhelpers[ray]")
def test_the_commands_of_the_page_are_allowed():
    assert len(commands()) >= 5
    for words in commands():
        options = cli._parser().parse_args(words)
        changes = dict(map(cli._param, options.param)) | ({"ray": options.ray} if options.ray else {})
        for study in options.notebook:
            demo = parameters.load(study, "demo")
            parameters.check(study, parameters.load(study, options.set) | changes, demo)


def test_the_parameters_that_the_page_names_are_parameters():
    named = set(re.findall(r"--param (\w+)=", PAGE))
    assert {"runs_per_gpu", "processes", "run_limit", "weights", "device"} <= named <= parameters.EXECUTION.keys()


def test_the_script_for_slurm_is_bash():
    [script] = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert script.splitlines()[1].startswith("#SBATCH ")


def test_the_config_for_kubernetes_is_one_job_whose_driver_carries_out_no_runs():
    [config] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    job = yaml.safe_load(config)
    assert job["kind"] == "RayJob" and shlex.split(job["spec"]["entrypoint"])[:2] == ["nbhelpers", "run"]
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    mounts = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert mounts[0]["mountPath"] == shlex.split(job["spec"]["entrypoint"])[-1]


@pytest.mark.slow_all
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install nbhelpers[ray]")
@pytest.mark.skipif(os.name != "posix", reason="signals of a POSIX system")
def test_one_kill_of_each_kind_loses_nothing_and_a_node_that_joins_shortens_a_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cluster", "--times", "1", "--out", str(tmp_path)])
    assert accidents.main() == 0
    kills = json.loads((tmp_path / "cluster.json").read_text())["kills"]
    assert [kill["victim"] for kill in kills] == list(accidents.VICTIMS)
    own = json.loads((tmp_path / "cluster.json").read_text())["joining"]
    assert own["joined"][0]["on_joined"] > 0 == own["alone"][0]["on_joined"]
    assert own["joined"][0]["seconds"] < own["alone"][0]["seconds"]


@pytest.mark.slow_all
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install nbhelpers[ray]")
@pytest.mark.skipif(os.name != "posix", reason="signals of a POSIX system")
def test_the_command_of_the_script_for_slurm_runs_a_study_on_one_machine(tmp_path):
    [command] = re.findall(r"^srun (ray symmetric-run.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    for written, here in (
        ("$head:6379", f"127.0.0.1:{port}"),
        ("$SLURM_NNODES", "1"),
        ("BatchNorm_vs_GroupNorm", "Sigmoid_vs_ReLU"),
        ("--set full", f"--set demo --param seeds=1 --results {shlex.quote(str(tmp_path))}"),
    ):
        assert written in command
        command = command.replace(written, here)
    bin_first = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=bin_first, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    [made] = tmp_path.glob("Sigmoid_vs_ReLU/demo*")
    planned = {run["key"] for run in records.read_plan(made)}
    assert planned and {path.stem for path in (made / "runs").glob("*.json")} == planned
    assert f"{len(planned)} runs, 0 recorded, " in done.stdout and ", ray: auto, nodes: 1, " in done.stdout
