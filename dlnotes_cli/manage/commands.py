"""`dlnotes data list`, `info`, `preview`, `cache list`, `cache clear` and `dlnotes doctor`."""

from dlnotes_cli.manage.options import (
    CacheClearConfig,
    CacheListConfig,
    DataInfoConfig,
    DataListConfig,
    DataPreviewConfig,
    DoctorConfig,
)
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import show


@command(
    panel="Manage",
    task="manage.data:list_sets -> SetList",
    also=("data.named_sets:NamedSetInfo",),
    examples=("dlnotes data list", "dlnotes data list --json"),
)
def data_list(config: DataListConfig) -> None:
    """List the named data sets, and where each was found."""


@command(
    panel="Manage",
    task="manage.data:describe_data -> ImagesInfo | TableInfo",
    examples=("dlnotes data info", "dlnotes data info digits --json"),
)
def data_info(config: DataInfoConfig) -> None:
    """Describe a data set: samples per class and split, image sizes, statistics, unreadable files."""


@command(
    panel="Manage",
    task="manage.preview:draw_preview -> PreviewResult",
    also=("manage.preview:preview_text -> TextPreview",),
    examples=(
        "dlnotes data preview",
        "dlnotes data preview digits --augment rotate:20,erase:0.5 --out sheet.png",
        'dlnotes data preview --text "1 2 3 4 5 6 7" --tokens words --seq-len 3',
    ),
)
def data_preview(config: DataPreviewConfig) -> None:
    """Preview augmentation: images of a data set in the first column, augmented variants next to each.

    A training run with the same seed uses the same variants, one per epoch, except for mixup and cutmix.
    Of a text it prints the first batches of char-rnn: row by row the inputs, and the targets one token later.
    """
    from dlnotes_cli.manage.preview import draw_preview, preview_text

    show(preview_text(config) if config.reads_text else draw_preview(config), config)


@command(
    panel="Manage",
    task="manage.data:list_cache -> CacheContent",
    also=("manage.data:CachedFolder",),
    examples=("dlnotes data cache list", "dlnotes data cache list --json"),
)
def cache_list(config: CacheListConfig) -> None:
    """List the image folders whose decoded images or features are cached."""


@command(
    panel="Manage",
    task="manage.data:clear_cache -> CacheContent",
    examples=("dlnotes data cache clear", "dlnotes data cache clear --json"),
)
def cache_clear(config: CacheClearConfig) -> None:
    """Delete cached images and features of one folder or all, and print the space freed. The image files stay."""


@command(
    panel="Manage",
    task="manage.doctor:examine -> DoctorReport",
    examples=("dlnotes doctor", "dlnotes doctor --time resnet18 --batch-size 2 --size 64"),
)
def doctor(config: DoctorConfig) -> None:
    """Check this machine: versions, devices, precision, CPU cores, cache and data sets.

    With --time it measures how long a network takes for a batch on each device.
    """
