"""Examples in the docstrings of what follows from a law give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import analysis.answers

MODULES = [module.name for module in pkgutil.iter_modules(analysis.answers.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    module = importlib.import_module(f"analysis.answers.{name}")
    assert doctest.testmod(module).failed == 0
