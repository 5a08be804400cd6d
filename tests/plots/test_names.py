"""Names are shortened and wrapped to a width, and different names stay different."""

from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.plots.names import columns, distinct_names, plain, shortened, words_in_lines, wrapped

texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Mn", "Me", "Cf")), min_size=1, max_size=60
)
alike = st.lists(st.text("ab", min_size=1, max_size=12), min_size=1, max_size=12).map(
    lambda ends: list(dict.fromkeys(f"{'x' * 20}{end}{'y' * 20}" for end in ends))
)


@given(st.one_of(st.lists(texts, min_size=1, max_size=12, unique=True), alike), st.integers(10, 30))
def test_shortened_names_fit_and_stay_different(names: list[str], width: int) -> None:
    shown = distinct_names(names, width)
    assert all(columns(name) <= width for name in shown)
    assert len(set(shown)) == len(names)
    for name, short in zip(names, shown, strict=True):
        if columns(name) <= width and name.isprintable():
            assert short == name


def test_names_that_differ_in_the_middle_show_what_differs() -> None:
    names = [f"Lepidoptera_Nymphalidae_{species}_upper_river_subspecies" for species in ("melpomene", "erato")]
    assert distinct_names(names, 20) == ["…melpomene…", "…erato…"]


def test_names_that_differ_at_one_end_keep_that_end() -> None:
    assert distinct_names(["a" * 30 + "x", "a" * 30 + "y"], 11) == ["aaaaa…aaaax", "aaaaa…aaaay"]


def test_names_without_room_for_their_difference_are_numbered() -> None:
    names = ["x" * 20 + end * 20 + "y" * 20 for end in ("ab", "ba")]
    middles = [name[:10] + "q" + name[11:] for name in names]
    shown = distinct_names([*names, *middles], 12)
    assert len(set(shown)) == 4


@given(texts, st.integers(4, 20), st.integers(1, 4))
def test_wrapped_texts_have_so_many_lines_and_lose_nothing_but_spaces(text: str, width: int, lines: int) -> None:
    short = shortened(text, width * lines)
    rows = wrapped(short, width, lines)
    assert 1 <= len(rows) <= lines
    assert "".join("".join(rows).split()) == "".join(short.split())


def test_lines_break_between_words() -> None:
    assert words_in_lines("not admitted to the school", 14) == ["not admitted", "to the school"]
    assert words_in_lines("a_long-name.png", 6) == ["a_", "long-", "name.", "png"]


def test_wide_characters_count_twice_and_combining_marks_not() -> None:
    assert [columns(text) for text in ("cat", "狗和猫", "한국어", "ที่", "é")] == [3, 6, 6, 1, 1]
    assert shortened("日本語の長いクラス名前", 9) == "日本…名前"


def test_a_dollar_sign_is_no_formula() -> None:
    assert plain("$x^2$\n") == r"\$x^2\$\x0a"


def test_what_follows_words_from_right_to_left_stays_behind_them() -> None:
    assert plain("قطة سوداء (5 %)") == "قطة سوداء \u200e(5 %)"
    assert plain("חתול-5.png, cat") == "חתול\u200e-5.png, cat"
