"""A net learns from a trained one as in arXiv:1503.02531; with weight 0 it trains as if alone."""

import pytest
import torch
from torch.nn import functional as F

from nbhelpers import perform as performing
from nbhelpers import train
from nbhelpers.distillation import Teacher
from nbhelpers.models import MLP, ConvNet
from nbhelpers.models.initialise import build
from nbhelpers.perform import perform
from nbhelpers.run import Recipe


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(performing, "user_cache", lambda: tmp_path)
    return tmp_path


def test_the_loss_is_the_papers_formula():
    plain, logits, taught = torch.tensor(1.5).double(), torch.randn(6, 4).double(), torch.randn(6, 4).double()
    weight, t = 0.3, 2.5
    soft, answer = torch.softmax(taught / t, 1), torch.softmax(logits / t, 1)
    divergence = (soft * (soft / answer).log()).sum(1).mean()
    found = Teacher(torch.nn.Identity(), weight, t).loss(plain, logits, taught)
    assert found.item() == pytest.approx((0.7 * 1.5 + 0.3 * t**2 * divergence).item(), rel=1e-12)


def test_the_loss_is_the_plain_one_where_the_net_answers_as_its_teacher():
    logits = torch.randn(5, 3)
    plain = F.cross_entropy(logits, torch.tensor([0, 1, 2, 0, 1]))
    assert Teacher(torch.nn.Identity(), 0.5, 4.0).loss(plain, logits, logits).item() == pytest.approx(plain.item() / 2)


def test_the_teacher_answers_in_evaluation_mode_without_a_graph_and_leaves_the_images(random_images):
    net = build(ConvNet(channels=[4]), (3, 8, 8), 3, 0).train()
    x = random_images(8).images
    before = x.clone()
    answers = Teacher(net, 0.5, 4.0).logits(x)
    assert torch.equal(answers, net.eval()(before)) and not answers.requires_grad and torch.equal(x, before)


@pytest.mark.parametrize("recipe", [{"sam": 0.05}, {"mixing": "mixup"}, {"label_smoothing": 0.1}])
def test_with_weight_0_it_trains_as_alone_bit_for_bit(random_images, recipe):
    images, recipe = random_images(20), Recipe(lr=0.05, epochs=2, batch_size=6, **recipe)

    def weights(teacher):
        net = build(MLP(hidden=(8,)), (3, 8, 8), 3, 1)
        train.fit(net, images, recipe=recipe, seed=1, teacher=teacher)
        return net.state_dict().values()

    teacher = Teacher(build(MLP(hidden=(5,)), (3, 8, 8), 3, 2), 0.0, 4.0)
    assert all(map(torch.equal, weights(None), weights(teacher)))
    teacher = Teacher(teacher.net, 0.5, 4.0)
    assert not all(map(torch.equal, weights(None), weights(teacher)))


def test_a_run_trains_its_teacher_once_and_comes_closer_to_its_answers(make_run, cache, monkeypatch):
    teacher = make_run(model=MLP(hidden=(32,)), epochs=8, seed=5)
    pupil = make_run(teacher=teacher, distillation=0.9, epochs=6)
    trained = []
    monkeypatch.setattr(performing, "perform", lambda run, *a, **k: trained.append(run.key) or perform(run, *a, **k))
    one, two = perform(pupil, "cpu", threads=1), perform(pupil, "cpu", threads=1)
    assert trained == [teacher.key] and one["final"] == two["final"]
    alone = perform(make_run(epochs=6), "cpu", threads=1)
    assert one["final"] != alone["final"] and one["key"] != alone["key"]
    made = performing.taught_by(pupil, torch.device("cpu"))
    _, test, _ = performing.load(pupil)
    assert torch.equal(made.logits(test.images).argmax(1) == test.labels, correct(perform(teacher, "cpu", threads=1)))


def correct(record):
    from nbhelpers import records

    return torch.from_numpy(records.unpack(record["correct"], 30)).bool()


def test_weight_0_needs_no_teacher_to_be_trained(make_run, cache):
    teacher = make_run(seed=5, epochs=50)
    record, alone = (perform(run, "cpu", threads=1) for run in (make_run(teacher=teacher), make_run()))
    assert record["final"] == alone["final"] and not (cache / "teachers").exists()
