"""The engine that cheats are played on: a layer with a weight, a function that writes to an argument, a mean, a
draw."""

import torch


class Norm(torch.nn.Module):
    def __init__(self, size, dtype=torch.float32):
        super().__init__()
        draw = torch.Generator().manual_seed(3)
        self.weight = torch.nn.Parameter((torch.randn(size, generator=draw) * 0.3 + 1).to(dtype), requires_grad=False)

    def forward(self, x):
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return (wide * scale).to(x.dtype) * self.weight


def add_into(x, residual):
    residual += x
    return residual


def mix(scores, values):
    return torch.softmax(scores, dim=-1) @ values


def pick(logits):
    return torch.multinomial(torch.softmax(logits, dim=-1), 1).view(-1)
