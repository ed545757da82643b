"""Generates the text of the demo model: training dialogues, held-out task, tokenizer.

    python generate.py tokenizer   writes tokenizer.json and tokenizer_config.json
    python generate.py task        writes task.jsonl and eval.txt
    python generate.py sample      prints a few training dialogues
    python generate.py check       scans the training dialogues for anything held out

Everything is a function of fixed seeds; no text comes from elsewhere.
"""

import argparse
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

import phrases
from tasks import LANGUAGES, TASKS, Turn, addition, addition_held_out, multiplication_held_out
from tasks import subtraction, subtraction_held_out

MODEL_DIR = Path(__file__).resolve().parent.parent
START, END, SEPARATOR = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
SEED = 20
POOL = 4096  # training dialogues that are drawn, and later sorted by length, together
VOCABULARY = 2048
MAX_POSITIONS = 2048

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- endif %}"
)

# The pre-tokenizer of Qwen2 and Qwen3: every digit stands alone.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def render(turns: list[Turn]) -> str:
    """The chat template applied to a whole dialogue, without the separator."""
    return "".join(
        f"{START}user\n{turn.prompt}{END}\n{START}assistant\n{turn.answer}{END}\n" for turn in turns
    )


def _language(rng: Random) -> str:
    return rng.choices(LANGUAGES, weights=(62, 20, 18))[0]


def _single(rng: Random, language: str) -> Turn:
    draw = rng.choices([task for task, _, _ in TASKS], weights=[share for _, share, _ in TASKS])[0]
    return draw(rng, language, False)


def _running_total(rng: Random, language: str) -> list[Turn]:
    """A sum or difference, then a further step that refers to its result."""
    first = rng.choice((addition, subtraction))(rng, language, False)
    total = int(first.answer.rsplit(" ", 1)[1])
    sign = 1 if total < 10 else rng.choice((1, -1))
    pair_held_out = addition_held_out if sign > 0 else subtraction_held_out
    steps = [n for n in range(1, 10) if total < 100 and not pair_held_out(total, n)]
    if not steps:
        return [first]
    step = rng.choice(steps)
    answer = f"{total} {'+' if sign > 0 else '-'} {step} = {total + sign * step}"
    prompt = rng.choice(phrases.AND_THEN[language][sign]).format(n=step)
    return [first, Turn(prompt, answer, "history")]


def _introduction(rng: Random, language: str) -> list[Turn]:
    hello, greeting, question, answer = phrases.INTRODUCTION[language]
    name = rng.choice(phrases.NAMES[language])
    between = [_single(rng, language)] if rng.random() < 0.5 else []
    return [
        Turn(rng.choice(hello).format(name=name), greeting.format(name=name), "history"),
        *between,
        Turn(rng.choice(question), answer.format(name=name), "history"),
    ]


def dialogues(seed: int) -> Iterator[list[Turn]]:
    """The endless stream of training dialogues, most of a single turn."""
    rng = Random(seed)
    while True:
        language, kind = _language(rng), rng.random()
        if kind < 0.88:
            yield [_single(rng, language)]
        elif kind < 0.94:
            yield [_single(rng, language) for _ in range(rng.randint(2, 3))]
        elif kind < 0.98:
            yield _running_total(rng, language)
        else:
            yield _introduction(rng, language)


def training_pool(rng: Random) -> list[list[Turn]]:
    """One pool of the training text; pool number i is drawn with Random(f"{SEED}/{i}")."""
    return list(islice(dialogues(rng.randrange(1 << 60)), POOL))


def held_out_turns(seed: int, share: float = 1.0) -> list[Turn]:
    """Distinct held-out questions of every task that has any."""
    rng = Random(seed)
    turns: dict[str, Turn] = {}
    for draw, _, count in TASKS:
        wanted = len(turns) + round(count * share)
        while len(turns) < wanted:
            turn = draw(rng, _language(rng), True)
            turns.setdefault(turn.prompt, turn)
    return list(turns.values())


def write_task(directory: Path) -> None:
    turns = held_out_turns(seed=1)
    lines = [json.dumps(vars(turn), ensure_ascii=False) for turn in turns]
    (directory / "task.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rng = Random(3)
    others = held_out_turns(seed=2, share=0.2)
    rng.shuffle(others)
    text = SEPARATOR.join(render([turn]) for turn in others) + SEPARATOR
    (directory / "eval.txt").write_text(text, encoding="utf-8")


def write_tokenizer(directory: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 3,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    stream = dialogues(seed=7)
    texts = (turn.prompt + "\n" + turn.answer for _ in range(200_000) for turn in next(stream))
    roles = (role + "\n" for role in ("system", "user", "assistant") for _ in range(1000))
    tokenizer.train_from_iterator((text for source in (texts, roles) for text in source), trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (SEPARATOR, START, END)]
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_max_length": MAX_POSITIONS,
        "pad_token": SEPARATOR,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def check(pools: int) -> None:
    """Raises if a held-out question or pair of operands stands in the first training pools."""
    questions = {turn.prompt for seed, share in ((1, 1.0), (2, 0.2))
                 for turn in held_out_turns(seed, share)}
    tests = {"+": addition_held_out, "-": subtraction_held_out, "×": multiplication_held_out}
    expression = re.compile(r"(?<![\d-])(\d+) ?([-+×]) ?(\d+)(?![\d-])")
    for index in range(pools):
        for turn in (turn for turns in training_pool(Random(f"{SEED}/{index}")) for turn in turns):
            if turn.prompt in questions:
                raise ValueError(f"pool {index}: a held-out question: {turn}")
            for a, operator, b in expression.findall(turn.prompt + "\n" + turn.answer):
                if tests[operator](int(a), int(b)):
                    raise ValueError(f"pool {index}: a held-out pair of operands: {turn}")
    print(f"{pools * POOL} dialogues: nothing held out among them")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("tokenizer", "task", "sample", "check"))
    parser.add_argument("--out", type=Path, default=MODEL_DIR)
    parser.add_argument("--count", type=int, default=20, help="dialogues or pools")
    options = parser.parse_args()
    if options.what == "tokenizer":
        write_tokenizer(options.out)
    elif options.what == "task":
        write_task(options.out)
    elif options.what == "check":
        check(options.count)
    else:
        stream = dialogues(seed=0)
        for _ in range(options.count):
            print(render(next(stream)))


if __name__ == "__main__":
    main()
