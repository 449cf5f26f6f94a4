# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a backend is, and how backends are found (entry point group ``bitwright.backends``)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from pydantic import BaseModel, ValidationError

from bitwright.boards import Board
from bitwright.compile.ir import Graph
from bitwright.errors import BackendError

ENTRY_POINTS = "bitwright.backends"
Options = TypeVar("Options", bound=BaseModel)


@dataclass(frozen=True)
class Report:
    """Which nodes a backend takes.

    Attributes:
        backend: its name.
        refused: (node, operator, reason) of every node that it does not take; empty when it takes the graph.
    """

    backend: str
    refused: tuple[tuple[str, str, str], ...] = ()

    @property
    def accepted(self) -> bool:
        """The backend takes the whole graph."""
        return not self.refused

    def require(self, model: str | Path) -> None:
        """Raise BackendError naming the model file and every node that is not taken, unless all are."""
        if not self.accepted:
            lines = "".join(f"\n  {node} ({op}): {reason}" for node, op, reason in self.refused)
            raise BackendError(f"{model}: the backend {self.backend} refuses {len(self.refused)} nodes:{lines}")


@dataclass(frozen=True)
class Transport:
    """How integers travel in one DMA transfer: elements of ``bits`` bits, in the order of the tensor, little endian."""

    bits: int
    signed: bool


@dataclass(frozen=True)
class Project:
    """What a backend emitted.

    Attributes:
        folder: the project.
        graph: the graph as lowered for this backend; its inputs and outputs are those of the original.
        inputs, outputs: transport of every tensor that enters or leaves, by tensor name.
        estimate: figures that need no vendor tool, see the backend's documentation.
        transport: how the host talks to it: 'axi_dma' (streams) or 'engine' (registers and memory).
    """

    folder: Path
    graph: Graph
    inputs: Mapping[str, Transport]
    outputs: Mapping[str, Transport]
    estimate: Mapping[str, Any] = field(default_factory=dict)
    transport: str = "axi_dma"


class Backend(Protocol):
    """Turns an integer graph into a hardware project."""

    name: str

    def options(self, values: Mapping[str, Any]) -> Any:
        """Check the user's options. Raises BackendError naming the option, the rule and the value."""
        ...

    def supports(self, graph: Graph, options: Any, board: Board | None = None) -> Report:
        """Every node that is refused, on this board if one is given, with the reason."""
        ...

    def lower(self, graph: Graph, options: Any) -> Graph:
        """Rewrite the graph into what the backend can express; all output integers stay."""
        ...

    def emit(self, graph: Graph, board: Board, options: Any, folder: Path) -> Project:
        """Write the project. Raises BackendError."""
        ...

    def estimate(self, graph: Graph, options: Any, board: Board | None = None) -> Mapping[str, Any]:
        """Figures that need no vendor tool: `compile.estimate.Estimate.as_dict`, and more of the backend's own."""
        ...


def backend_names() -> list[str]:
    """Names of the installed backends."""
    return sorted(e.name for e in metadata.entry_points(group=ENTRY_POINTS))


def load_backend(name: str) -> Backend:
    """An instance of the backend. Raises BackendError with the nearest name."""
    for entry in _entries():
        if entry.name == name:
            return cast(Backend, entry.load()())
    names = backend_names()
    raise BackendError(f"backend {name!r} is not installed; there are {names}{nearest(name, names)}")


def _entries() -> Iterator[metadata.EntryPoint]:
    """Those of this package come first: of all the installed ones, every file of entry points has to be read."""
    for own in metadata.distributions(name="bitwright"):
        yield from own.entry_points.select(group=ENTRY_POINTS)
    yield from metadata.entry_points(group=ENTRY_POINTS)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that it was likely meant to be, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def parse_options(
    backend: str, model: type[Options], values: Mapping[str, Any], nested: Mapping[str, type[BaseModel]] | None = None
) -> Options:
    """Check the user's options. Raises BackendError: one line with field, rule and value, nearest name included.

    Args:
        nested: models of the entries of a field, by its name.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        if first["type"] == "extra_forbidden":
            known = list((nested or {}).get(str(first["loc"][0]), model).model_fields)
            hint = nearest(str(first["loc"][-1]), known) or f"; known are {', '.join(known)}"
            raise BackendError(f"{backend} option {place} is unknown{hint}") from None
        raise BackendError(f"{backend} option {place} = {first.get('input')!r}: {first['msg']}") from None
