"""Which units or trials to keep, as a condition on their columns: ``quality == 'good' and depth < 500``.

The text is parsed as Python and walked node by node; what is not listed here is refused, and nothing is ever called or looked up but columns.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from lfads_core.errors import ConfigError
from lfads_plugins_lab.recordings.windows import unknown

_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_COUNTED: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_LANGUAGE = "columns, numbers and texts, with == != < <= > >=, in [..], and, or, not, + - * / % and brackets"
_TRUE = {"true", "yes", "1", "1.0"}
_FALSE = {"false", "no", "0", "0.0", "", "nan", "none"}

Columns = Mapping[str, Shaped[np.ndarray, " R"]]


def rows_where(text: str, columns: Columns, *, option: str, where: str) -> Bool[np.ndarray, " R"]:
    """The rows for which the condition holds; a comparison with a missing number does not hold.

    Raises:
        ConfigError: the text is no such condition, or names a column that is not there.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as err:  # ValueError: a null byte
        raise ConfigError(f"{option}: must be a condition of {_LANGUAGE}, got {text!r}. Write it such as \"quality == 'good'\".") from err
    return _Walk(text, columns, option, where).truth(tree)


class _Walk:
    """The value of each part of one condition: an array with an entry for each row, a number, a text, or a list of these."""

    def __init__(self, text: str, columns: Columns, option: str, where: str) -> None:
        self.text, self.columns, self.option, self.where = text, columns, option, where
        self.rows = len(next(iter(columns.values()))) if columns else 0

    def truth(self, node: ast.expr) -> Bool[np.ndarray, " R"]:
        """A part that must be true or false in each row."""
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(value) for value in node.values]
            joined: np.ndarray = (np.logical_and if isinstance(node.op, ast.And) else np.logical_or).reduce(parts)
            return joined
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.truth(node.operand)
        if isinstance(node, ast.Compare):
            return self.compared(node)
        return self.flags(self.value(node), node)

    def compared(self, node: ast.Compare) -> Bool[np.ndarray, " R"]:
        """``a < b <= c``, ``a in [..]``."""
        found, left = np.ones(self.rows, dtype=bool), self.value(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            if isinstance(op, ast.In | ast.NotIn):
                if not isinstance(right, list):
                    raise self.refused(f"'in' must be followed by a list such as ['a', 'b'], got {ast.unparse(right_node)!r}")
                inside = np.any([self.one(operator.eq, left, item) for item in right], axis=0) if right else np.zeros(self.rows, dtype=bool)
                found &= inside if isinstance(op, ast.In) else ~inside
            elif type(op) in _COMPARED:
                found &= self.one(_COMPARED[type(op)], left, right)
            else:
                raise self.refused(f"got {ast.unparse(node)!r}")
            left = right
        return found

    def one(self, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> Bool[np.ndarray, " R"]:
        """One comparison, row by row; texts with texts, numbers with numbers."""
        texts = [isinstance(side, str) or (isinstance(side, np.ndarray) and side.dtype.kind in "OSU") for side in (left, right)]
        if texts[0] != texts[1]:
            if compare in (operator.eq, operator.ne) and not all(isinstance(side, np.ndarray) for side in (left, right)):
                said = left if not isinstance(left, np.ndarray) else right
                raise self.refused(f"compares a column of {'text' if isinstance(said, int | float) else 'numbers'} with {said!r}")
            raise self.refused("compares text with numbers")
        if texts[0]:
            left, right = (np.array([str(item) for item in side], dtype=object) if isinstance(side, np.ndarray) else side for side in (left, right))
        with np.errstate(invalid="ignore"):
            result = np.broadcast_to(np.asarray(compare(left, right), dtype=bool), (self.rows,)).copy()
        if not texts[0] and compare is operator.ne:  # as every other comparison with a missing number
            for side in (left, right):
                result &= ~np.isnan(np.asarray(side, dtype=np.float64))
        return result

    def value(self, node: ast.expr) -> Any:
        """A column, a number, a text, a list, or what is computed of columns."""
        if isinstance(node, ast.Name):
            if node.id not in self.columns:
                raise ConfigError(unknown(self.where, f"{self.option} must name columns", node.id, list(self.columns)))
            return self.columns[node.id]
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | bool):
            return node.value
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [self.value(item) for item in node.elts]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self.number(node.operand)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp) and type(node.op) in _COUNTED:
            with np.errstate(divide="ignore", invalid="ignore"):
                try:
                    return _COUNTED[type(node.op)](self.number(node.left), self.number(node.right))
                except (ZeroDivisionError, OverflowError) as err:
                    raise self.refused(f"got {ast.unparse(node)!r}: {err}") from err
        raise self.refused(f"got {ast.unparse(node)!r}")

    def number(self, node: ast.expr) -> Any:
        """A part that must be a number."""
        value = self.value(node)
        if isinstance(value, str | list) or (isinstance(value, np.ndarray) and value.dtype.kind not in "biuf"):
            raise self.refused(f"{ast.unparse(node)!r} must be a number")
        return value.astype(np.float64) if isinstance(value, np.ndarray) else value

    def flags(self, value: Any, node: ast.expr) -> Bool[np.ndarray, " R"]:
        """A column of truth values: true or false, 1 or 0, yes or no; a missing one is false."""
        if isinstance(value, bool):
            return np.full(self.rows, value)
        words = [str(item).strip().lower() for item in value.tolist()] if isinstance(value, np.ndarray) and isinstance(node, ast.Name) else [None]
        if not all(word in _TRUE | _FALSE for word in words):
            raise self.refused(f"{ast.unparse(node)!r} must be true or false in each row. Compare it with something")
        return np.array([word in _TRUE for word in words])

    def refused(self, what: str) -> ConfigError:
        """A sentence on this condition."""
        return ConfigError(f"{self.option}: {self.text!r} must be a condition of {_LANGUAGE}; {what}.")
