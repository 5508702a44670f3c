"""Perplexity by the mean cross-entropy: e to the nats, 2 to the bits; and the mistake of mixing them."""

import numpy as np
from style import curve, panels

import fastloss as fl


def draw():
    sizes = np.unique(np.geomspace(1, 300, 30).astype(int))
    nats = np.array([fl.cross_entropy(np.zeros((1, n)), [0]) for n in sizes])
    perplexity = np.array([fl.perplexity(np.zeros((1, n)), [0]) for n in sizes])
    figure, ax = panels(1, width=6.5)
    curve(ax, nats, perplexity, 0, "perplexity of n equally likely tokens: n", marker="o", markersize=3)
    curve(ax, nats, 2**nats, 1, "2 ** nats: a mistake")
    ax.set(yscale="log", xlabel="mean cross-entropy, nats a token", ylabel="perplexity")
    bits = ax.secondary_xaxis("top", functions=(lambda x: x / np.log(2), lambda x: x * np.log(2)))
    bits.set_xlabel("bits a token")
    ax.legend(frameon=False)
    return figure
