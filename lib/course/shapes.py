"""Array shapes and dtypes as part of a function's signature, checked at every call.

jaxtyping and beartype are the judge: they find what is wrong and word the error. They take 30 to 130 µs a call, so each
function has a plan too (`lib.course.plans`), which knows the calls that they are sure to pass, in a few µs.

The rest of `lib` takes jaxtyping's names from here: where one of the two packages is missing, as in a standalone
notebook, nothing is checked and the same functions run.
"""

import functools
import inspect
import random
from importlib.util import find_spec

CHECKS = all(map(find_spec, ("jaxtyping", "beartype")))
if CHECKS:
    from jaxtyping import Bool, Float, Float32, Float64, Int, Int64, Real, jaxtyped

    from lib.course.causes import cause
    from lib.course.plans import plan
else:

    class Real:
        """Keeps of an annotation the array's type: `Real[Tensor, "n 3"]` is `Tensor`."""

        def __class_getitem__(cls, type_and_shape):
            return type_and_shape[0]

    Bool = Float = Float32 = Float64 = Int = Int64 = Real

__all__ = [
    "CHECKS", "Bool", "Float", "Float32", "Float64", "Int", "Int64", "Real", "checked", "checked_after_errors", "judged",
]  # fmt: skip


def checked(function):
    """Check a function's jaxtyping annotations at every call.

    A wrong shape, dtype or type raises a `TypeError` that names the argument, what came and what was expected.
    An `int` passes where a `float` is annotated. An error of torch's own becomes one that names the argument, where
    `lib.course.causes` finds it, and after any error a random generator among the arguments is where it was. Without
    jaxtyping and beartype it returns the function as it is.
    """
    if not callable(function) and not isinstance(function, property):
        raise TypeError(f"function must be callable, got {function!r}")
    if not CHECKS:
        return function
    tests, answer = plan(function), _rewound(function, function)
    judge = functools.cache(lambda: _explained(_rewound(judged(function), function), function))
    if tests is None:
        return judge() if inspect.isfunction(function) else judged(function)
    sizes_of, is_fine = tests

    @functools.wraps(function)
    def planned(*args, **kwargs):
        __tracebackhide__ = True
        try:
            sizes = sizes_of(*args, **kwargs)
        except Exception:
            sizes = None
        if sizes is None:
            return judge()(*args, **kwargs)
        try:
            result = answer(*args, **kwargs)
        except Exception as error:
            _explain(error, function, args, kwargs)
            raise
        try:
            fine = is_fine(result, *sizes)
        except Exception:
            fine = False
        if not fine:
            judged(functools.wraps(function)(lambda *_, **__: result))(*args, **kwargs)
        return result

    return planned


def checked_after_errors(function):
    """The same errors, but annotations are looked at only where the call has failed: for what every token passes."""
    if not callable(function):
        raise TypeError(f"function must be callable, got {function!r}")
    if not CHECKS:
        return function
    signature = inspect.signature(function)

    @functools.cache
    def judge():
        arguments_alone = functools.wraps(function)(lambda *_, **__: None)
        del arguments_alone.__wrapped__
        arguments_alone.__signature__ = signature.replace(return_annotation=signature.empty)
        arguments_alone.__annotations__ = {k: v for k, v in function.__annotations__.items() if k != "return"}
        return judged(arguments_alone)

    @functools.wraps(function)
    def tried(*args, **kwargs):
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if not _is_ours(error) or type(error).__module__.startswith("jaxtyping"):
                judge()(*args, **kwargs)
            _explain(error, function, args, kwargs)
            raise

    return tried


def _explain(error, function, args, kwargs):
    """Raise what names the argument that made a call fail, if it can be found and the error is not lib's own."""
    if _is_ours(error) and not hasattr(error, "of_torch"):
        return
    if better := cause(error, function, args, kwargs):
        better.of_torch = True  # a function further out may give the argument the name that its caller knows
        raise better from error


def _is_ours(error):
    """Whether `lib` itself raised an error, which says what must be."""
    if type(error).__module__.startswith(("lib.", "jaxtyping")):
        return True
    return isinstance(error, (ValueError, TypeError)) and " must " in str(error) and ", got " in str(error)


def _explained(answer, function):
    @functools.wraps(function)
    def explained(*args, **kwargs):
        __tracebackhide__ = True
        try:
            return answer(*args, **kwargs)
        except Exception as error:
            _explain(error, function, args, kwargs)
            raise

    return explained


def _rewound(answer, function):
    """What answers for the function, but after an error the random generators that it was given are where they were."""
    if not any("Generator" in str(annotation) for annotation in getattr(function, "__annotations__", {}).values()):
        return answer

    @functools.wraps(function)
    def rewound(*args, **kwargs):
        __tracebackhide__ = True
        generators = [value for value in (*args, *kwargs.values()) if type(value).__name__ == "Generator"]
        states = [g.get_state() if hasattr(g, "get_state") else g.bit_generator.state for g in generators]
        try:
            return answer(*args, **kwargs)
        except Exception:
            for generator, state in zip(generators, states, strict=True):
                if hasattr(generator, "set_state"):
                    generator.set_state(state)
                else:
                    generator.bit_generator.state = state
            raise

    return rewound


def judged(function):
    """The function with every call checked by jaxtyping and beartype themselves."""
    from beartype import BeartypeConf, beartype

    if not isinstance(function, property) and (not callable(function) or getattr(function, "__name__", "") == "<lambda>"):
        raise TypeError(f"function must be callable and have a name, got {function!r}")

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
