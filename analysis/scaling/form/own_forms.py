"""Forms of **b** that are not of this package: every variant of a shape in the user's own file."""

from dataclasses import replace

from analysis.scaling.form.forms import FORMS, Form, forms_of
from analysis.scaling.form.shapes import SHAPES, Shape
from looped.plugins import loading
from looped.plugins.reference import Reference, is_reference
from looped.rules import require

KIND = "forms"
USUAL = "shared_gain"
"""The variant of a shape that is meant where none is named."""

_own_forms: dict[str, Form] = {}
_references: dict[str, Reference] = {}


def form_of(name: str) -> Form:
    """Return a form by its name, one's own too once it was found.

    Example:
        >>> from analysis.scaling.form.own_forms import form_of
        >>> form_of("power").name
        'power'
    """
    return FORMS[name] if name in FORMS else _own_forms[name]


def forms_with(word: str) -> tuple[str, dict[str, Form]]:
    """Find the form that a word means, and all that a comparison takes in for it.

    Args:
        word: a name of ``FORMS``, or a shape of one's own, ``my_forms.py:hill``, or that and a
            variant of its gain, ``my_forms.py:hill/of_E_M``.

    Returns:
        The form's name, and the variants of the shape by name; none for one of ``FORMS``.

    Raises:
        ValueError: there is no such form, or it is no ``Shape``.

    Example:
        >>> from analysis.scaling.form.own_forms import forms_with
        >>> name, variants = forms_with("examples/my_forms.py:hill")
        >>> name.partition("-")[0], len(variants) > 1
        ('hill', True)
    """
    if word in FORMS or word in _own_forms:
        return word, {}
    at = max(word.rfind("/"), 0) if word.rfind("/") > word.rfind(":") else len(word)
    place, variant = word[:at], word[at + 1 :] or USUAL
    installed = loading.names(KIND)
    rule = f"form must be one of {', '.join((*FORMS, *installed))}, or <file>.py:<Name>"
    require(is_reference(place) or place in installed, rule, word)
    variants = _load(loading.pin(KIND, place))
    names = {name.rpartition("/")[2]: name for name in variants}
    require(variant in names, f"{place} must be given as one of {', '.join(names)}", variant)
    return names[variant], variants


def references_of(names: list[str]) -> dict[str, str]:
    """Say where the shapes of one's own are that forms are made of, by the shape's name.

    Example:
        >>> from analysis.scaling.form.own_forms import references_of
        >>> references_of(["power"])
        {}
    """
    shapes = dict.fromkeys(name.rpartition("/")[0] for name in names)
    return {shape: str(_references[shape]) for shape in shapes if shape in _references}


def find_again(references: dict[str, str]) -> None:
    """Load the shapes of one's own that a law was fitted with.

    Raises:
        ValueError: one is not here, or was changed since.

    Example:
        >>> from analysis.scaling.form.own_forms import find_again
        >>> find_again({"hill": "my_lost_forms.py:hill@123456789abc"})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: the law's own form must be here, got: hill must be in a file that is there...
    """
    for text in references.values():
        try:
            _load(Reference.parse(text))
        except ValueError as error:
            rule = "the law's own form must be here"
            raise ValueError(f"{rule}, got: {error}") from None


def _load(reference: Reference) -> dict[str, Form]:
    shape = loading.load(reference)
    rule = f"{reference.name} must be a Shape of analysis.scaling.form.shapes"
    require(isinstance(shape, Shape), rule, type(shape).__name__)
    is_new = shape.name.isidentifier() and shape.name not in {each.name for each in SHAPES}
    require(
        is_new, f"the name of {reference.name} must be a plain word, none of SHAPES", shape.name
    )
    at_one = shape.rise(1.0, *(parameter.starts[0] for parameter in shape.parameters))
    require(abs(float(at_one)) < 1e-9, f"the rise of {shape.name} must be 0 at b = 1", at_one)
    named_shape = replace(shape, name=f"{shape.name}-{reference.digest[:6]}")
    forms = {form.name: form for form in forms_of(named_shape)}
    _own_forms.update(forms)
    _references[named_shape.name] = reference
    return forms
