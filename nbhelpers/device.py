"""Where a run computes: choosing the device, saying what it is, and the arithmetic it may use."""

import os
import platform
from pathlib import Path

import torch

from nbhelpers.errors import InputError

COMPILED = ("no", "default", "cuda-graphs", "both")  # how training is made faster: execution only, in no key


class DeviceError(InputError):
    """A device or precision that this machine does not have."""


def choose(name: str = "auto") -> torch.device:
    """The device for "auto" (a GPU where torch can use one), "cpu" or "cuda".

    Raises DeviceError for "cuda" without a usable GPU, and for any other name.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"device: {name!r}: must be auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"device: 'cuda': {unusable_gpu() or 'this machine has no NVIDIA GPU'}; use auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def unusable_gpu() -> str:
    """Why a GPU that is present cannot be used by this torch; empty if there is none, or it can."""
    if torch.cuda.is_available() or not Path("/proc/driver/nvidia/version").exists():
        return ""
    built = f"was built for CUDA {torch.version.cuda}" if torch.version.cuda else "was built without CUDA"
    return f"a GPU is present, but torch {torch.__version__} cannot use it (it {built})"


def describe(device: torch.device) -> str:
    """The name of the GPU or of the processor, as one line."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        name = f"{facts['model name']} family {facts['cpu family']} model {facts['model']}"
    except (OSError, KeyError):  # no Linux, or no x86
        name = platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def check_precision(precision: str, device: torch.device) -> None:
    """Raise DeviceError where `device` has no `precision` ("fp32", "tf32", "bf16", "fp16")."""
    if device.type == "cpu" and precision in ("tf32", "fp16"):
        raise DeviceError(f"precision: {precision!r}: a CPU has fp32 and bf16; {precision} needs a GPU")
    if precision in ("tf32", "bf16") and device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < 8:
        raise DeviceError(f"precision: {precision!r}: {describe(device)} has fp32 and fp16")


def check_compiled(how: str, device: torch.device, precision: str = "fp32", processes: int = 1) -> None:
    """Raise DeviceError for a name that is not in COMPILED, and for CUDA graphs where there can be none.

    "default": torch.compile prepares the net. "cuda-graphs": whole training steps are recorded as CUDA graphs, see
    `captured.Captured`. "both": steps of the compiled net. Nothing is recorded in fp16, where the CPU decides about
    each step, and of a step that several processes share.
    """
    if how not in COMPILED:
        raise DeviceError(f"compiled: {how!r}: must be {', '.join(COMPILED[:-1])} or {COMPILED[-1]}")
    if not with_graphs(how):
        return
    if device.type != "cuda":
        raise DeviceError(f"compiled: {how!r}: CUDA graphs need a GPU; use no or default")
    if precision == "fp16" or processes > 1:
        why = "fp16" if precision == "fp16" else f"{processes} processes"
        raise DeviceError(f"compiled: {how!r}: no CUDA graphs with {why}; use no or default")


def with_graphs(how: str) -> bool:
    """Whether `how`, of COMPILED, has training steps recorded as CUDA graphs."""
    return how in ("cuda-graphs", "both")


def compiled(model: torch.nn.Module, how: str) -> torch.nn.Module:
    """`model` as training calls it: as it is, or through torch.compile, which then makes a version for each shape.

    One version for all shapes is slower at the one that nearly all batches have. What was compiled before in this
    process is forgotten: past a number of versions torch would compile nothing more, and say so in a warning alone.
    """
    if how not in ("default", "both"):
        return model
    torch._dynamo.reset()
    return torch.compile(model, dynamic=False)


def set_arithmetic(precision: str, threads: int | None) -> None:
    """Fix what decides the bits of a run in this process: threads on the CPU, TF32 and cuDNN on a GPU."""
    if threads is not None:
        torch.set_num_threads(threads)
    # torch's float expm1 (in ELU, SELU, CELU, softplus) is ten times as slow in a process until some other vector
    # function has run in it, of which pow is one (seen: torch 2.14, AVX512, AMD family 26). No value depends on it.
    torch.ones(64).pow(1.5)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
