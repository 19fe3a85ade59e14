"""What a model promises, written inside the model file and checked wherever it is used.

Input ``image`` uint8 ``[N, H, W, 3]`` RGB at the model's size; outputs ``classes`` uint8 ``[N, H, W]`` and
``target_probability`` uint8 ``[N, H, W]`` = floor(255·p). Normalisation lives inside the graph. The contract is
JSON under one key of the ONNX ``metadata_props``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from quadfollow_core.errors import BadInput, BadModel
from quadfollow_core.locate import Rule

METADATA_KEY = "quadfollow"
VERSION = 1
CLASSES = ("background", "person", "target")
INPUT = "image"
CLASSES_OUTPUT = "classes"
PROBABILITY_OUTPUT = "target_probability"
PROMISED = ("version", "name", "width", "height", "classes", "colour_order", "rule")
"""What every contract must say; the rest tells where the model comes from."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What the model is, how to feed it, how to read it, and what it was shown to do."""

    name: str
    width: int
    height: int
    rule: Rule = field(default_factory=Rule)
    classes: tuple[str, ...] = CLASSES
    colour_order: str = "rgb"
    least_lead: float = 0.0
    """How far the target's logit leads the others' at the surest pixel of any frame with a target; applied in the
    graph itself, see :mod:`quadfollow_export.head`. 0: whatever leads at all is a target."""
    training: dict[str, Any] = field(default_factory=dict)
    """Recipe, data fingerprint, runs held out, command."""
    score: dict[str, Any] = field(default_factory=dict)
    """The official score with the official threshold, and the tuned rule's beside it where there is one."""
    checks: dict[str, Any] = field(default_factory=dict)
    """What the export proved: parity figures, negative control, operation counts."""
    commit: str = "unknown"
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise BadModel(f"the model speaks contract version {self.version}; this quadfollow speaks {VERSION}")
        if tuple(self.classes) != CLASSES:
            raise BadModel(f"the model's classes are {list(self.classes)}, expected {list(CLASSES)}")
        if self.colour_order != "rgb":
            raise BadModel(f"the model's colour order is {self.colour_order!r}, expected 'rgb'")
        if not (self.name and isinstance(self.name, str)):
            raise BadModel("the contract names no model")
        if isinstance(self.least_lead, bool) or not (
            isinstance(self.least_lead, int | float) and 0 <= self.least_lead < math.inf
        ):
            raise BadModel(f"least_lead is a difference of logits from 0 up, got {self.least_lead!r}")
        if not all(isinstance(told, dict) for told in (self.training, self.score, self.checks)):
            raise BadModel("what the contract tells of training, score and checks are objects")
        for side in (self.width, self.height):
            if not (type(side) is int and 0 < side <= 4096):
                raise BadModel(f"the model's size {self.width}x{self.height} is not a size in pixels")

    @property
    def size(self) -> tuple[int, int]:
        """Model input ``(width, height)``."""
        return self.width, self.height

    @property
    def variant_of(self) -> str | None:
        """Of which version of a model's file this is a variant of lower precision; None for the model itself."""
        variant = self.checks.get("variant")
        return variant.get("of") if isinstance(variant, dict) else None

    def to_json(self) -> str:
        """Write the contract as one JSON object."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Read a contract.

        Raises:
            BadModel: not JSON, or a promise that is missing or not one this version can keep.
        """
        try:
            data = json.loads(text)
            known = {entry.name for entry in fields(cls)}
            missing = [name for name in PROMISED if name not in data]
            if missing:
                raise BadModel(f"the model's contract says nothing of {', '.join(missing)}")
            data = {key: value for key, value in data.items() if key in known}
            rule = Rule(**{key: data["rule"][key] for key in ("threshold", "min_area")})
            return cls(**(data | {"rule": rule, "classes": tuple(data.get("classes", ()))}))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError, BadInput) as error:
            raise BadModel(f"the model's contract cannot be read: {error}") from error

    @classmethod
    def from_onnx(cls, model: Any) -> Contract:
        """Read the contract of a model that the package ``onnx`` loaded; see :meth:`from_metadata` for the errors."""
        return cls.from_metadata({item.key: item.value for item in model.metadata_props})

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Contract:
        """Read the contract from an ONNX file's ``metadata_props``.

        Raises:
            BadModel: there is none, or it cannot be read.
        """
        if METADATA_KEY not in metadata:
            raise BadModel(
                f"the model carries no contract (metadata key {METADATA_KEY!r}): write one with `quadfollow export`"
            )
        return cls.from_json(metadata[METADATA_KEY])
