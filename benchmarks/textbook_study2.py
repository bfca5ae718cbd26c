"""Study 2 as a textbook writes it, from start to end: ``python benchmarks/textbook_study2.py``.

A class for the net, a DataLoader over PIL images with a transform for each, a plain SGD with a cosine schedule, the
loss read at every step, one arm after the other in one process with all cores, a figure at the end: what
`sweeps.py` puts beside ``nbhelpers run BatchNorm_vs_GroupNorm``. In fp32, since bfloat16 on a CPU is no way to train.
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from loop import Pictures
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms

from nbhelpers import data as datasets

GROUPS = {16: 4, 32: 8, 64: 8}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class Net(nn.Module):
    """Three blocks of convolution, norm, ReLU and pooling, and a linear layer."""

    def __init__(self, norm: str):
        super().__init__()
        layers, before = [], 3
        for channels, groups in GROUPS.items():
            layers.append(nn.Conv2d(before, channels, 3, padding=1))
            layers.append(nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(groups, channels))
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            before = channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(64 * 4 * 4, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def train(model: nn.Module, loader: DataLoader, epochs: int) -> None:
    """All epochs, with loss and accuracy counted on the way."""
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0195, momentum=0.91)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs, eta_min=0.003)
    for epoch in range(epochs):
        model.train()
        total, hits, seen = 0.0, 0, 0
        for images, labels in loader:
            optimizer.zero_grad()
            outputs = model(images)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
            hits += (outputs.argmax(1) == labels).sum().item()
            seen += len(labels)
        scheduler.step()
        print(f"  epoch {epoch + 1}: loss {total / seen:.4f}, accuracy {100 * hits / seen:.2f} %")


def test(model: nn.Module, loader: DataLoader) -> float:
    """Accuracy in per cent."""
    model.eval()
    hits, seen = 0, 0
    with torch.no_grad():
        for images, labels in loader:
            hits += (model(images).argmax(1) == labels).sum().item()
            seen += len(labels)
    return 100 * hits / seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--images", type=int, default=200, help="training images of each class")
    parser.add_argument("--tested", type=int, default=1000, help="test images of each class")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--figure", default="accuracy.png")
    given = parser.parse_args()
    whole = datasets.load(given.dataset)
    chain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def subset(pixels, labels, count: int) -> Subset:
        everything = Pictures(pixels, labels, chain)
        labels = torch.as_tensor(labels)
        each = [torch.nonzero(labels == label).flatten() for label in range(10)]
        return Subset(everything, torch.cat([one[torch.randperm(len(one))[:count]] for one in each]).tolist())

    training = subset(whole.train_images, whole.train_labels, given.images)
    testing = DataLoader(subset(whole.test_images, whole.test_labels, given.tested), 1024)
    found = {"batch": [], "group": []}
    for size in given.sizes:
        torch.manual_seed(84035)
        for norm, accuracies in found.items():
            print(f"batch size {size}, {norm} norm")
            model = Net(norm)
            train(model, DataLoader(training, size, shuffle=True), given.epochs)
            accuracies.append(test(model, testing))
            print(f"  test accuracy {accuracies[-1]:.2f} %")
    for norm, accuracies in found.items():
        plt.plot(given.sizes, accuracies, marker="o", label=norm)
    plt.xscale("log", base=2)
    plt.xlabel("batch size")
    plt.ylabel("test accuracy (%)")
    plt.legend()
    plt.savefig(given.figure)


if __name__ == "__main__":
    main()
