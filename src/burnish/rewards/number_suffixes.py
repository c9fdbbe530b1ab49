"""The letters right behind a number, without a space: a unit, a factor, or a sign that the digits are no number.

Notable choices:
- what is not known is no number: digits that run into letters are a part of something else, as in 0x10, 3x and 2i;
- what could be two things is none: 300K are kelvin or thousand, 5M molar or million, 5B bytes or billion. Behind a
  sign of currency they are factors.
"""

UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts whose words follow a number without a space: Thai, kana, Han, Hangul."""

WORDS = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "mn": 10**6,
    "mio": 10**6,
    "mln": 10**6,
    "billion": 10**9,
    "bn": 10**9,
    "bln": 10**9,
    "mrd": 10**9,
    "trillion": 10**12,
}
"""Factors that stand behind a number as words of their own."""
HAN_FACTORS = {"千": 10**3, "万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8}
FACTORS = {**WORDS, "k": 10**3}
MONEY_FACTORS = {**FACTORS, "m": 10**6, "mm": 10**6, "b": 10**9, "t": 10**12, "tn": 10**12}

_UNITS_BY_KIND = {
    "length": "nm um µm μm mm cm dm m km in ft yd mi",
    "length in words": "inch inches foot feet yds yard yards mile miles",
    "area and volume": "ha acre acres ml cl dl l mL cL dL L gal qt pt fl cc",
    "mass": "ng mcg ug µg μg mg g kg kgs t oz lb lbs",
    "time": "ns us µs μs ms s sec secs min mins h hr hrs d w wk wks mo y yr yrs am pm",
    "time in words": "second seconds minute minutes hour hours day days week weeks month months year years",
    "temperature": "C F ºC ºF",
    "electricity": "V mV kV A mA W mW kW MW GW Wh kWh MWh GWh TWh Ω kΩ MΩ Hz kHz MHz GHz",
    "force and energy": "N kN J kJ MJ cal kcal eV keV MeV Pa hPa kPa MPa GPa bar mbar psi atm",
    "chemistry": "mol mmol ppm ppb",
    "speed and angle": "mph kph kmh kmph fps rpm deg rad",
    "data": "bit bits byte bytes kb Kb kB KB Mb MB Gb GB Tb TB PB KiB MiB GiB TiB kbps Mbps Gbps",
    "sound and print": "dB px em rem dpi",
    "place in an order": "st nd rd th ths º ª",
    "coins": "c ct cts cent cents p kr zl dollar dollars euro euros pound pounds",
    "currency": "USD EUR GBP CHF JPY CNY INR AUD CAD NZD SEK NOK DKK PLN CZK HUF BRL MXN KRW TRY ZAR",
    "Russian": "мм см м км мг г кг т мл л с сек мин ч руб",
}
_LENGTHS = frozenset(_UNITS_BY_KIND["length"].split())
_UNITS = frozenset(unit for units in _UNITS_BY_KIND.values() for unit in units.split())
_LONG_UNITS = frozenset(unit.casefold() for unit in _UNITS if len(unit) > 1)


def factor(letters: str, *, money: bool) -> int | None:
    """What a number is multiplied with by the letters glued to it: 1 by a unit; None if it is then no number.

    money: a sign of currency stands in front.
    """
    letters = letters.strip("_")  # what Markdown puts around words
    if not letters:
        return 1
    if letters[0] in HAN_FACTORS:
        return HAN_FACTORS.get(letters)
    if money and letters.casefold() in MONEY_FACTORS:
        return MONEY_FACTORS[letters.casefold()]
    if letters.casefold() in FACTORS and letters != "K":
        return FACTORS[letters.casefold()]
    unit = letters.rstrip("²³")
    if letters[-1] in "23" and letters[:-1] in _LENGTHS:
        unit = letters[:-1]
    # KG and Mph are meant as units, a single letter in the other case is another one; MM is also a million.
    known = unit in _UNITS or (len(unit) > 1 and unit != "MM" and unit.casefold() in _LONG_UNITS)
    return 1 if known else None
