"""A loss of your own, from the idea to a trained model.

    python examples/custom_loss.py

Deliveries should rather be early than late, and the records hold a few absurd times. So: a robust loss, quadratic near 0 and
linear far out, whose late side weighs more. It is written in NumPy, made a Loss, its derivatives are checked, and a line is
fitted with it by gradient descent.
"""

import numpy as np

import fastloss as fl

LATE, WIDTH, RATE, STEPS = 4.0, 2.0, 0.5, 200


def slope(prediction, target, *, late=LATE, width=WIDTH):
    e = prediction - target
    return np.where(e < 0, late, 1.0) * e / np.sqrt(1 + (e / width) ** 2)


def curvature(prediction, target, *, late=LATE, width=WIDTH):
    e = prediction - target
    return np.where(e < 0, late, 1.0) * (1 + (e / width) ** 2) ** -1.5


@fl.custom(grad=slope, hess=curvature, formula="a(e) width^2 (sqrt(1 + (e/width)^2) - 1)", range="[0, inf)")
def late_is_worse(prediction, target, *, late=LATE, width=WIDTH):
    """Pseudo-Huber loss whose slope is `late` times steeper where the prediction is too small."""
    e = prediction - target
    return np.where(e < 0, late, 1.0) * width**2 * (np.sqrt(1 + (e / width) ** 2) - 1)


def deliveries(rng, n=400):
    """Distances in km and times in minutes, one in twenty of them absurd."""
    distance = rng.uniform(1, 10, n)
    minutes = 5 + 3 * distance + rng.normal(size=n)
    return distance, np.where(rng.uniform(size=n) < 0.05, 10 * minutes, minutes)


def fit(loss, distance, minutes):
    """minutes = intercept + slope x distance, by gradient descent on the mean loss; distances are standardised for it."""
    middle, spread = distance.mean(), distance.std()
    x = (distance - middle) / spread
    intercept, per_spread = np.median(minutes), 0.0
    for step in range(STEPS):
        value, gradient = loss.value_and_grad(intercept + per_spread * x, minutes)
        intercept -= RATE * gradient.sum()
        per_spread -= RATE * gradient @ x
        if step % 50 == 0:
            print(f"  step {step:3d}: mean loss {value:.4f}")
    return intercept - per_spread * middle / spread, per_spread / spread


def main():
    rng = np.random.default_rng(0)
    distance, minutes = deliveries(rng)

    print("checking the derivatives")
    result = fl.gradcheck(late_is_worse, minutes + rng.normal(size=minutes.size), minutes, verbose=True)
    if not result:
        raise SystemExit("the derivatives are wrong")

    print("training")
    intercept, per_km = fit(late_is_worse, distance, minutes)
    promised = intercept + per_km * distance
    usual = np.abs(minutes - (5 + 3 * distance)) < 5
    print(f"promise {intercept:.2f} min + {per_km:.2f} min per km (most are 5 + 3 per km)")
    print(f"of the usual deliveries, {np.mean(promised[usual] > minutes[usual]):.0%} come before the promised time")

    print("the same loss, evaluated like any other")
    print(fl.evaluate([late_is_worse, "mae"], prediction=promised, target=minutes))


if __name__ == "__main__":
    main()
