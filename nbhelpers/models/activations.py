"""Activations that torch does not have, with their papers; x has any shape, and so has f(x).

Learnable parameters are single numbers that all units of a layer share, and start where their papers start them;
`models.initialise` leaves them alone. What torch has stands in `nbhelpers.zoo`, with its formulas.
"""

import torch
from torch import Tensor, nn

from nbhelpers.errors import InputError


class _Learnable(nn.Module):
    """An activation whose keyword arguments are the initial values of its learnable numbers."""

    def __init__(self, **initial: float):
        super().__init__()
        for name, value in initial.items():
            setattr(self, name, nn.Parameter(torch.tensor(float(value))))

    def extra_repr(self) -> str:
        shown = [(name, value) for name, value in self.named_parameters() if value.dim() == 0 and not value.is_meta]
        return ", ".join(f"{name}={value.item():g}" for name, value in shown)


class Elliott(nn.Module):
    """f(x) = x / (2 (1 + |x|)) + 1/2, a sigmoid without an exponential. Range (0, 1).

    Elliott, A Better Activation Function for Artificial Neural Networks, 1993, scaled as in arXiv:2109.14545.
    """

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.softsign(x) * 0.5 + 0.5


class Swish(_Learnable):
    """f(x) = x sigmoid(beta x), beta learnable from 1. Range [-0.278/beta, inf).

    Ramachandran, Zoph and Le, arXiv:1710.05941. With beta fixed at 1 it is SiLU.
    """

    def __init__(self, beta: float):
        super().__init__(beta=beta)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)


class ABReLU(nn.Module):
    """f(x) = max(0, x - mean(x)), the mean over all values of an image: all dimensions but the first. Range [0, inf).

    Average biased ReLU: Dubey and Chakraborty, arXiv:1804.02051. Not elementwise: the gradient passes the mean too.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x - x.mean(tuple(range(1, x.dim())), keepdim=True))


class LiSHT(nn.Module):
    """f(x) = x tanh(x), even in x. Range [0, inf). Roy et al., arXiv:1901.05894."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.tanh(x)


class SRS(_Learnable):
    """f(x) = x / (x / alpha + exp(-x / beta)), soft-root-sign: alpha learnable from 5, beta from 3.

    Range [-beta / (e - beta / alpha), alpha), the lower end at x = -beta. Zhou et al., arXiv:2003.00547. The paper
    wants both numbers positive: their magnitudes are used. The exponent is capped where f is 0 to single precision, so
    that nothing overflows.
    """

    CAP = 40.0

    def __init__(self, alpha: float, beta: float):
        super().__init__(alpha=alpha, beta=beta)

    def forward(self, x: Tensor) -> Tensor:
        return x / (x / self.alpha.abs() + torch.exp((-x / self.beta.abs()).clamp(max=self.CAP)))


class PAU(nn.Module):
    """f(x) = (a0 + a1 x + ... + a5 x^5) / (1 + |b1 x + ... + b4 x^4|), a Padé activation unit. Range R.

    Molina, Schramowski and Kersting, arXiv:1907.06732, in the safe form. All ten numbers are learnable, from the
    paper's approximation of a leaky ReLU of slope 0.01 on [-3, 3].
    """

    TOP = (0.02979246, 0.61837738, 2.32335207, 3.05202660, 1.48548002, 0.25103717)
    BOTTOM = (1.14201226, 4.39322834, 0.87154450, 0.34720652)

    def __init__(self):
        super().__init__()
        self.top, self.bottom = nn.Parameter(torch.tensor(self.TOP)), nn.Parameter(torch.tensor(self.BOTTOM))

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = self.top[5], self.bottom[3]
        for i in range(4, -1, -1):  # Horner's rule
            top = top * x + self.top[i]
        for i in range(2, -1, -1):
            bottom = bottom * x + self.bottom[i]
        return top / (1 + (bottom * x).abs())


class PDELU(_Learnable):
    """f(x) = x for x > 0, else alpha (max(0, 1 + (1 - t) x)^(1 / (1 - t)) - 1), alpha learnable from 1, t = 0.9.

    Range [-alpha, inf). It tends to ELU as t tends to 1. Cheng et al., Parametric Deformable Exponential Linear Units
    for deep neural networks, Neural Networks 125, 2020. InputError unless t < 1.
    """

    def __init__(self, alpha: float, t: float):
        super().__init__(alpha=alpha)
        if not t < 1:
            raise InputError(f"activation pdelu: t: {t:g}: must be below 1")
        self.t = t

    def forward(self, x: Tensor) -> Tensor:
        base = torch.relu(1 + (1 - self.t) * x.clamp(max=0))
        return torch.relu(x) + self.alpha * (base ** (1 / (1 - self.t)) - 1)


class SReLU(_Learnable):
    """f(x) = t_right + a_right (x - t_right) above t_right, t_left + a_left (x - t_left) below t_left, x between.

    Four learnable numbers; range R while the slopes are positive. Jin et al., arXiv:1512.07030. They start as a leaky
    ReLU (0, 0.2 on the left, slope 1 on the right), as in the paper's first phase; its second start of t_right, from
    the data after some epochs with frozen numbers, is left out.
    """

    def __init__(self, t_left: float, a_left: float, t_right: float, a_right: float):
        super().__init__(t_left=t_left, a_left=a_left, t_right=t_right, a_right=a_right)

    def forward(self, x: Tensor) -> Tensor:
        right, left = torch.relu(x - self.t_right), torch.relu(self.t_left - x)
        return x + (self.a_right - 1) * right + (1 - self.a_left) * left


MODULES: dict[str, type[nn.Module]] = {
    "elliott": Elliott,
    "swish": Swish,
    "abrelu": ABReLU,
    "lisht": LiSHT,
    "srs": SRS,
    "pau": PAU,
    "pdelu": PDELU,
    "srelu": SReLU,
}
