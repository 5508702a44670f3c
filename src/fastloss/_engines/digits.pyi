import numpy as np
import numpy.typing as npt

DIGIT: int
OFFSET: int
LOWEST: int
DIGITS: int
BLOCK: int
HUGE: float

def add_digits(values: npt.NDArray[np.float64], digits: npt.NDArray[np.int64]) -> int: ...
