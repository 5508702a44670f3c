"""Every public docstring is numpydoc: sections in order, each parameter described, related functions named, an example."""

import fastloss as fl

# Not asked: capitals and full stops in "See Also", a type for several parameters at once, an extended summary.
NOT_ASKED = {"SA03", "SA04", "PR04", "ES01", "SS05", "PR09"}
OBJECTS = {
    "Loss",
    "Evaluation",
    "get_num_threads",
    "set_num_threads",
    "num_threads",
    "show_config",
    "evaluate",
    "custom",
    "gradcheck",
}


def faults() -> list[str]:
    """What numpydoc finds wrong in the docstrings of losses and functions."""
    from numpydoc.validate import validate

    names = [name for name in fl.__all__ if callable(getattr(fl, name)) and not name.startswith("_")]
    return [
        f"{name}: {code} {text}"
        for name in names
        if name not in OBJECTS
        for code, text in validate(f"{getattr(fl, name).__module__}.{name}")["errors"]
        if code not in NOT_ASKED
    ]
