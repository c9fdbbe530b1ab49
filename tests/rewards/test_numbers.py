"""Numbers are read as people write them, and compared exactly; real GSM8K answers are the cases."""

import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.rewards.numbers import NumberVerifier, answer_number, last_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is 18.", "18"),
        ("She makes 9 * 2 = $18 every day.", "18"),
        ("that is $1,234.50 a year", "2469/2"),
        ("#### -5", "-5"),
        ("it fell by −3", "-3"),
        ("a loss of -$5.25", "-21/4"),
        ("a loss of $-5", "-5"),
        ("5-3=2", "2"),
        ("between 10-20", "20"),
        (".5", "1/2"),
        ("3/4 of a cup", "3/4"),
        (r"\boxed{\frac{3}{4}}", "3/4"),
        (r"\boxed{1{,}200}", "1200"),
        ("**72**", "72"),
        ("(5)", "5"),
        ("18kg", "18"),
        ("room a1 has 7 beds in b2", "7"),
        ("no number", None),
        ("", None),
        ("1/0", None),
        ("9" * 5000, None),
        # What is too long or no number is not replaced by an earlier one.
        ("18 and " + "9" * 5000, None),
        ("18 and 1/0", None),
        # Scientific notation.
        ("2.5e16", "25000000000000000"),
        ("5e-05 m", "1/20000"),
        ("1.5E+3.", "1500"),
        ("-2e−3", "-1/500"),
        ("2.5 x 10^16", "25000000000000000"),
        (r"2.5 \times 10^{-3}", "1/400"),
        (r"$6.02 \cdot 10^{23}$", "602000000000000000000000"),
        ("3×10⁸ m/s", "300000000"),
        ("3 × 10⁻²", "3/100"),
        ("10^5", "100000"),
        ("2^10", None),  # an expression
        ("2^10 = 1024", "1024"),
        ("1e999999999", None),
        ("1 x 10^99999999999", None),
        ("18em", "18"),
        # Thousands and decimal commas.
        ("1'234'567.5 francs", "2469135/2"),
        ("12 500", "12500"),  # nothing else is said
        ("it is 12 500", "500"),  # of something that is 12
        ("some 10 000 people", "10000"),
        ("$1 050.5 in all", "2101/2"),
        ("from 5 to 1 000 000.", "1000000"),
        ("in 2019 500", "500"),
        ("12 1 000/2", "1"),
        ("1\u202f234", "1234"),
        (r"1\,234", "1234"),
        ("1_000_000", "1000000"),
        ("12,34,567 rupees", "1234567"),
        ("1.234.567 Euro", "1234567"),
        ("1.234,50 Euro", "2469/2"),
        ("€1.234,50", "2469/2"),
        ("1, 2, 3", "3"),
        # A number that could be several things is none, never a part of it.
        ("3,5", None),
        ("3.2.1", None),
        ("1,2345", None),
        ("1,234,56", None),
        # Mixed numbers.
        ("1 1/2 hours", "3/2"),
        ("2½ cups", "5/2"),
        ("¾", "3/4"),
        (r"1\frac{1}{2}", "3/2"),
        (r"-\frac{3}{4}", "-3/4"),
        (r"\frac34", "3/4"),
        (r"\dfrac { 3 } { 4 }", "3/4"),
        # A fraction of other things than whole numbers is no number, and neither are its parts.
        (r"\frac{\sqrt{2}}{2}", None),
        (r"x = \frac{\sqrt{2}}2", None),
        (r"1\frac{\pi}{2}", None),
        (r"\frac{1.5}{\frac{2}{3}}", None),
        (r"3, not \frac{\frac{x}{2}}{3}", None),
        (r"\frac{\sqrt{4}}{2} = 1", "1"),
        (r"7 \frac{1", "1"),
        ("3⁄4", "3/4"),
        # Signs.
        ("– 5 °C", "-5"),
        ("it is -5.", "-5"),
        ("the rest is 5 - 3", "3"),
        ("Left:\n- 3 apples", "3"),
        ("Left:\n-3 apples", "-3"),
        ("+7", "7"),
        ("¥-5", "-5"),
        ("(1,234)", "1234"),
        ("５０", "50"),
    ],
)
def test_the_last_number_of_a_text(text: str, expected: str | None) -> None:
    found = last_number(text)
    assert (None if found is None else str(found.value)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # What is no number as a whole is not read in part.
        ("0x10", None),
        ("0b101", None),
        ("2x4", None),
        ("3x", None),
        ("3i", None),
        ("2π", None),
        ("2π r", None),
        (r"2\pi", None),
        (r"2 \pi r", None),
        ("3√2", None),
        (r"3\sqrt{2}", None),
        (r"\sqrt[3]{8}", None),
        ("5²", None),
        ("1.5f", None),
        ("1.5e3x", None),
        ("1e", None),
        ("12ab34", None),
        ("18h30", None),
        ("7apples", None),
        ("it is 4, or 0x10", None),  # nor replaced by an earlier one
        # Factors.
        ("1.5k", "1500"),
        ("$1.5K", "1500"),
        ("-2k", "-2000"),
        ("5k-10k", "10000"),
        ("1/2k", "500"),
        ("1,234.5k", "1234500"),
        ("2bn", "2000000000"),
        ("€2Bn", "2000000000"),
        ("3mn", "3000000"),
        ("3mio", "3000000"),
        ("1.5million", "1500000"),
        ("$5m", "5000000"),
        ("$5M or so", "5000000"),
        ("$2B", "2000000000"),
        ("£1.2t", "1200000000000"),
        ("3万人", "30000"),
        ("1.5亿", "150000000"),
        ("3万5千", None),
        # Two things at once.
        ("300K", None),
        ("5M", None),
        ("5B", None),
        ("5T", None),
        ("5MM", None),
        ("$5m, not $6", "6"),
        ("$5m + y$", None),
        # Units.
        ("$5m$", "5"),
        ("$18cm + y$", "18"),
        ("5m", "5"),
        ("12km", "12"),
        ("12km/h", "12"),
        ("5m²", "5"),
        ("5m2", "5"),
        ("5t2", None),
        ("20°C", "20"),
        ("-20C", "-20"),
        ("68ºF", "68"),
        ("5KG", "5"),
        ("3kWh", "3"),
        ("16GB", "16"),
        ("75min", "75"),
        ("10:30am", "30"),
        ("the 3rd", "3"),
        ("the 1980s", "1980"),
        ("25¢", "25"),
        ("25c", "25"),
        ("5USD", "5"),
        ("1.5e3 kg", "1500"),
        ("3/4in", "3/4"),
        ("**18**kg", "18"),
        ("_It is 18_", "18"),
        ("5кг", "5"),
        ("答案是18个", "18"),
        ("18円", "18"),
        ("3千克", "3"),  # kilograms
        ("18개", "18"),
    ],
)
def test_what_a_number_runs_into(text: str, expected: str | None) -> None:
    found = last_number(text)
    assert (None if found is None else str(found.value)) == expected


@pytest.mark.parametrize(
    ("completion", "answer", "right"),
    [
        ("#### 18", "18", True),
        ("So 18 eggs.\n#### 18", "The answer\n#### 18", True),
        ("#### 18 because 2 + 16", "18", True),
        ("#### 18\n#### 19", "18", False),
        ("It is 18, or 19", "18", False),
        ("<think>2 + 3 = 5</think><answer>$5</answer> and 7", "5", True),
        ("<think>it is 5</think><answer>none</answer>", "5", False),
        ("<answer>5", "5", True),
        ("<answer>4</answer> <answer>5</answer>", "5", True),
        ("1,000", "1000", True),
        ("1000.00", "1,000", True),
        ("1000.01", "1000", False),
        ("0.5", "1/2", True),
        ("50%", "0.5", True),
        ("50%", "50", True),
        ("50", "50%", True),
        ("5%", "50", False),
        ("-5", "5", False),
        ("0.333", "1/3", False),
        ("18", 18, True),
        ("18.5", 18.5, True),
        # Numbers of data files, whatever Python would write for them.
        ("0.00005", 0.00005, True),
        ("5", 0.00005, False),
        ("5e-05", 0.00005, True),
        ("25000000000000000", 2.5e16, True),
        ("16", 2.5e16, False),
        ("2.5e16", "2.5e16", True),
        ("0.1", 0.1, True),
        ("1.0000000000000001", 1.0, False),
        ("12345678901234567890123", 12345678901234567890123, True),
        ("12345678901234567890124", 12345678901234567890123, False),
        ("0.10", Decimal("0.1"), True),
        ("1e-7", Decimal("1E-7"), True),
        ("-0.0", 0, True),
        ("50 percent", "0.5", True),
        ("50pct", "0.5", True),
        # A word such as million is a unit where the other side has none.
        ("3 million people", 3_000_000, True),
        ("3 million people", "3", True),
        ("3 million", "3 million", True),
        ("1.5 Billion", "1,500 million", True),
        ("5 hundred thousand", 500_000, True),
        ("5 dozens", 60, True),
        ("5 dozen", "5", True),
        ("3 million", "3 billion", False),
        ("3 million", "3%", False),
        ("30 million", 3_000_000, False),
        ("$2 bn", 2_000_000_000, True),
        # Letters on the number are a part of it, on both sides.
        ("1.5k", 1500, True),
        ("1.5k", 1.5, False),
        ("1500", "1.5k", True),
        ("0", "0 eggs", True),
        ("0x10", 0, False),
        ("$5m", 5_000_000, True),
        ("5m", 5_000_000, False),
        ("5m", 5, True),
        ("#### 2.5k, not 3", 2500, True),
        ("#### 3√2", 3, False),
        ("<think>18</think> It is 19.", "18", False),
        ("<think>It is 18", "18", False),
        ("It is 18. <think>Or 19?", "18", True),
        ("nothing", "18", False),
    ],
)
def test_a_completion_is_right_if_its_answer_is_the_number_of_the_row(
    completion: str, answer: object, right: bool
) -> None:
    verdict = NumberVerifier().verify(completion, {"answer": answer})
    assert verdict.correct == right
    assert (verdict.reason == "correct") == right


def test_the_key_of_the_row_can_be_named_and_must_hold_a_number() -> None:
    assert NumberVerifier("target").verify("is 5", {"target": 5}).correct
    for row in (
        {},
        {"answer": None},
        {"answer": True},
        {"answer": "none"},
        {"answer": [5]},
        {"answer": math.nan},
        {"answer": "3,5"},
        {"answer": "0x10"},
    ):
        with pytest.raises(DataError, match=r"'answer': no number in"):
            NumberVerifier().verify("5", row)


def test_real_gsm8k_answers(shared_data: Path) -> None:
    """Every answer is read as the number behind its mark, and its worked solution is right by itself."""
    rows = [json.loads(line) for line in (shared_data / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()]
    verifier = NumberVerifier()
    assert len(rows) == 1000
    for row in rows:
        written = row["answer"].rpartition("#### ")[2].replace(",", "")
        assert verifier.gold(row).value == Fraction(written)
        assert verifier.verify(f"The answer is ${written}.", row).correct
        assert verifier.verify(f"<think>{row['answer']}</think>\n<answer>{written}</answer>", row).correct
        assert not verifier.verify(f"#### {Fraction(written) + 1}", row).correct
    # A worked solution mostly ends with its result, which is then also found without the mark.
    assert sum(verifier.verify(row["answer"].rpartition("####")[0], row).correct for row in rows) > 950


@given(st.fractions(max_denominator=1).filter(lambda value: abs(value) < 10**12), st.sampled_from(["{}", "{:,}"]))
def test_whole_numbers_are_read_back(value: Fraction, style: str) -> None:
    found = answer_number(f"It is {style.format(int(value))}.")
    assert found is not None
    assert found.value == value


@given(st.text(alphabet="0123456789.,-/%$ #<>answer\\{}", max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = answer_number(text)
    assert found is None or isinstance(found.value, Fraction)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_of_a_data_file_is_the_decimal_that_it_is_written_as(value: float) -> None:
    gold = NumberVerifier().gold({"answer": value})
    assert float(gold.value) == value
    found = answer_number(f"The answer is {value!r}.")
    assert found == gold


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_decimals_are_read_back_with_their_thousands_set_apart(value: Decimal) -> None:
    for text in (f"{value:f}", f"{value:,f}", f"${value:,f}".replace("$-", "-$")):
        found = answer_number(f"That makes {text}")
        assert found is not None
        assert found.value == Fraction(value)


@given(st.integers(0, 10**6), st.text(alphabet="kKmMbBnexXπ²°%_ 0123", max_size=4))
def test_what_is_read_begins_with_the_digits_that_are_written(value: int, behind: str) -> None:
    """A number with something behind it is that number, a thousand or more of it, a longer one, or none."""
    found = last_number(f"{value}{behind}")
    if found is not None and not any(character.isdecimal() for character in behind) and value:
        assert found.value / value in {1, 10**3, 10**6, 10**9}
    if behind and behind[0] in "xXπ²":
        assert found is None or any(character.isdecimal() for character in behind)
