# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Answers that a graph keeps: whether a backend takes it, what it costs and what is written start with the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from bitwright.compile.ir import Graph

_P = ParamSpec("_P")
_T = TypeVar("_T")


def kept_with_graph(function: Callable[Concatenate[Graph, _P], _T]) -> Callable[Concatenate[Graph, _P], _T]:
    """Decorator: a graph, which never changes, keeps its last answer and goes with it; nobody may change the answer."""
    place = f"_kept_{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def ask(graph: Graph, /, *args: _P.args, **options: _P.kwargs) -> _T:
        asked = args, options
        if graph.__dict__.get(place, (None, None))[0] != asked:
            graph.__dict__[place] = asked, function(graph, *args, **options)
        return cast(_T, graph.__dict__[place][1])

    return ask
