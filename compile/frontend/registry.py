# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a handler of an ONNX operator gets, and the table of handlers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from bitwright.compile.frontend.emit import Emitter
from bitwright.compile.frontend.reader import CHANNELS_LAST_DOMAINS, QONNX_DOMAINS
from bitwright.compile.frontend.values import Const, Item, Poison, RealInput, Refuse, Scaled, Value


@dataclass(frozen=True)
class Call:
    """One ONNX node with its inputs looked up.

    Attributes:
        name, op: of the node.
        inputs: None where an optional input is left out.
        attributes: ONNX attributes as Python values.
        outputs: output names; '' for those left out.
        opset: version of the default domain.
        channels_last: the node is of qonnx's channels-last domain.
        batch: length of axis 0 in the file.
        emitter: adds IR nodes.
        quantize_input: makes the integers of a float model input; see importer.py.
    """

    name: str
    op: str
    inputs: tuple[Item | None, ...]
    attributes: dict[str, Any]
    outputs: tuple[str, ...]
    opset: int
    channels_last: bool
    batch: int
    emitter: Emitter
    quantize_input: Callable[..., Value]

    def item(self, i: int) -> Item | None:
        """Input i or None."""
        return self.inputs[i] if i < len(self.inputs) else None

    def value(self, i: int = 0) -> Value:
        """Input i as a run-time tensor of integers; refuses float model inputs that nothing has quantized."""
        item = self.item(i)
        if isinstance(item, RealInput):
            raise Refuse(f"it reads the float model input {item.name}; put a quantizer before it")
        if isinstance(item, Scaled):
            return item.value
        if not isinstance(item, Value):
            raise Refuse(f"input {i} must be computed at run time, it is a constant")
        if item.host_ops:
            raise Refuse(
                f"it reads the result of {item.host_ops[-1].op}, which the host computes; it must end the model"
            )
        return item

    def scaled(self, i: int = 0) -> Value | Scaled:
        """Like `value`, for handlers that need no exact coefficients."""
        item = self.item(i)
        return item if isinstance(item, Scaled) else self.value(i)

    def const(self, i: int, what: str) -> Const:
        """Input i, which must be known at compile time."""
        item = self.item(i)
        if item is None:
            raise Refuse(f"{what} (input {i}) is missing")
        if not isinstance(item, Const):
            raise Refuse(f"{what} (input {i}) is computed at run time; it must be a constant")
        return item

    def optional_const(self, i: int, what: str) -> Const | None:
        """Input i if given; must be known at compile time."""
        return None if self.item(i) is None else self.const(i, what)

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute or its default."""
        return self.attributes.get(name, default)


Handler: TypeAlias = Callable[[Call], "Item | tuple[Item, ...]"]

#: (domain group, operator) -> handler. Domain groups: '' (ONNX), 'qonnx', 'channels_last'.
HANDLERS: dict[tuple[str, str], Handler] = {}
#: Handlers that take `Scaled` inputs; others get them with exact coefficients.
TAKE_SCALED: set[Handler] = set()


def handles(*ops: str, domain: str = "", scaled: bool = False) -> Callable[[Handler], Handler]:
    """Decorator: register a handler; ``scaled``: it takes `Scaled` inputs as they are."""

    def register(handler: Handler) -> Handler:
        for op in ops:
            HANDLERS[domain, op] = handler
        if scaled:
            TAKE_SCALED.add(handler)
        return handler

    return register


def domain_group(domain: str) -> str | None:
    """The group of an ONNX domain, or None when it is foreign."""
    if domain in ("", "ai.onnx"):
        return ""
    if domain in QONNX_DOMAINS:
        return "qonnx"
    return "channels_last" if domain in CHANNELS_LAST_DOMAINS else None


def poisoned(items: tuple[Item | None, ...]) -> bool:
    """Some input comes from a refused node."""
    return any(isinstance(i, Poison) for i in items)
