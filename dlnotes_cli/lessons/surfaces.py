"""The surfaces of `descend`: a formula, the region that is drawn, a start, and the minima where they are known."""

from dataclasses import dataclass, replace

from dlnotes_cli.lessons.expressions import Formula, parse_formula

Bounds = tuple[tuple[float, float], ...]  # lowest and highest value of each variable


@dataclass(frozen=True)
class Surface:
    """A function of one or two variables; `lr` is a learning rate at which plain gradient descent is stable."""

    name: str
    formula: Formula
    bounds: Bounds
    start: tuple[float, ...]
    lr: float
    minima: tuple[tuple[float, ...], ...] = ()

    def around(self, start: tuple[float, ...] | None) -> "Surface":
        """The surface with a region that contains a start and its reflection, so that there is room to move."""
        if start is None or len(start) != len(self.bounds):
            return self
        bounds = ((min(low, -abs(x)), max(high, abs(x))) for x, (low, high) in zip(start, self.bounds, strict=True))
        return replace(self, bounds=tuple(bounds))


def custom_surface(formula: Formula) -> Surface:
    """The surface of a formula, on which nothing is known."""
    count = len(formula.variables)
    return Surface("custom", formula, ((-5.0, 5.0),) * count, (-4.0, 3.0)[:count], 0.01)


def _named(
    name: str, text: str, bounds: Bounds, start: tuple[float, ...], lr: float, *minima: tuple[float, ...]
) -> Surface:
    return Surface(name, parse_formula(text, name), bounds, start, lr, minima)


SURFACES = {
    surface.name: surface
    for surface in (
        _named("bowl", "x**2 + y**2", ((-5, 5), (-5, 5)), (-4, 3), 0.1, (0, 0)),
        _named("ravine", "0.05*x**2 + y**2", ((-5, 5), (-3, 3)), (-4.5, 2), 0.3, (0, 0)),
        _named("saddle", "x**2 - y**2", ((-2, 2), (-2, 2)), (-1.8, 0.01), 0.05),
        _named(
            "hills", "0.1*x**2 + sin(3*x)", ((-5, 5),), (3.2,), 0.02,
            (-4.608299,), (-2.560807,), (-0.512214,), (1.536590,), (3.584752,),
        ),
        _named("rosenbrock", "(1 - x)**2 + 100*(y - x**2)**2", ((-2, 2), (-1, 3)), (-1.5, 2.5), 0.001, (1, 1)),
        _named(
            "beale", "(1.5 - x + x*y)**2 + (2.25 - x + x*y**2)**2 + (2.625 - x + x*y**3)**2", ((-1, 4.5), (-2, 2)),
            (1, 1), 0.005, (3, 0.5),
        ),
        _named(
            "himmelblau", "(x**2 + y - 11)**2 + (x + y**2 - 7)**2", ((-6, 6), (-6, 6)), (-0.5, -1), 0.005,
            (3, 2), (-2.805118, 3.131313), (-3.779310, -3.283186), (3.584428, -1.848127),
        ),
    )
}  # fmt: skip
