"""A run's key is frozen: it names the record, on every machine and in every later version."""

import hashlib
import importlib
import json

import pytest
import torch

from nbhelpers.errors import InputError
from nbhelpers.models import MLP, ConvNet, Custom
from nbhelpers.run import Data, Recipe, Run, key_of

NORMAL = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010)}
SIGMOID = Run(
    data=Data(name="cifar10", per_class=300, **NORMAL),
    model=ConvNet(channels=[32] * 4, activation="sigmoid"),
    recipe=Recipe(optimizer="adamw", lr=1e-3, weight_decay=0.01, epochs=10, batch_size=512),
    seed=0,
)
GROUP_NORM = Run(
    data=Data(name="cifar10", per_class=200, **NORMAL),
    model=ConvNet(
        channels=[16, 32, 64], norm={"name": "group", "groups": [4, 8, 8]}, pool=(1, 2, 3), head="flatten", bias=True
    ),
    recipe=Recipe(
        lr=0.0195,
        momentum=0.91,
        schedule={"name": "cosine", "min_lr": 0.003},
        epochs=10,
        batch_size=2,
        test_batch_size=1024,
        precision="bf16",
    ),
    seed=1,
)
LEAKY_ORDER = Run(
    data=Data(name="cifar10", per_class=500, **NORMAL),
    model=ConvNet(
        channels=[16, 32, 64, 128, 64, 32, 16, 10],
        activation="leaky_relu",
        order="conv-activation-norm",
        pool=(2, 4, 6, 8),
        head="flatten",
    ),
    recipe=Recipe(
        lr=0.0195, momentum=0.91, schedule={"name": "steps", "milestones": [20, 40]}, epochs=50, batch_size=256
    ),
    seed=2,
)
SCALED_RELU = Run(
    data=Data(name="cifar100", classes=72, size=64),
    model=MLP(activation={"name": "relu", "slope": 62}),
    recipe=Recipe(lr=0.01, epochs=20, batch_size=64, evaluate="epoch"),
    seed=3,
)
VALIDATED = Run(
    data=Data(name="mnist", per_class=900, test_per_class=100, test_from="train", permutation_seed=0),
    model=MLP(hidden=(32,)),
    recipe=Recipe(lr=0.1, epochs=3, batch_size=16, steps_per_epoch=40),
    seed=4,
)
GOLDEN = {
    "80d12dc58cbc95eee6f2": VALIDATED,
    "42708ae0ccada50672bc": SIGMOID,
    "66caa2b573efafa823f1": GROUP_NORM,
    "1180ee88a8874c3c8907": LEAKY_ORDER,
    "7c467acbcbf30b390ccf": SCALED_RELU,
}
MODULE = "from torch import nn\n\n\ndef net(shape, classes):\n    return nn.Linear(shape[0], classes)\n"


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """``importable(name, source)`` writes a module that can be imported during the test."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str):
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    return write


def with_recipe(run: Run, **changes) -> Run:
    fields = {name: getattr(run, name) for name in ("data", "model", "seed")}
    return Run(**fields, recipe={**dict(run.recipe), **changes})


@pytest.mark.parametrize("key", GOLDEN)
def test_keys_are_frozen(key):
    assert GOLDEN[key].key == key


def test_a_key_is_the_hash_of_kind_version_and_what_differs_from_the_defaults():
    text = (
        '{"data":{"classes":72,"name":"cifar100","size":64},"kind":"run",'
        '"model":{"activation":{"name":"relu","slope":62.0},"kind":"mlp"},'
        '"recipe":{"batch_size":64,"epochs":20,"evaluate":"epoch","lr":0.01},"seed":3,"version":1}'
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:20] == SCALED_RELU.key


def test_another_version_is_another_key():
    assert key_of(SIGMOID.canonical(), version=2) != SIGMOID.key


@pytest.mark.parametrize("key", GOLDEN)
def test_a_run_comes_back_from_its_canonical_form_through_json(key):
    canonical = json.loads(json.dumps(GOLDEN[key].canonical()))
    assert Run(**canonical) == GOLDEN[key]
    assert Run(**canonical).key == key
    assert key_of(canonical) == key


def test_labels_and_probes_are_no_part_of_the_key(make_run):
    run = make_run(labels={"blocks": 4, "activation": "relu"}, probes=["gradient_norms@1"])
    assert run.key == make_run().key
    assert run.labels == {"blocks": 4, "activation": "relu"}
    assert run.probes == ("gradient_norms@1",)


def test_a_default_that_is_spelled_out_leaves_the_key():
    spelled = with_recipe(SIGMOID, betas=[0.9, 0.999], eps=1e-8, precision="fp32", stop_after=None, momentum=0)
    assert spelled.key == SIGMOID.key
    data = Data(**dict(SIGMOID.data) | {"test_from": "test", "permutation_seed": None})
    assert with_recipe(SIGMOID, steps_per_epoch=None).model_copy(update={"data": data}).key == SIGMOID.key
    assert SIGMOID.data.canonical() == {"name": "cifar10", "per_class": 300} | {k: list(v) for k, v in NORMAL.items()}


def test_every_field_that_differs_gives_a_key_of_its_own(make_run, small_data):
    recipe_changes = [
        {"optimizer": "adam", "momentum": 0},
        {"lr": 0.06},
        {"momentum": 0.8},
        {"nesterov": True},
        {"betas": (0.8, 0.999)},
        {"eps": 1e-7},
        {"weight_decay": 0.1},
        {"schedule": "cosine"},
        {"schedule": {"name": "cosine", "min_lr": 0.01}},
        {"epochs": 3},
        {"stop_after": 1},
        {"steps_per_epoch": 4},
        {"shuffle": "once"},
        {"warmup": 1},
        {"label_smoothing": 0.1},
        {"mixing": "mixup"},
        {"sam": 0.05},
        {"batch_size": 8},
        {"test_batch_size": 8},
        {"precision": "bf16"},
        {"evaluate": "epoch"},
        {"temperature": 2.0},
    ]
    data = dict(small_data)
    data_changes = [
        {"name": "cifar10"},
        {"per_class": 5},
        {"test_per_class": None},
        {"classes": 4},
        {"size": 9},
        {"mean": None},
        {"std": (1, 1, 1)},
        {"subset_seed": 0},
        {"test_from": "train"},
        {"test_mean": (0.4, 0.4, 0.4)},
        {"test_std": (1, 1, 1)},
        {"permutation_seed": 0},
        {"augment": ("flip",)},
        {"validation_per_class": 3},
    ]
    elsewhere = {"keep", "distillation"}  # these need validation images, or a teacher
    assert {name for change in recipe_changes for name in change} == set(Recipe.model_fields) - elsewhere
    assert {name for change in data_changes for name in change} == set(Data.model_fields)
    models = [MLP(hidden=(7,)), MLP(hidden=(6,), activation="tanh"), MLP(hidden=(6,), output="softmax")]
    models += [ConvNet(channels=[6]), ConvNet(channels=[6], norm="none"), ConvNet(channels=[6], bias=False)]
    runs = [make_run(), make_run(seed=1), *(make_run(**change) for change in recipe_changes)]
    runs += [make_run(data=data | change) for change in data_changes] + [make_run(model=model) for model in models]
    runs += [make_run(data=data | {"validation_per_class": 3}, keep="best")]
    runs += [
        make_run(teacher=make_run(seed=3)),
        make_run(teacher=make_run(seed=4)),
        make_run(teacher=make_run(seed=3), distillation=0.5),
    ]
    assert len({run.key for run in runs}) == len(runs)


def test_keep_and_distillation_need_what_they_work_with(make_run, small_data):
    with pytest.raises(InputError, match="keep: 'best': needs validation images: validation_per_class is None"):
        make_run(keep="best")
    with pytest.raises(InputError, match=r"distillation: 0\.5: needs a teacher"):
        make_run(distillation=0.5)
    with pytest.raises(InputError, match="validation_per_class: 3: not with test_from train"):
        Data(**dict(small_data) | {"validation_per_class": 3, "test_from": "train"})


def test_the_labels_of_a_teacher_leave_the_key(make_run):
    one, other = (make_run(teacher=make_run(seed=3, labels={"net": name})) for name in ("a", "b"))
    assert one.key == other.key and one.canonical()["teacher"]["seed"] == 3


def test_an_edited_module_of_a_custom_net_is_another_run(make_run, importable):
    importable("custom_of_this_test", MODULE)
    run = make_run(model=Custom(target="custom_of_this_test:net"))
    assert make_run(model=Custom(target="custom_of_this_test:net")).key == run.key
    assert run.canonical()["model"]["source"] == hashlib.sha256(MODULE.encode()).hexdigest()[:16]
    importable("custom_of_this_test", MODULE + "# edited\n")
    assert make_run(model=Custom(target="custom_of_this_test:net")).key != run.key


def test_arguments_of_a_custom_net_are_part_of_the_key(make_run, importable):
    importable("custom_with_arguments", MODULE)
    models = [Custom(target="custom_with_arguments:net", kwargs=kwargs) for kwargs in ({}, {"width": 3}, {"width": 4})]
    assert len({make_run(model=model).key for model in models}) == 3


def test_a_custom_run_comes_back_from_its_canonical_form(make_run, importable):
    importable("custom_there_and_back", MODULE)
    run = make_run(model=Custom(target="custom_there_and_back:net"))
    assert Run(**json.loads(json.dumps(run.canonical()))).key == run.key


def test_a_changed_copy_has_a_key_of_its_own(make_run):
    run = make_run()
    assert run.key != run.model_copy(update={"seed": 5}).key


def test_equality_does_not_depend_on_whether_the_key_was_asked_for(make_run):
    asked, other = make_run(), make_run()
    assert asked.key
    assert asked == other


def test_a_custom_net_of_a_module_that_is_not_there_is_one_clear_error(make_run):
    with pytest.raises(ValueError, match=r"target: 'no_such_module_anywhere:net': there is no module"):
        _ = make_run(model=Custom(target="no_such_module_anywhere:net")).key


@pytest.mark.parametrize(
    "change, start",
    [
        ({"seed": -1}, "seed: -1: "),
        ({"seed": True}, "seed: "),
        ({"sead": 1}, "sead: "),
        ({"data": {"name": "shapes", "size": 0}}, "data: size: 0: "),
        ({"data": {"name": "shapes", "test_from": "validation"}}, "data: test_from: 'validation': "),
        ({"recipe": {"lr": 1, "epochs": 1, "batch_size": 2, "steps_per_epoch": 0}}, "recipe: steps_per_epoch: 0: "),
        ({"model": {"kind": "mlp", "hidden": [0]}}, "model.mlp: hidden.0: 0: "),
        ({"model": {"kind": "convent"}}, "model: "),
        ({"data": "shapes"}, "data: 'shapes': "),
    ],
)
def test_an_error_names_the_field_in_one_line(make_run, change, start):
    with pytest.raises(ValueError) as caught:
        make_run(**change)
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"kind": "convnet", "channels": [8], "kernel": 2}},
        {"recipe": {"lr": True, "epochs": 1, "batch_size": 2}},
    ],
)
def test_an_error_of_a_part_does_not_repeat_the_part(make_run, change):
    with pytest.raises(ValueError) as caught:
        make_run(**change)
    assert "{" not in str(caught.value)


def test_a_validation_split_needs_a_number_of_images():
    with pytest.raises(InputError, match=r"^test_per_class: None: a validation split needs a number of images"):
        Data(name="shapes", per_class=5, test_from="train")


@pytest.mark.parametrize(
    "fields, drawn",
    [
        ({}, False),
        ({"test_per_class": 5}, False),  # the test subset is always the same
        ({"per_class": 5}, True),
        ({"per_class": 5, "subset_seed": 0}, False),
        ({"test_from": "train", "test_per_class": 5}, True),
        ({"test_from": "train", "test_per_class": 5, "subset_seed": 0}, False),
        ({"permutation_seed": 0}, False),
    ],
)
def test_runs_with_other_seeds_have_other_images_where_these_are_drawn_by_the_run(fields, drawn):
    assert Data(name="shapes", **fields).drawn_by_run is drawn


def torch_rates(recipe: Recipe, scheduler: type, **arguments) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.lr)
    schedule, rates = scheduler(optimizer, **arguments), []
    for _ in range(recipe.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("lr, min_lr, epochs", [(0.0195, 0.003, 10), (0.012, 0.0005, 100), (0.1, 0.0, 40), (0.1, 0, 1)])
def test_cosine_rates_are_those_of_torch(lr, min_lr, epochs):
    recipe = Recipe(lr=lr, epochs=epochs, batch_size=1, schedule={"name": "cosine", "min_lr": min_lr})
    expected = torch_rates(recipe, torch.optim.lr_scheduler.CosineAnnealingLR, T_max=epochs, eta_min=min_lr)
    assert [recipe.learning_rate(epoch) for epoch in range(epochs)] == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("milestones, factor", [((20, 40), 0.1), ((1, 2, 49), 0.3), ((), 0.1), ((5, 5), 0.5)])
def test_step_rates_are_those_of_torch(milestones, factor):
    schedule = {"name": "steps", "milestones": milestones, "factor": factor}
    recipe = Recipe(lr=0.0195, epochs=50, batch_size=1, schedule=schedule)
    expected = torch_rates(recipe, torch.optim.lr_scheduler.MultiStepLR, milestones=list(milestones), gamma=factor)
    assert [recipe.learning_rate(epoch) for epoch in range(50)] == pytest.approx(expected, rel=1e-12, abs=0)


def test_a_constant_rate_stays():
    recipe = Recipe(lr=0.3, epochs=5, batch_size=1)
    assert {recipe.learning_rate(epoch) for epoch in range(5)} == {0.3}


def test_stop_after_does_not_shorten_the_schedule():
    whole = Recipe(lr=0.3, epochs=9, batch_size=1, schedule="cosine")
    stopped = Recipe(lr=0.3, epochs=9, batch_size=1, schedule="cosine", stop_after=4)
    assert [stopped.learning_rate(epoch) for epoch in range(4)] == [whole.learning_rate(epoch) for epoch in range(4)]
