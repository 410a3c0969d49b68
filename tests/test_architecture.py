"""What import-linter cannot see of the house's plan: names, and what stands in no layer. `make lint` checks imports."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "bot").rglob("*.py"))
SHIPPED = [*CORE, *sorted((ROOT / "adapters").rglob("*.py")), *sorted((ROOT / "knowledge").rglob("*.py"))]
PLATFORM = re.compile(r"telegram|slack|wecom", re.IGNORECASE)

READS_ENVIRONMENT = {
    "bot/cli/common.py": "hands the environment to bot.settings, its only reader",
    "bot/engine/vllm_model.py": "sets what vLLM reads when it is imported; reads nothing",
}


def _place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _without_prose(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but docstrings and the strings under attributes; comments are in no tree."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            continue
        yield node
        yield from _without_prose(node)


def _words(node: ast.AST) -> Iterator[str]:
    """The identifiers and strings of one node; a sentence for people may give an example."""
    for _, value in ast.iter_fields(node):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and not re.search(r"\s", item):
                yield item


def _platforms_in(path: Path) -> list[str]:
    nodes = _without_prose(ast.parse(path.read_text("utf-8")))
    return [word for node in nodes for word in _words(node) if PLATFORM.search(word)]


def _reads_environment(path: Path) -> bool:
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return any(isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") for node in nodes)


def test_every_module_of_the_core_stands_in_a_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "layers")
    placed = {module.strip() for layer in layers for module in re.split("[|:]", layer)}
    there = {f"bot.{path.stem}" for path in (ROOT / "bot").glob("*.py")} - {"bot.__init__"}
    there |= {f"bot.{path.parent.name}" for path in (ROOT / "bot").glob("*/__init__.py")}
    assert there <= placed


def test_the_core_names_no_platform() -> None:
    assert {_place(path): words for path in CORE if (words := _platforms_in(path))} == {}


def test_only_the_settings_see_the_environment() -> None:
    assert {_place(path) for path in SHIPPED if _reads_environment(path)} == READS_ENVIRONMENT.keys()


def test_the_check_finds_a_name_and_forgives_prose(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""Telegram."""\nclass A:\n    x = "as telegram:1"\n    """WeCom."""\n# Slack\n')
    assert _platforms_in(module) == []
    module.write_text('def send_to_slack(x):\n    return x == f"{x}telegram"\n')
    assert _platforms_in(module) == ["send_to_slack", "telegram"]
