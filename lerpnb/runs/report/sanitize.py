"""Making HTML safe to hand on: nothing in it runs or asks for a file."""

import re

import nh3

DRAWING = set("svg g path rect circle ellipse line polyline polygon text tspan".split())
TAGS = nh3.ALLOWED_TAGS | DRAWING | set("section main button input label tfoot font meter progress style".split())
DROPPED = set("script noscript template iframe object embed title textarea select".split())  # with what is in them
EVERYWHERE = set("class id style title dir lang role hidden align valign width height start color scope".split())
PRESENTATION = set(
    "viewBox xmlns d x y x1 y1 x2 y2 cx cy r rx ry dx dy points transform fill fill-opacity stroke stroke-width "
    "stroke-opacity stroke-dasharray opacity text-anchor font-size font-family font-weight".split()
)

ATTRIBUTES = {
    "*": EVERYWHERE,
    "a": {"href", "name"},
    "img": {"src", "alt"},
    "details": {"open"},
    "input": {"type", "checked", "disabled"},
    "ol": {"reversed"},
    "td": {"colspan", "rowspan", "headers"},
    "th": {"colspan", "rowspan", "headers"},
    "table": {"border", "cellpadding", "cellspacing"},
    "col": {"span"},
    "colgroup": {"span"},
    "meter": {"value", "min", "max"},
    "progress": {"value", "max"},
} | dict.fromkeys(DRAWING, PRESENTATION)

FETCHES = re.compile(r"url\s*\(|@import|image-set\s*\(|\\", re.I)  # CSS that may ask for a file; \ can hide such a word
LINKS = ("#", "http://", "https://", "mailto:")


def sanitize(html: str) -> str:
    """The HTML with nothing in it that runs or asks for a file: only known tags and attributes stay.

    Inline SVG of plain shapes stays; of MathML only the text. An image is a data URL, a link leads to the web, to a
    mail address or to a place on the page.

    >>> sanitize("<b onclick='steal()'>bold</b><script>steal()</script><img src='https://example.com/pixel.png'>")
    '<b>bold</b><img>'
    """
    clean = nh3.clean(
        html,
        tags=TAGS,
        clean_content_tags=DROPPED,
        attributes=ATTRIBUTES,
        attribute_filter=_attribute,
        generic_attribute_prefixes={"aria-"},
        url_schemes={"http", "https", "mailto", "data"},
        url_relative=lambda url: url if url.startswith("#") else None,
    )
    return re.sub(
        r"<style\b[^>]*>(.*?)</style>", lambda style: "" if FETCHES.search(style[1]) else style[0], clean, flags=re.S
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute that may stay."""
    address = re.sub(r"[\x00-\x20]", "", value).lower()
    if name == "href":
        return value if address.startswith(LINKS) else None
    if name == "src":
        return value if address.startswith("data:image/") else None
    return None if (name == "style" or tag in DRAWING) and FETCHES.search(value) else value
