"""Array shapes and dtypes as part of a function's signature, checked at every call."""

from beartype import BeartypeConf, beartype
from jaxtyping import jaxtyped

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function):
    """Check a function's jaxtyping annotations at every call.

    A wrong shape, dtype or type raises a `TypeError` that names the argument, what came and what was expected.
    An `int` passes where a `float` is annotated.
    """
    return jaxtyped(function, typechecker=_beartype)
