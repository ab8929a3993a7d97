"""Which families go where, as a table in Markdown: `python -m converter.directions`."""

from __future__ import annotations

from pathlib import Path

from converter.errors import InputError
from converter.files.write import FORMATS
from converter.target import CANONICAL, choose_target
from families import FAMILIES, Family


def possible_keys(family: Family, ending: str) -> list[str]:
    """The keys that a target with this ending can have for weights of `family`, its default first."""
    path = Path(f"out{ending}")
    keys = [choose_target(path, family).keys]
    for other in (CANONICAL, *FAMILIES):
        try:
            found = choose_target(path, family, keys=other).keys
        except InputError:
            continue
        keys += [found] if found not in keys else []
    return keys


def render_table() -> str:
    """One row a family, one column an ending of TARGET."""
    lines = [
        f"| family | scales | {' | '.join(f'`{ending}`' for ending in FORMATS)} |",
        f"| --- | --- | {' | '.join('---' for _ in FORMATS)} |",
    ]
    for family in sorted(FAMILIES.values(), key=lambda family: family.name):
        cells = [", ".join(possible_keys(family, ending)) for ending in FORMATS]
        lines.append(f"| `{family.name}`: {family.description} | {_scales(family)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _scales(family: Family) -> str:
    if family.scales == "fold":
        return "folded"
    return "plain; folded on request" if family.fold_optional else "plain"


if __name__ == "__main__":
    print(render_table())
