"""One valid call for each public function whose arguments cannot be made from its signature, by package.

An example gives some arguments, and the rest is made. An `EXEMPT` function is not
tried, and `CHANGES` names the arguments that a call is there to change, both with the reason; arguments in `LONG` count
work, so that huge numbers are answered, but not soon; `NAN` names what may answer NaN to finite input, with the reason;
what an argument in `PASSED_ON` holds goes to a function that is handed in, whose errors are its own.
"""

from importlib import import_module

from public import PACKAGES

EXAMPLES, EXEMPT, CHANGES, LONG, NAN, PASSED_ON = {}, {}, {}, {}, {}, {}
for package in PACKAGES:
    module = import_module(f"examples.of_{package}")
    tables = dict(EXAMPLES=EXAMPLES, EXEMPT=EXEMPT, CHANGES=CHANGES, LONG=LONG, NAN=NAN, PASSED_ON=PASSED_ON)
    for name, table in tables.items():
        table |= {f"lib.{package}.{key}": value for key, value in getattr(module, name, {}).items()}
