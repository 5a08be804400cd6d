"""`conv-shape`: from options to a result.

Each kind of question is imported where it is asked: one filter needs no parser, no layers and no solver, which take a
sixth of the time of `conv-shape -W 130 -F 3`.
"""

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult


def conv_shape(config: ConvShapeConfig) -> ConvShapeResult:
    """Analyze a stack of layers or calculate one filter; raises InputError where PyTorch would raise an error."""
    if config.compare:
        from dlnotes_cli.lessons.conv_shape.comparison import compare_networks

        return compare_networks(config)
    if config.solve is not None:
        from dlnotes_cli.lessons.conv_shape.solved_size import solve_size

        return solve_size(config)
    if config.letters:
        from dlnotes_cli.lessons.conv_shape.single_filter import calculate_filter

        return calculate_filter(config)
    from dlnotes_cli.lessons.conv_shape.stack import analyze_stack, matrix_sizes

    return matrix_sizes(config) if config.gram and not config.has_stack else analyze_stack(config)
