"""Every public function of the law has an example, and every example gives what it says."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import analysis.scaling
from analysis.scaling.form.forms import Form

PACKAGE = analysis.scaling.__name__
EXPORTED_CLASSES = [
    Form,
    *filter(inspect.isclass, (getattr(analysis.scaling, key) for key in analysis.scaling.__all__)),
]
MODULES = [
    PACKAGE,
    *(m.name for m in pkgutil.walk_packages(analysis.scaling.__path__, f"{PACKAGE}.")),
]


def public_objects(name):
    """The public functions of a module; of the classes that the package exports all of it."""
    module = importlib.import_module(name)
    for key, value in vars(module).items():
        if key.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isfunction(value):
            yield key, value
        elif value in EXPORTED_CLASSES:
            yield key, value
            for member, part in vars(value).items():
                is_public = not member.startswith("_") or member == "__call__"
                if is_public and inspect.isfunction(part):
                    yield f"{key}.{member}", part


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold_as_they_stand(name):
    runner = doctest.DocTestRunner()
    output = []
    for test in doctest.DocTestFinder().find(importlib.import_module(name), globs={}):
        runner.run(test, out=output.append)
    assert not runner.failures, "".join(output)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_has_an_example(name):
    without = [
        key
        for key, value in public_objects(name)
        if "Example:" not in (value.__doc__ or "")
        or not doctest.DocTestParser().get_examples(value.__doc__)
    ]
    assert not without


def test_what_the_package_exports_is_looked_at():
    keys = {key for name in MODULES for key, _ in public_objects(name)}
    assert keys >= {"fit_scaling", "ScalingFit", "ScalingFit.tabulate", "FormFit.ceilings"}
    assert keys >= {"Form.__call__", "FitStatus", "RunTableError", "solve", "load_law"}
