"""MathML for screen readers, without what only matters to the eye."""

import re
from xml.etree import ElementTree

_APPLIED = "\u2061"  # between a function's name and its argument
_ROWS = {"mrow", "mstyle", "mpadded"}  # groups that say nothing of themselves
_TAKES_ROW = _ROWS | {"math", "msqrt", "mtd", "mphantom", "menclose"}  # whose children stand in a row
_NAMESPACE = 'xmlns="http://www.w3.org/1998/Math/MathML"'


def simplified(element: ElementTree.Element) -> ElementTree.Element:
    """The element without spaces, attributes and needless groups."""
    element.attrib = {name: value for name, value in element.attrib.items() if name in ("display", "mathvariant")}
    children = [simplified(child) for child in element if child.tag != "mspace" and child.text != _APPLIED]
    if element.tag in _TAKES_ROW:
        children = [inner for child in children for inner in (child if child.tag in _ROWS else [child])]
    element[:] = children
    if len(element):
        element.text = None
    for child in element:
        child.tail = None
    return element[0] if element.tag in _ROWS and len(element) == 1 else element


def lean(mathml: str) -> str:
    """MathJax's MathML, as HTML takes it, with as few elements as its meaning needs."""
    tree = simplified(ElementTree.fromstring(mathml.replace(_NAMESPACE, "", 1)))
    return re.sub(r"<(\w+)([^>]*?) ?/>", r"<\1\2></\1>", ElementTree.tostring(tree, encoding="unicode"))
