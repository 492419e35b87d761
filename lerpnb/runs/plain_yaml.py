"""YAML as files and command lines give it: plain values as YAML 1.2 reads them, no code, bounded in size and depth."""

import re
from collections import Counter
from typing import Any

import yaml

LONGEST = 200_000  # characters of a text
MOST = 20_000  # values in it, those of an alias wherever it stands
DEEPEST = 50  # mappings and lists inside one another


def read_yaml(text: str) -> Any:
    """The value of a YAML text: 010 is 10, yes and 1:30 are texts, None is null.

    Raises:
        yaml.YAMLError: it is no YAML, asks for code, gives a key twice, or is too large.

    >>> read_yaml("{a: 010, b: 1:30, c: [1e-3, yes, true, None]}")
    {'a': 10, 'b': '1:30', 'c': [0.001, 'yes', True, None]}
    """
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"it has {len(text):,} characters, more than {LONGEST:,}")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
        _check_depth(value, 0)
    except RecursionError:
        raise yaml.YAMLError(f"it is deeper than {DEEPEST} levels, or holds itself") from None
    except (ValueError, TypeError, AttributeError) as error:  # of a number of 5,000 digits, of !!timestamp x
        raise yaml.YAMLError(str(error)) from None
    return value


def _check_depth(value: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise RecursionError
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, depth + 1)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict = {}  # none of YAML 1.1's
    total = depth = 0

    def __init__(self, stream: Any):
        super().__init__(stream)
        self.sizes: dict[int, int] = {}  # of each node: values in it

    def compose_node(self, parent: Any, index: Any) -> Any:
        before, is_alias = self.total, self.check_event(yaml.AliasEvent)
        self.depth += 1
        if self.depth > DEEPEST + 1:
            raise RecursionError
        node = super().compose_node(parent, index)
        self.depth -= 1
        self.total += self.sizes.get(id(node), 1) if is_alias else 1
        if not is_alias:
            self.sizes[id(node)] = self.total - before
        if self.total > MOST:
            raise yaml.YAMLError(f"it holds more than {MOST:,} values, those of aliases among them")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        count = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := [key for key in count if count[key] > 1 and key != "<<"]:
            raise yaml.YAMLError(f"{twice[0]!r} stands twice in one mapping, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


KINDS = {
    "null": r"~|null|Null|NULL|None|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "merge": "<<",
}
for kind, pattern in KINDS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"), None)


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor(
    "tag:yaml.org,2002:float", lambda loader, node: float(re.sub(r"\.(?=[inIN])", "", loader.construct_scalar(node)))
)
