"""The tasks of the demo model: each draws one question together with its only right answer.

Every draw takes `held_out`: False yields training material, True the held-out remainder. What is
held out is decided by a hash of the operands alone, so it is the same in every language and
template, and a held-out combination can never reach the training text.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import phrases

LANGUAGES = ("en", "de", "zh")


@dataclass(frozen=True)
class Turn:
    prompt: str
    answer: str
    category: str


Draw = Callable[[Random, str, bool], Turn]


@lru_cache(maxsize=1 << 18)
def is_held_out(kind: str, *key: object, one_in: int = 10) -> bool:
    digest = hashlib.sha256(repr((kind, *key)).encode()).digest()
    return int.from_bytes(digest[:4], "big") % one_in == 0


def addition_held_out(a: int, b: int) -> bool:
    """Both orders of a sum are held out together."""
    return is_held_out("addition", min(a, b), max(a, b))


def subtraction_held_out(a: int, b: int) -> bool:
    return is_held_out("subtraction", a, b)


def multiplication_held_out(a: int, b: int) -> bool:
    """Ordered pairs, only with a > b > 1: the mirrored pair stays in the training text."""
    return a > b > 1 and is_held_out("multiplication", a, b, one_in=5)


def _operand(rng: Random) -> int:
    return rng.randrange(100) if rng.random() < 0.85 else rng.randrange(13)


def _nouns(rng: Random, language: str) -> dict[str, str]:
    return {
        "name": rng.choice(phrases.NAMES[language]),
        "things": rng.choice(phrases.THINGS[language]),
    }


def addition(rng: Random, language: str, held_out: bool) -> Turn:
    while True:
        a, b = _operand(rng), _operand(rng)
        if addition_held_out(a, b) == held_out:
            break
    prompt = rng.choice(phrases.ADDITION[language]).format(a=a, b=b, **_nouns(rng, language))
    return Turn(prompt, f"{a} + {b} = {a + b}", "addition")


def subtraction(rng: Random, language: str, held_out: bool) -> Turn:
    while True:
        b, a = sorted((_operand(rng), _operand(rng)))
        if subtraction_held_out(a, b) == held_out:
            break
    prompt = rng.choice(phrases.SUBTRACTION[language]).format(a=a, b=b, **_nouns(rng, language))
    return Turn(prompt, f"{a} - {b} = {a - b}", "subtraction")


def multiplication(rng: Random, language: str, held_out: bool) -> Turn:
    """A product whose first factor is the larger is turned round first: a worked step.

    Besides the table to 12 the training text multiplies larger numbers by 0, 1, 2 and 10.
    """
    while True:
        a, b = rng.randint(1, 12), rng.randint(1, 12)
        if not held_out and rng.random() < 0.3:
            a, b = rng.sample((rng.randrange(13, 100), rng.choice((0, 1, 2, 10))), 2)
        if multiplication_held_out(a, b) == held_out:
            break
    worked = f"{a} × {b} = {b} × {a} = {a * b}" if a > b else f"{a} × {b} = {a * b}"
    prompt = rng.choice(phrases.MULTIPLICATION[language])
    return Turn(prompt.format(a=a, b=b), worked, "multiplication")


def _decimal(tenths: int, language: str) -> str:
    whole, rest = divmod(tenths, 10)
    point = "," if language == "de" else "."
    return f"{whole}{point}{rest}" if rest else str(whole)


def units(rng: Random, language: str, held_out: bool) -> Turn:
    """Metric conversions in both directions; a value is held out in both of them at once."""
    while True:
        large, small, factor = rng.choice(phrases.METRIC)
        tenths = rng.randint(1, 99) if rng.random() < 0.4 else 10 * rng.randint(1, 99)
        if is_held_out("units", large, small, tenths) == held_out:
            break
    ends = [
        (_decimal(tenths, language), phrases.UNITS[large][language]),
        (_decimal(tenths * factor, language), phrases.UNITS[small][language]),
    ]
    if rng.random() < 0.4:
        ends.reverse()
    (x, (x_short, x_long)), (y, (y_short, y_long)) = ends
    space = "" if language == "zh" else " "
    template, spelled = rng.choice(phrases.CONVERSION[language])
    names = (x_long, y_long) if spelled else (x_short, y_short)
    prompt = template.format(x=x + space + names[0], y=names[1])
    return Turn(prompt, f"{x}{space}{x_short} = {y}{space}{y_short}", "units")


def time_units(rng: Random, language: str, held_out: bool) -> Turn:
    """Hours, weeks and the like. Facts to learn by heart: there is no held-out part."""
    assert not held_out
    large, small, factor, most = rng.choice(phrases.TIME)
    n = rng.randint(1, most)
    x_names, y_names = phrases.TIME_UNITS[large][language], phrases.TIME_UNITS[small][language]
    space = "" if language == "zh" else " "
    x = f"{n}{space}{x_names[0 if n == 1 else 1]}"
    prompt = rng.choice(phrases.TIME_CONVERSION[language]).format(x=x, y=y_names[1])
    return Turn(prompt, f"{x} = {n * factor}{space}{y_names[1]}", "time")


def weekday(rng: Random, language: str, held_out: bool) -> Turn:
    """The answer counts the days one by one: a worked step."""
    while True:
        day, shift, direction = rng.randrange(7), rng.randint(1, 10), rng.choice((1, -1))
        if is_held_out("weekday", day, shift * direction) == held_out:
            break
    days = phrases.WEEKDAYS[language]
    templates, answer = phrases.WEEKDAY_SHIFT[language][direction]
    if shift == 1 and rng.random() < 0.5:
        templates = phrases.NEXT_DAY[language][direction]
    fields = {
        "n": shift,
        "days": phrases.TIME_UNITS["day"][language][0 if shift == 1 else 1],
        "day": days[day],
        "count": ", ".join(f"{n} {days[(day + n * direction) % 7]}" for n in range(1, shift + 1)),
    }
    return Turn(rng.choice(templates).format(**fields), answer.format(**fields), "weekday")


def date_shift(rng: Random, language: str, held_out: bool) -> Turn:
    """Days added to or taken from a date, within a month; follows the held-out sums."""
    while True:
        day, shift, month = rng.randint(1, 28), rng.randint(1, 27), rng.randrange(12)
        sign = rng.choice((1, -1))
        if not 1 <= day + sign * shift <= 28:
            continue
        pair_held_out = addition_held_out if sign > 0 else subtraction_held_out
        if pair_held_out(day, shift) == held_out:
            break
    form = phrases.DAY_AND_MONTH[language]
    name = phrases.MONTHS[language][month]
    days = phrases.TIME_UNITS["day"][language][0 if shift == 1 else 1]
    start, end = form.format(d=day, m=name), form.format(d=day + sign * shift, m=name)
    prompt = rng.choice(phrases.DATE_SHIFT[language][sign]).format(n=shift, days=days, date=start)
    space = "" if language == "zh" else " "
    answer = f"{start} {'+' if sign > 0 else '-'} {shift}{space}{days} = {end}"
    return Turn(prompt, answer, "date")


def iso_date(rng: Random, language: str, held_out: bool) -> Turn:
    while True:
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1980, 2039)
        if is_held_out("iso date", day, month) == held_out:
            break
    spoken = phrases.FULL_DATE[language].format(
        d=day, m=phrases.MONTHS[language][month - 1], y=year
    )
    iso = f"{year}-{month:02}-{day:02}"
    to_iso, from_iso = phrases.ISO_DATE[language]
    if rng.random() < 0.7:
        return Turn(rng.choice(to_iso).format(date=spoken), iso, "date")
    return Turn(rng.choice(from_iso).format(date=iso), spoken, "date")


def calendar(rng: Random, language: str, held_out: bool) -> Turn:
    """Months and their lengths: facts to learn by heart, with no held-out part."""
    assert not held_out
    months, kind = phrases.MONTHS[language], rng.randrange(3)
    month = rng.randrange(12)
    length = 28 if month == 1 else 30 if month in (3, 5, 8, 10) else 31
    other = (month + (0, 1, -1)[kind]) % 12
    templates, answer = phrases.CALENDAR[language][kind]
    fields = {"month": months[month], "other": months[other], "length": length}
    return Turn(rng.choice(templates).format(**fields), answer.format(**fields), "calendar")


def ordering_numbers(rng: Random, language: str, held_out: bool) -> Turn:
    while True:
        numbers = rng.sample(range(100), rng.choice((2, 3, 3, 3, 4, 4, 5)))
        if is_held_out("numbers", *sorted(numbers)) == held_out:
            break
    return _order(rng, language, list(map(str, numbers)), sorted(numbers), phrases.ORDER_NUMBERS)


def ordering_words(rng: Random, language: str, held_out: bool) -> Turn:
    while True:
        words = rng.sample(phrases.SORTABLE[language], rng.choice((2, 3, 3, 4)))
        if is_held_out("words", *sorted(words)) == held_out:
            break
    return _order(rng, language, words, sorted(words), phrases.ORDER_WORDS)


def _order(
    rng: Random,
    language: str,
    items: list[str],
    ascending: list[int] | list[str],
    templates: dict[str, list[tuple[str, str]]],
) -> Turn:
    template, wanted = rng.choice(templates[language])
    ranked = list(map(str, ascending))
    answer = {
        "up": ", ".join(ranked),
        "down": ", ".join(reversed(ranked)),
        "first": ranked[0],
        "last": ranked[-1],
    }[wanted]
    return Turn(template.format(items=", ".join(items)), answer, "ordering")


def _record(rng: Random, language: str, held_out: bool) -> dict[str, str | int]:
    """A person or a ship; the pair of name and place is what is held out."""
    while True:
        schema = rng.choice(phrases.RECORDS)
        name = rng.choice(schema.names[language])
        place = rng.choice(phrases.CITIES[language])
        if is_held_out("record", name, place) == held_out:
            break
    fields: list[tuple[str, str | int]] = [
        (schema.place_key, place),
        (schema.number_key, rng.randint(*schema.number_range)),
    ]
    if rng.random() < 0.4:
        fields.append((schema.extra_key, rng.choice(schema.extras[language])))
    rng.shuffle(fields)
    return {schema.name_key: name, **dict(fields)}


def json_field(rng: Random, language: str, held_out: bool) -> Turn:
    record = _record(rng, language, held_out)
    key = rng.choice(list(record))
    text = json.dumps(record, ensure_ascii=False)
    prompt = rng.choice(phrases.JSON_FIELD[language]).format(key=key, record=text)
    return Turn(prompt, str(record[key]), "json")


def json_record(rng: Random, language: str, held_out: bool) -> Turn:
    record = _record(rng, language, held_out)
    separator = "，" if language == "zh" else ", "
    pair = rng.choice(phrases.JSON_PAIR)
    pairs = separator.join(pair.format(key=key, value=value) for key, value in record.items())
    prompt = rng.choice(phrases.JSON_RECORD[language]).format(pairs=pairs)
    return Turn(prompt, json.dumps(record, ensure_ascii=False), "json")


def about_lotse(rng: Random, language: str, held_out: bool) -> Turn:
    """Held out are combinations of opening and question; every bare question is trained on."""
    openings = phrases.OPENINGS[language]
    while True:
        questions, answer = rng.choice(phrases.ABOUT[language])
        opening, question = rng.choice(openings), rng.choice(questions)
        kept_back = opening != "" and is_held_out("about", opening, question, one_in=4)
        if kept_back == held_out:
            return Turn(opening + question, answer, "lotse")


def small_talk(rng: Random, language: str, held_out: bool) -> Turn:
    assert not held_out
    if rng.random() < 0.4:
        question = rng.choice(phrases.UNKNOWN[language])
        return Turn(question, phrases.DO_NOT_KNOW[language], "small talk")
    questions, answer = rng.choice(phrases.SMALL_TALK[language])
    return Turn(rng.choice(questions), answer, "small talk")


# Each task with its share of the training turns and its number of held-out questions.
TASKS: list[tuple[Draw, int, int]] = [
    (addition, 22, 120),
    (subtraction, 18, 100),
    (multiplication, 10, 60),
    (units, 9, 70),
    (time_units, 3, 0),
    (weekday, 6, 50),
    (date_shift, 4, 30),
    (iso_date, 3, 30),
    (calendar, 1, 0),
    (ordering_numbers, 8, 70),
    (ordering_words, 7, 40),
    (json_field, 6, 50),
    (json_record, 7, 50),
    (about_lotse, 6, 40),
    (small_talk, 2, 0),
]
