"""The energy of the plane before and after a network has learned two moons from contrastive divergence."""

import numpy as np
from sklearn.datasets import make_moons
from style import adam, panels

import fastloss as fl


def hidden_of(parameters, x):
    w1, b1, _ = parameters
    return np.tanh(x @ w1 + b1)


def energy(parameters, x):
    return hidden_of(parameters, x) @ parameters[2] + 0.05 * (x**2).sum(axis=1)


def slope(parameters, x):
    """Of the energy with respect to the point."""
    w1, _, w2 = parameters
    return ((1 - hidden_of(parameters, x) ** 2) * w2) @ w1.T + 0.1 * x


def walk(parameters, x, rng, steps=20):
    """Langevin's walk downhill: where the model believes that data are."""
    for _ in range(steps):
        x = x - 0.02 * np.clip(slope(parameters, x), -5, 5) + rng.normal(0, 0.08, x.shape)
    return x


def train(data, rng, steps=1500):
    parameters = [rng.normal(0, 1.5, (2, 64)), rng.normal(0, 1.0, 64), np.zeros(64)]
    start = [p.copy() for p in parameters]
    chain = rng.uniform(-2, 3, (256, 2))

    def gradients(step):
        nonlocal chain
        real = data[rng.choice(len(data), 256)] + rng.normal(0, 0.03, (256, 2))
        fresh = rng.random(256) < 0.05
        chain[fresh] = rng.uniform(-2, 3, (int(fresh.sum()), 2))
        chain = walk(parameters, chain, rng)
        d_real, d_model = fl.contrastive_divergence.grad(energy(parameters, real), energy(parameters, chain), alpha=0.02)
        total = [np.zeros_like(p) for p in parameters]
        for x, d in ((real, d_real), (chain, d_model)):
            h = hidden_of(parameters, x)
            d_h = d[:, None] * parameters[2] * (1 - h**2)
            for sums, part in zip(total, (x.T @ d_h, d_h.sum(axis=0), h.T @ d), strict=True):
                sums += part
        return total

    adam(parameters, gradients, steps, 5e-3)
    return start, parameters


def draw():
    rng = np.random.default_rng(0)
    data, _ = make_moons(1000, noise=0.06, random_state=0)
    figure, axes = panels(2, height=3.4)
    side = np.linspace(-2, 3, 120)
    grid = np.stack(np.meshgrid(side, side - 0.25), axis=-1)
    for ax, parameters, title in zip(axes, train(data, rng), ("before", "after"), strict=True):
        surface = energy(parameters, grid.reshape(-1, 2)).reshape(120, 120)
        low = surface.min()
        shown = ax.pcolormesh(side, side - 0.25, np.minimum(surface - low, 4), cmap="cividis", shading="auto", rasterized=True)
        ax.scatter(*data[:300].T, s=2, color="white")
        ax.set(title=f"{title}: the energy of the plane", xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, label="energy above the lowest")
    return figure
