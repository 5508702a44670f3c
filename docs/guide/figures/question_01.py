"""The mean of three losses for one constant prediction of real targets: each has its minimum at another statistic."""

import numpy as np
from sklearn.datasets import load_diabetes
from style import curve, panels

import fastloss as fl


def draw():
    target = load_diabetes().target
    guesses = np.linspace(target.min(), target.max(), 400)
    rows = np.broadcast_to(target, (len(guesses), len(target)))
    each = np.broadcast_to(guesses[:, None], rows.shape)
    figure, ax = panels(1, width=7)
    losses = [
        ("mse: the mean", fl.mse(each, rows, reduction="none"), target.mean()),
        ("mae: the median", fl.mae(each, rows, reduction="none"), np.median(target)),
        ("quantile 0.9: the 90 % quantile", fl.quantile(each, rows, q=0.9, reduction="none"), np.quantile(target, 0.9)),
    ]
    for k, (label, values, best) in enumerate(losses):
        mean = values.mean(axis=1)
        mean = (mean - mean.min()) / (np.median(mean) - mean.min())
        (line,) = curve(ax, guesses, mean, k, label)
        ax.plot(best, 0, "o", color=line.get_color(), clip_on=False, zorder=3)
    ax.hist(target, bins=40, weights=np.full(len(target), 20 / len(target)), color="#808080", alpha=0.3)
    ax.set(xlabel="one prediction for all patients (disease progression)", ylabel="mean loss, scaled", ylim=(0, 3))
    ax.legend(frameon=False)
    return figure
