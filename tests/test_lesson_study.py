"""What the lesson measures on recorded runs, its faults, its nets, and the list of its statements."""

import ast
import json
import re
from types import SimpleNamespace

import pandas as pd
import pytest

from nbhelpers import claims, parameters, perform, published, tables
from nbhelpers.lesson import Answer, Statements, answers, assignment, measured, nets, survey
from nbhelpers.lesson.listings import STUDY
from nbhelpers.lesson.statements import CITED, agrees
from nbhelpers.run import Run
from nbhelpers.verdict import Verdict

NAME = "Building_First_Neural_Networks"
NOTEBOOK = json.loads((parameters.places.notebooks() / f"{NAME}.ipynb").read_text(encoding="utf-8"))
ROWS = {row["id"]: row for row in published.everything()["studies"][STUDY]["tables"]["statements"]["rows"]}


@pytest.fixture
def say(monkeypatch):
    monkeypatch.setattr("nbhelpers.lesson.statements.display", lambda shown: None)
    return Statements(SimpleNamespace(statements={}))


# -------------------------------------------------------------- statements


def judged_in_notebook() -> list[int]:
    """The numbers that the cells give to `say` and `judge`."""
    found = []
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code" and cell["id"] != "bootstrap":
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                called = isinstance(node, ast.Call) and ast.unparse(node.func) in ("say", "judge")
                if called and isinstance(node.args[0], ast.Constant):
                    found.append(node.args[0].value)
    return found


def test_every_statement_of_the_list_has_one_cell_that_computes_it():
    assert len(ROWS) == 31
    assert sorted(judged_in_notebook()) == sorted(ROWS)


def test_what_a_cell_says_of_a_statement_is_no_constant():
    source = "\n".join("".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    measured_ones = {int(n) for n in re.findall(r"\bsay\((\d+), lesson\.answers\.", source)}
    claimed = {int(n) for n in re.findall(r"\bjudge\((\d+), ", source)}
    assert measured_ones == {15, 22, 23, 30}
    assert set(answers.ANSWERS) | measured_ones | claimed == set(ROWS)
    assert not set(answers.ANSWERS) & (measured_ones | claimed)


@pytest.mark.parametrize("number", sorted(answers.ANSWERS))
def test_a_computed_answer_is_the_published_right_one(number):
    answer, entry = answers.ANSWERS[number](), ROWS[number]
    for name, right in entry["right"].items():
        if name not in CITED.get(number, ()):
            assert agrees(answer.values[name], right), (name, answer.values[name], right)
    words = {True: "right", False: "wrong"}
    word = words.get(answer.verdict, answer.verdict)
    published_word = entry["verdict"]
    if published_word.startswith("right"):
        assert word == "right"
    if published_word.startswith(("wrong", "11 cells wrong")):
        assert word == "wrong"
    assert answer.sentence.endswith(".") and "nan" not in answer.sentence


def test_a_wrong_or_missing_value_is_found():
    assert agrees([12, 16], [12, 16]) and not agrees([12, 17], [12, 16]) and not agrees([12], [12, 16])
    assert agrees(4.7e-4, 0.00047) and not agrees(4.9e-4, 0.00047)
    assert agrees(["a"], ["a"]) and not agrees(["b"], ["a"])


def test_statements_refuse_what_is_not_listed_repeated_or_not_computed(say):
    with pytest.raises(ValueError, match="statement 32: is not listed"):
        say(32, Answer(True, "."))
    with pytest.raises(ValueError, match="statement 2: rf: must be computed"):
        say(2, Answer(False, "."))
    say(17)
    with pytest.raises(ValueError, match="statement 17: was judged before"):
        say(17)
    assert list(say.kept) == [17] and say.kept[17]["verdict"] == "right"


def test_what_is_cited_is_said_and_kept_apart(say):
    say(21)
    assert say.kept[21]["cited"] == {"elu_timit": 29.6, "runs_cifar": 3}
    assert "ELU on TIMIT has an error of 29.6%, and the medians on CIFAR are of 3 runs." in say.kept[21]["said"]
    assert say.kept[21]["computed"] == {}
    table = say.table()
    assert list(table["number"]) == [21] and say.summary().startswith("1 of 31 statements")


def test_an_answer_follows_what_was_measured():
    assert answers.vanishing({"sigmoid": 0.01, "relu": 0.5}, 4).verdict is False
    assert answers.vanishing({"sigmoid": 7.0, "relu": 0.5}, 4).verdict == "right"
    assert answers.cheapness({"relu": 1.0, "tanh": 2.0}, {"cpu"}).verdict == "right on a CPU, a GPU was not measured"
    assert answers.cheapness({"relu": 3.0, "tanh": 2.0}, {"cuda"}).verdict == "wrong on a GPU, a CPU was not measured"
    assert answers.cheapness({"relu": 1.0, "tanh": 2.0}, {"cpu", "cuda"}).verdict == "right on a CPU and a GPU"
    assert answers.cheapness({"relu": 1.05, "tanh": 1.0}, {"cpu", "cuda"}).verdict == "right on a CPU and a GPU"
    found = pd.DataFrame({"macs": {1: 100, 2: 20}, "field": {1: 7, 2: 15}})
    assert answers.stride_balance(found, {"a": "holds", "b": "fails"}).verdict == "5 of 6 shown"
    assert answers.stride_balance(found.iloc[::-1].set_axis([1, 2]), {"a": "fails"}).verdict == "2 of 5 shown"


def claim_of(*values: float) -> Verdict:
    contrast = pd.DataFrame({"seed": range(len(values)), "value": values})
    contrast.attrs["unit"] = "points"
    return claims.claim("It grows", contrast, above=0, planned=len(values))


def test_a_step_lowers_the_error():
    said = answers.descent()
    assert "differ by less than 1e-10. One step, of 0.5 times the gradient" in said
    before, after = map(float, re.search(r"from (\S+) to (\S+)\.$", said).groups())
    assert after < before


def test_what_a_claim_says_is_said_once(say, monkeypatch):
    shown = []
    monkeypatch.setattr("nbhelpers.lesson.statements.display", lambda markdown: shown.append(markdown.data))
    say(16, answers.claimed(claim_of(2.0, 2.5, 2.2)))
    assert say.kept[16]["verdict"] == "holds" and say.kept[16]["said"].startswith("It grows: +2.23 points [")
    assert "*holds.* So says the claim above. The paper itself, cited and not computed: " in shown[0]


def test_a_net_that_is_not_behind_with_few_images_does_not_need_many():
    grows, left_open = claim_of(2.0, 2.5, 2.2), claim_of(-2.0, 2.5, 2.2)

    def lead(*with_few: float) -> pd.DataFrame:
        rows = [(10, value) for value in with_few] + [(100, 3.0)] * len(with_few)
        return pd.DataFrame(rows, columns=["amount", "value"])

    assert answers.appetite(lead(-1.0, -1.1, -1.2), grows).verdict == "holds"
    both = answers.appetite(lead(0.8, 0.9, 1.0), grows)
    assert both.verdict.startswith("half right")
    assert "With 10 images of a class the net's lead is +0.9 points [0.7, 1.1], n = 3." in both.sentence
    assert answers.appetite(lead(-9.0, -1.0, 5.0), grows).verdict.startswith("half right")
    assert answers.appetite(lead(0.8, 0.9, 1.0), left_open).verdict == "undecided"
    assert "points, n = 2." in answers.appetite(lead(0.8, 0.9), grows).sentence


def test_the_survey_is_read_again():
    found = survey.winners().set_index("net")
    rows = {row["model"]: row for row in published.table(STUDY, "survey_best_per_model")}
    assert {net: (row["accuracy"], row["behind"], row["rank of ReLU"]) for net, row in found.iterrows()} == {
        net: (row["best_acc"], row["best_minus_relu"], row["relu_rank_of_18"]) for net, row in rows.items()
    }
    assert (survey.gelu_errors()[["ReLU − GELU", "ELU − GELU"]] > 0).all(axis=None)


def test_the_verdict_on_the_number_of_runs_is_computed(monkeypatch):
    assert survey.gelu_runs() == (5, 3) and answers.gelu_wins().verdict == "right, but for the number of runs"
    monkeypatch.setattr(survey, "gelu_runs", lambda: (3, 3))
    assert answers.gelu_wins().verdict is True
    errors = survey.gelu_errors()
    monkeypatch.setattr(survey, "gelu_errors", lambda: errors.assign(**{"ReLU − GELU": -0.1}))
    assert answers.gelu_wins().verdict is False


def test_the_summary_counts_one_word_verdicts_and_names_the_others(say):
    for number, verdict in {2: False, 7: True, 17: True, 22: "5 of 7 shown", 19: "an approximation"}.items():
        values = {name: 0 for name in ROWS[number]["right"]}
        say(number, Answer(verdict, ".", values))
    said = "5 of 31 statements are answered: 2 right, 1 wrong. In more words than one: 19: an approximation; 22: 5 of"
    assert say.summary().startswith(said)


# ------------------------------------------------------------ the assignment


def test_faults_that_stop_the_code_stop_it():
    found = assignment.stopping(features=4096).set_index("fault")["what happens"]
    assert [text.split(":")[0] for text in found] == ["NameError", "RuntimeError", "RuntimeError", "TypeError"]
    assert "it runs" in set(assignment.stopping(features=320, given=320)["what happens"])
    assert assignment.loss_difference() < 1e-12


def test_what_the_flattening_gives():
    layers = pd.DataFrame({"output": ["32×26×26", "256×4×4", "4096", "10", ""]})
    assert assignment.flat(layers) == 4096


def test_the_published_log_is_the_series():
    rows = published.series(NAME, "test_accuracy")
    assert len(rows) == 20 and rows["value"].iloc[-1] == 99.40 and rows["value"].max() == 99.47
    assert "nviraj/era-v1" in rows["source"].iloc[0]
    assert published.origin(NAME)["repository"] == "nviraj/era-v1"


# ------------------------------------------------------------ nets and runs


def arms(**accuracies: list[float]) -> pd.DataFrame:
    """Runs of arms with these accuracies, a seed each."""
    columns = {"classes": 10, "test_images": 1000, "train_loss": 1.0, "test_loss": 1.0, "status": "done"}
    rows = [
        {"part": "p", "arm": arm, "seed": seed, "test_accuracy": value} | columns
        for arm, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    frame = pd.DataFrame(rows)
    frame.attrs = {"labels": ["part", "arm"]}
    return frame


def test_a_difference_is_said_as_far_as_the_seeds_tell_it():
    df = tables.part(arms(none=[50.0, 60.0, 70.0], more=[55.0, 64.9, 75.1], same=[51.0, 59.0, 70.0]), "p", ["arm"])
    table, said = measured.against(df, "none", "more")
    assert list(table["arm"]) == ["more", "same"] and list(table["minus none, points"]) == ["+5.00", "0.00"]
    assert said.startswith("more minus none: +5.0 points [") and said.endswith("n = 3: better.")
    assert measured.lead(df, "same", "none").endswith("neither better nor worse, as far as can be told.")
    assert measured.lead(df, "none", "more").endswith("worse.")
    assert "too few seeds" in measured.lead(df[df["seed"] < 2], "more", "none")


def test_arms_at_chance_are_counted_by_part():
    assert measured.guesses(arms(a=[10.0, 10.5], b=[10.0, 60.0], c=[80.0, 81.0])).endswith("1 of 3 arms of p.")
    assert measured.guesses(arms(a=[50.0, 10.0])) == "No arm is at chance in every seed."


def test_arms_at_chance_are_counted_where_no_run_has_one_of_the_labels():
    frame = arms(a=[10.0, 10.5], b=[80.0, 81.0]).assign(amount=float("nan"))
    frame.attrs = {"labels": ["part", "arm", "amount"]}
    assert measured.guesses(frame).endswith("1 of 2 arms of p.")


def test_what_is_no_accuracy_has_its_own_unit():
    df = arms(a=[50.0, 60.0], b=[55.0, 65.0]).assign(zeros=70.0, milliseconds=1.0)
    assert measured.level(df[df["arm"] == "a"], "zeros").attrs["unit"] == "%"
    units = {metric: measured.gap(df, "a", "b", metric).attrs["unit"] for metric in ("test_accuracy", "milliseconds")}
    assert units == {"test_accuracy": "points", "milliseconds": "ms"}


def test_the_exercise_takes_three_times_the_steps_of_demo():
    text = next("".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["id"] == "exercises")
    steps, own = map(int, re.search(r"`small_steps = (\d+)`: three times the (\d+) steps of `demo`", text).groups())
    assert own == parameters.load(NAME, "demo")["small_steps"] and steps == 3 * own


def test_nets_cost_what_their_names_say():
    made = {name: net.build((3, 16, 16), 4) for name, net in nets.shapes([4, 8, 16, 32]).items()}
    counts = {name: sum(p.numel() for p in net.parameters()) for name, net in made.items()}
    assert counts["pyramid, equal depth"] < counts["pyramid, equal cost"]
    published_net = nets.digits([32, 64, 128, 256], [50]).build((1, 28, 28), 10)
    assert sum(p.numel() for p in published_net.parameters()) == 593200
    assert nets.patches(8, "none").layers != nets.patches(8, "waves").layers


def test_measured_columns_come_from_the_probes(make_run):
    names = [name for group in measured.PROBES for name in group]
    model = nets.small(4)
    runs = [Run(**dict(make_run(seed=s)) | {"model": model, "probes": names, "labels": {"arm": "a"}}) for s in (0, 1)]
    found = {run.key: perform.perform(run, "cpu") for run in runs}
    df = tables.runs([(run.key, run.labels, run.seed) for run in runs], found)
    acts = measured.activations(df)
    assert acts["zeros"].between(0, 100).all() and (acts["gradient"] > 0).all()
    assert set(measured.nanoseconds(df).index) == {"relu", "sigmoid", "tanh", "gelu"}
    assert (measured.strides(df)["changed"].between(0, 100)).all() and (measured.strides(df)["milliseconds"] > 0).all()
    assert list(measured.details(df)["mark"]) == [2, 4, 8] * 2
    assert list(measured.transfers(df)["frozen_blocks"]) == [0, 1, 2, 3, 4] * 2
    assert measured.transfers(df).attrs["labels"] == ["arm", "frozen_blocks"]
    assert (measured.noise(df)["suppressed"] <= 100).all()
    noise = measured.noise_table(df)
    assert list(noise["seed"]) == [0, 1] and noise.drop(columns="seed").stack().between(0, 100).all()
    assert list(measured.short(pd.DataFrame({"a": [87.3933, 0.00014]}))["a"]) == ["87.4", "0.00014"]
    assert measured.listed(pd.Series({8: 1.25, 16: 2})) == "1.2% with 8, 2.0% with 16"
