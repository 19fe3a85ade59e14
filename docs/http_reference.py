"""The page ``http-reference.md``: the server's own OpenAPI description, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np

from quadfollow_server.running import RunningServer
from quadfollow_server.segmenter import ConstantSegmenter

START = """# HTTP, every field

What the server says of itself at `/openapi.json`, made into this page at each build; `/docs` of a running server shows
the same with forms to try. What it means stands at [the HTTP door](http.md).
"""
Node = dict[str, Any]


def reference_page() -> str:
    """Ask a server for its description and write it as Markdown."""
    with RunningServer(segmenters=[ConstantSegmenter(np.zeros((8, 8), dtype=np.uint8))]) as server:
        api: Node = httpx.get(f"{server.url}/openapi.json", timeout=30).raise_for_status().json()
    schemas: Node = api["components"]["schemas"]
    paths = [_path(path, verb, one) for path, verbs in sorted(api["paths"].items()) for verb, one in verbs.items()]
    shapes = [_shape(name, schema) for name, schema in schemas.items() if "properties" in schema]
    return "\n".join([START, *paths, "## What answers are made of\n", *shapes])


def _path(path: str, verb: str, operation: Node) -> str:
    """One path: query, body, answers."""
    parts = [f"## {verb.upper()} {path}\n", f"{operation['summary']}. {operation.get('description', '')}\n"]
    if operation.get("parameters"):
        rows = (
            (f"`{one['name']}`", _kind(one["schema"]), one.get("description", "")) for one in operation["parameters"]
        )
        parts.append(_table(("query", "type", "meaning"), rows))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        fields = content["schema"].get("properties")
        parts.append(f"Body `{media}`{':' if fields else ', the bytes alone.'}\n")
        parts += [_table(("part", "type", "meaning"), _fields(content["schema"]))] if fields else []
    answers = (
        (status, ", ".join(f"`{media}`" for media in one.get("content", {})) or "–", one["description"])
        for status, one in operation["responses"].items()
    )
    return "\n".join([*parts, _table(("status", "content", "when"), answers)])


def _shape(name: str, schema: Node) -> str:
    """One object: its fields."""
    return "\n".join(
        [f"### {name}\n", f"{schema.get('description', '')}\n", _table(("key", "type", ""), _fields(schema))]
    )


def _fields(schema: Node) -> Iterator[tuple[str, str, str]]:
    for name, one in schema["properties"].items():
        yield f"`{name}`", _kind(one), one.get("description", "")


def _kind(schema: Node) -> str:
    """A type in words, such as ``number or null`` or a link to the object."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        items = schema.get("items") or schema["prefixItems"][0]
        count = f"{schema['maxItems']} × " if "maxItems" in schema else "list of "
        return count + _kind(items)
    return str(schema.get("format") or schema.get("type", "anything"))


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', ' or ') for cell in row)} |\n" for row in lines)
