"""A device or a precision that is not there is one clear error."""

from pathlib import Path

import pytest
import torch

from nbhelpers import device as devices

CPU = torch.device("cpu")


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_auto_is_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [devices.choose(name).type for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]


def test_auto_is_the_cpu_elsewhere(without_gpu):
    assert [devices.choose(name) for name in ("auto", "cpu")] == [CPU, CPU]


def test_cuda_without_a_gpu_is_one_clear_error(without_gpu, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: False)
    with pytest.raises(devices.DeviceError) as caught:
        devices.choose("cuda")
    assert str(caught.value) == "device: 'cuda': this machine has no NVIDIA GPU; use auto or cpu"


def test_a_gpu_that_torch_cannot_use_is_told_apart(without_gpu, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(devices.DeviceError, match=r"a GPU is present, but torch \S+ cannot use it \(it was built for"):
        devices.choose("cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "it was built without CUDA" in devices.unusable_gpu()


def test_no_gpu_is_nothing_unusable(without_gpu, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert devices.unusable_gpu() == ""


@pytest.mark.parametrize("name", ["gpu", "cuda:0", "CPU", ""])
def test_another_name_is_an_error_that_says_what_is_allowed(name):
    with pytest.raises(devices.DeviceError, match=f"device: {name!r}: must be auto, cpu or cuda"):
        devices.choose(name)


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_a_cpu_has_no_tf32_and_no_fp16(precision):
    with pytest.raises(devices.DeviceError, match=f"precision: '{precision}': a CPU has fp32 and bf16"):
        devices.check_precision(precision, CPU)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cpu_has_fp32_and_bf16(precision):
    devices.check_precision(precision, CPU)


@pytest.mark.parametrize("generation, missing", [(7, {"tf32", "bf16"}), (8, set()), (9, set())])
def test_an_old_gpu_has_fp32_and_fp16(monkeypatch, generation, missing):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (generation, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    refused = set()
    for precision in ("fp32", "tf32", "bf16", "fp16"):
        try:
            devices.check_precision(precision, torch.device("cuda"))
        except devices.DeviceError as error:
            assert "Tesla T4 has fp32 and fp16" in str(error)
            refused.add(precision)
    assert refused == missing


def test_a_cpu_is_described_in_one_line_with_its_instruction_set():
    text = devices.describe(CPU)
    assert text.endswith(f"({torch.backends.cpu.get_cpu_capability()})")
    assert "\n" not in text


def test_a_cpu_is_described_where_proc_is_missing(monkeypatch):
    def refuse(self):
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(devices.platform, "processor", lambda: "")
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    assert devices.describe(CPU).startswith("arm64 (")


def test_arithmetic_is_set_for_the_precision():
    for precision, tf32 in (("tf32", True), ("fp32", False), ("bf16", False)):
        devices.set_arithmetic(precision, None)
        assert torch.backends.cuda.matmul.allow_tf32 is tf32
        assert torch.backends.cudnn.allow_tf32 is tf32
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark


def test_threads_are_set_only_where_a_number_is_given():
    before = torch.get_num_threads()
    try:
        devices.set_arithmetic("fp32", 2)
        assert torch.get_num_threads() == 2
        devices.set_arithmetic("fp32", None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
