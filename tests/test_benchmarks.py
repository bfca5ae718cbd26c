"""The benchmarks: small sizes of each, and the page that is made from their files."""

import importlib
import json
from pathlib import Path

import pytest
import torch

import nbhelpers as nb

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    """``script("loop")``: the module of a benchmark, which is no part of the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module


@pytest.fixture
def threads():
    """Benchmarks set the number of threads of their process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


@pytest.fixture
def small(script):
    """A shape of milliseconds."""
    net = nb.ConvNet(channels=(4,), head="flatten", pool=(1,))
    return script("nets").Shape("small", 16, net, nb.Recipe(lr=0.1, momentum=0.9, epochs=1, batch_size=8))


def test_the_page_is_what_its_files_say(script):
    assert (FOLDER.parent / "docs" / "where_the_time_goes.md").read_text(encoding="utf-8") == script("page").page()


def test_a_changed_number_changes_the_page(script, tmp_path):
    for path in FOLDER.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    found = json.loads((tmp_path / "loop.json").read_text())
    found[0]["speedup"] = 77.77
    (tmp_path / "loop.json").write_text(json.dumps(found))
    page = script("page").page(tmp_path)
    assert page.count("77.77") == 2  # in the sentence, as the greatest, and in the table
    assert page != script("page").page()


def test_the_page_says_what_the_net_alone_would_miss_and_which_run_is_not_timed(script):
    page, bench = script("page"), script("side_by_side")
    slow = {"seconds_per_step": 1.0}
    row = bench.load("loop")[0] | {"name": "slow", "speedup": 1.5, "target": {"speedup": 2.0, "share_of_bound": 0.9}}
    row["variants"] = row["variants"] | {"textbook": row["variants"]["textbook"] | {"seconds_per_step": 1.9}}
    row["variants"]["bound"] = row["variants"]["bound"] | slow
    assert "No loop could reach the speed-up aimed at in *slow*: " in page.of_steps([row])
    row["variants"]["bound"] = row["variants"]["bound"] | {"seconds_per_step": 0.5}
    assert "No loop" not in page.of_steps([row])
    rows = bench.load("shares")
    assert f"Not timed yet: *{rows[0]['name']}*" in page.of_runs([*rows[1:], rows[0] | {"name": "zoo"}], 1.0)


@pytest.mark.parametrize("name", ["loop", "batch_sizes", "sweeps", "tried", "fixed", "shares"])
def test_a_table_is_what_its_file_says(script, name):
    bench = script("side_by_side")
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == script(name).table(bench.load(name))
    assert (FOLDER / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_row_measured_anew_replaces_its_own_and_leaves_the_others(script, tmp_path, capsys):
    bench = script("side_by_side")
    machine = {"processor": "p", "cores": 1, "threads": 1, "python": "3", "torch": "2", "date": "2026-01-02T03:04:05"}

    def keep(name: str, value: int) -> None:
        row = {"name": name, "value": value, "machine": machine}
        bench.keep(tmp_path, "some", ["a", "b"], row, table, lambda rows: bench.bars(["x"], {"y": [1]}, "s", "t"))

    def table(rows):
        return bench.table(["name", "value"], [[row["name"], str(row["value"])] for row in rows])

    keep("b", 1)
    keep("a", 2)
    keep("b", 3)
    assert [(row["name"], row["value"]) for row in bench.load("some", tmp_path)] == [("a", 2), ("b", 3)]
    assert (tmp_path / "some.md").read_text() == "| name | value |\n| --- | --: |\n| a | 2 |\n| b | 3 |\n"


def test_the_peak_memory_of_a_variant_is_not_that_of_its_parent(script):
    bench = script("side_by_side")
    kept = bytes(bytearray(300 << 20))  # written to, so that it is there
    with bench._worker({}) as worker:
        child = worker.submit(bench._peak_mib).result()
    assert 0 < child < bench._peak_mib() - (len(kept) >> 21)


def test_the_spread_is_median_and_quartiles(script):
    bench = script("side_by_side")
    assert bench.spread([4.0, 1.0, 2.0, 3.0, 5.0]) == {"seconds": 3.0, "quartiles": [2.0, 4.0], "n": 5}
    assert bench.spread([2.0]) == {"seconds": 2.0, "quartiles": [2.0, 2.0], "n": 1}


@pytest.mark.parametrize("found", [0.999, 0.994])
def test_a_target_is_reached_where_the_shown_decimals_reach_it(script, found):
    assert script("loop").verdict(found, 1.0) == ("1 ✓" if found == 0.999 else "1 ✗")


def test_textbook_and_ours_train_the_same_net(script, small, threads):
    """Both loops go over all images; the bound stays on one batch."""
    loop, nets = script("loop"), script("nets")
    for made in (loop.textbook(small, 0), nets.training(small, 1), nets.training(small, 1, True)):
        made(1, 2)


def test_the_textbook_crops_and_flips_what_ours_does(script, threads):
    nets, loop = script("nets"), script("loop")
    shape = nets.resnet("resnet34")
    small = nets.Shape("r", 4, nb.ResNet(stem=4, widths=(4,), blocks=(1,)), shape.recipe, augment=shape.augment)
    made = loop.textbook(
        nets.Shape(**small.__dict__ | {"recipe": shape.recipe.model_copy(update={"batch_size": 2})}), 0
    )
    made(1, 2)
    assert nets.images(small).augment == ("crop", "flip")


@pytest.mark.parametrize("change", ["as it is", "contiguous", "plain optimizer", "DataLoader", "gradients zeroed"])
def test_a_changed_step_still_trains(script, small, threads, change):
    tried = script("tried")
    tried.step(small, change)(1, 2)


def test_every_change_has_its_words(script):
    assert script("page").REASONS.keys() == script("tried").CHANGES.keys()


def test_the_parts_of_a_run_sum_to_its_time(script, make_run, threads):
    shares = script("shares")
    run = make_run(epochs=4, evaluate="epoch", probes=["batch_statistics@1"])
    found = shares.timed(run, 2)
    assert found.keys() == shares.PARTS.keys() and all(seconds >= 0 for seconds in found.values())
    parts = ("preparing", "loading", "forward", "backward", "optimizer", "loop", "evaluation", "probes", "rest")
    assert all(found[part] > 0 for part in parts)


def test_a_part_is_counted_without_what_is_inside_it_and_where_it_recurs(script, monkeypatch):
    shares = script("shares")
    ticks = iter(range(100))
    monkeypatch.setattr(shares.time, "perf_counter", lambda: next(ticks))
    clock = shares.Clock()
    backward = clock.around("backward", lambda: None, inside="loop")
    clock.around("fit", clock.around("loop", backward))()
    clock.around("preparing", lambda: None)()
    backward()  # inside of nothing: not counted, and no tick is taken
    assert dict(clock.seconds) == {
        ("backward", True): 1,
        ("loop", True): 2,
        ("fit", False): 2,
        ("preparing", False): 1,
    }


def test_the_textbook_of_study_2_has_its_net(script):
    """As many parameters as the original's, and as ours."""
    net = script("textbook_study2").Net
    ours = nb.build(script("nets").convnet("group"), (3, 32, 32), 10, seed=0)
    counts = [sum(p.numel() for p in model.parameters()) for model in (net("batch"), net("group"), ours)]
    assert counts == [34_058] * 3


def test_both_sides_of_study_2_do_the_same_work(script, monkeypatch):
    sweeps, words = script("sweeps"), []
    monkeypatch.setattr(sweeps, "command", lambda given, folder, malloc: words.append(given) or 1.0)
    work = {"dataset": "shapes", "images_per_class": 3, "epochs": 2, "tested_per_class": 5, "batch_sizes": [2, 4]}
    assert sweeps.from_start_to_end(1, work) == {"textbook": [1.0], "nbhelpers": [1.0]}
    plain, ours = (" ".join(found) for found in words)
    assert "--dataset shapes --images 3 --tested 5 --epochs 2 --sizes 2 4" in plain
    for change in ("dataset=shapes", "images_per_class=3", "test_images_per_class=5", "epochs=2", "batch_sizes=[2, 4]"):
        assert f"--param {change}" in ours


def test_a_number_keeps_its_digits_before_the_point(script):
    number = script("side_by_side").number
    assert [number(v) for v in (0.01234, 1.234, 999.4, 999.6, 1234.5)] == ["0.0123", "1.23", "999", "1,000", "1,234"]
