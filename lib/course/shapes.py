"""Array shapes and dtypes as part of a function's signature, checked at every call.

jaxtyping and beartype are the judge: they find what is wrong and word the error. They take 30 to 130 µs a call, so each
function has a plan too (`lib.course.plans`), which knows the calls that they are sure to pass, in a few µs.

The rest of `lib` takes jaxtyping's names from here: where one of the two packages is missing, as in a standalone
notebook, nothing is checked and the same functions run.
"""

import functools
import random
from importlib.util import find_spec

CHECKS = all(map(find_spec, ("jaxtyping", "beartype")))
if CHECKS:
    from jaxtyping import Bool, Float, Float32, Float64, Int, Int64, Real, jaxtyped

    from lib.course.plans import plan
else:

    class Real:
        """Keeps of an annotation the array's type: `Real[Tensor, "n 3"]` is `Tensor`."""

        def __class_getitem__(cls, type_and_shape):
            return type_and_shape[0]

    Bool = Float = Float32 = Float64 = Int = Int64 = Real

__all__ = ["CHECKS", "Bool", "Float", "Float32", "Float64", "Int", "Int64", "Real", "checked", "judged"]


def checked(function):
    """Check a function's jaxtyping annotations at every call.

    A wrong shape, dtype or type raises a `TypeError` that names the argument, what came and what was expected.
    An `int` passes where a `float` is annotated. Without jaxtyping and beartype it returns the function as it is.
    """
    if not CHECKS:
        return function
    tests = plan(function)
    if tests is None:
        return judged(function)
    sizes_of, is_fine = tests
    judge = functools.cache(lambda: judged(function))

    @functools.wraps(function)
    def planned(*args, **kwargs):
        __tracebackhide__ = True
        try:
            sizes = sizes_of(*args, **kwargs)
        except Exception:
            sizes = None
        if sizes is None:
            return judge()(*args, **kwargs)
        result = function(*args, **kwargs)
        try:
            fine = is_fine(result, *sizes)
        except Exception:
            fine = False
        if not fine:
            judged(functools.wraps(function)(lambda *_, **__: result))(*args, **kwargs)
        return result

    return planned


def judged(function):
    """The function with every call checked by jaxtyping and beartype themselves."""
    from beartype import BeartypeConf, beartype

    def without_draws(annotated):
        """beartype looks at a random item of a sequence: python's random state must stay where it is."""
        judge = beartype(conf=BeartypeConf(is_pep484_tower=True))(annotated)

        @functools.wraps(judge)
        def judge_without_draws(*args, **kwargs):
            state = random.getstate()
            try:
                return judge(*args, **kwargs)
            finally:
                random.setstate(state)

        return judge_without_draws

    return jaxtyped(function, typechecker=without_draws)
