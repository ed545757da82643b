#!/usr/bin/env python3
"""Makes the golden files of the tokenizer tests with the reference implementation, the PyPI package
`tokenizers`. Nothing in the project needs this script to build or to run its tests.

  make_golden.py tiny DATA_DIR             trains the tiny tokenizers and writes their goldens
  make_golden.py real TOKENIZERS OUT.json  goldens of real tokenizers: every folder of TOKENIZERS
                 [--random N] [--seed S]   that holds a tokenizer.json; N random texts more

A golden file is {"texts": […], "id_lists": {tokenizer: [[ids] …]}, "tokenizers": {name: {…}}}; for
each tokenizer: `plain` (ids of every text, special tokens not parsed), `parsed` (the same, parsed
and with the post-processor's tokens; texts of `marked` only) and `decoded` (texts of the plain ids,
null where that is the text itself).
"""
import argparse
import json
import pathlib
import random

import tokenizers as hf
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "", " ", "  ", "\n", "\t", "\n\n", " \n ", "\r\n", "\t \n\t", "a", " a", "a ", "  a  b   c    ",
    "The harbour pilot came aboard at 04:30, took the wheel and said: “Slow ahead, 12 knots.”",
    "It's we've I'm you'll they'd he'S WE'LL don't 'tis rock'n'roll '' ''s O'Re o\u2019clock '\u017f 'K",
    "Grüße aus Hamburg: Die Straßenbahn fährt über die Lombardsbrücke, 20 °C, 3½ Stunden — schön!",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "领航员把外国的船安全地带进港口。模型在昇腾上运行，速度很快！价格：１２３元。",
    "引き船が港に入る。カタカナとひらがな、漢字ﾊﾝｶｸ。東京タワー333メートル・パーティー゛",
    "한국어 문장입니다. 각 \u1112\u1161\u11ab\u1100\u1173\u11af 가나다",
    "مرحبا بالعالم، كيف حالك؟ السَّلامُ عَلَيْكُمْ ١٢٣",
    "नमस्ते दुनिया, यह एक परीक्षण है। ภาษาไทยไม่มีช่องว่าง שלום עולם",
    "Привет, мир! Съешь ещё этих мягких французских булок. Ελληνικά: Οδυσσέας ΣΊΣΥΦΟΣ",
    "😀😃 👩‍👩‍👧‍👦 🇩🇪🇨🇳 👍🏽 ❤️ ☎️ 1️⃣ 🦙.cpp 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "e\u0301 \u00e9 a\u0323\u0307 a\u0307\u0323 \u1e69 s\u0323\u0307 \u0041\u030a \u212b \ufb01 \uff21\uff22 \u2460 \u00bd \u0130 \u01c5 \u1e9e",
    "x\u0300\u0301\u0302\u0303\u0304\u0305 \u0301alone \u200d\u200c\u200b\u00ad\ufeff\u2060 zero\u200bwidth",
    "\u00a0nbsp\u00a0\u2003em\u2003 \u3000ideographic\u3000 \u1680 \u180e \u2028 \u2029 \u0085 \u202f \u205f end",
    "0 1 12 123 1234 12345 123456 3.14159 1,000,000 0x1F 1e-9 ١٢٣ ⅷ ² 一二三 ½ 10.0.0.1 2024-05-01",
    "def f(x):\n    return {'a': [x**2 for _ in range(10)], \"b\": not x}\n\n\n# done\n",
    "#include <vector>\nint main() {\n\tstd::vector<int> v{1,2,3};\n\tfor (auto&& x : v) { if (x != 2) return x->y; }\n}\n",
    "SELECT * FROM t WHERE a='b' AND c<>'';-- x\r\n\r\n  <div class=\"x\">&nbsp;</div>\n\t\t<!-- c -->",
    "https://example.org/path?q=a+b&c=%20#frag user@example.com C:\\dir\\file.txt ~/x/../y $HOME ${A}",
    "a" * 100, "ab" * 60, " " * 50, "\n" * 20, "\t" * 9, "-" * 80, "=" * 33, "!?" * 20, "1" * 25,
    " " * 3 + "x" + " " * 7 + "y\n" + " " * 4 + "\n" + " " * 2 + "z",
    "CamelCaseIdentifier snake_case_identifier SCREAMING_SNAKE kebab-case-name $dollar @at #hash",
    "\u0001\u0002 \u001b[31mred\u001b[0m \u007f \u0080 \u009f nul:\u0000:end \ufffd \ufffe \U0010ffff \ue000",
    "\u2581 \u2581a a\u2581b \u2581\u2581 ##ing [UNK] Ġthe Ċ Â <0x0A> ▁<0xE4>",
    "ſtraße ﬃ ŉ ǰ ΐ Ω Å K ℌ 𝔥𝕙𝖍 𐍈𐌰 𠀀𠮷 \u0149 ㋐ ㍻ ㌔ ﷺ",
    "naïve café résumé Ångström ﬁancée coöperate jalapeño Đà Nẵng ngôn ngữ İstanbul ıI",
    "`code` **bold** _it_ ~~s~~ | a | b |\n|---|---|\n> quote\n1. one\n2. two\n- [x] done\n\n---\n",
    "I do not know . Do you ? it 's n't ' ok ' , we 've , they 're !",
    "word" * 40, "Ⓐ ⓐ 🄰 ₁₂ ₓ ª º µ ꜱ ꟼ ͅ ׳ ་ ༼", "\r \r\r \n\r a\rb\r\nc \r\n d",
]

# Pools for random texts; the weights make mixtures that cross the borders of the rules.
POOLS = [
    "abcdefghijklmnopqrstuvwxyz", "ABCXYZ", "0123456789", "     ", "\n\r\t", ".,;:!?'\"()[]{}<>/\\|-_+=*&^%$#@~`",
    "äöüßéèñçåøÅÄ", "的一是不了人我在有他这中大来上国", "のはをがかなアイウーカ゛・", "가나다한국어ㅎ\u1112\u1161\u11ab",
    "абвгдЖЯ", "αβγΣς", "ابتثجَّ١٢", "कखगिा्", "กขคะำ่", "😀🦙👍🏽❤️\u200d🇩🇪", "\u0301\u0323\u0308\u0345",
    "\u00a0\u2003\u3000\u2028\u0085\u200b\ufeff\u00ad", "\u0000\u0001\u001b\u007f\u009f\ufffd", "½²ⅷ①㎏ﬁ𝔥ſKİ", "▁",
]
WORDS = ["the", "model", " port", "'s", "'LL", "don't", "Hello", " world", "ing", "2024", " 12345", "\n\n", "    ",
         " Schiff", "fahrt", "東京", "模型", "  return", "x=1;", "//", "http", "ſ", "'ſ"]


def random_texts(count, seed):
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        text = ""
        target = rng.choice([3, 10, 40, 120])
        while len(text) < target:
            if rng.random() < 0.4:
                text += rng.choice(WORDS)
            else:
                pool = rng.choice(POOLS)
                text += "".join(rng.choice(pool) for _ in range(rng.randint(1, 6)))
        texts.append(text)
    return texts


def marked_texts(tokenizer):
    """Texts that contain the tokenizer's own special tokens."""
    special = [t for t in tokenizer.get_added_tokens_decoder().values() if t.special][:4]
    texts = []
    for token in special:
        c = token.content
        texts += [c, f"{c}Hello", f"Hi {c} there", f"a{c}{c} b\n{c}", f" {c} x {c[:-1]}"]
    return texts


def golden(tokenizer, texts, rng):
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    plain = [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]
    tokenizer.encode_special_tokens = False
    marked = marked_texts(tokenizer)
    parsed = [tokenizer.encode(t, add_special_tokens=True).ids for t in marked]
    around = tokenizer.encode("", add_special_tokens=True).ids
    decoded = [tokenizer.decode(ids, skip_special_tokens=False) for ids in plain]
    decoded = [None if d == t else d for d, t in zip(decoded, texts)]
    size = tokenizer.get_vocab_size()
    shuffled = [[rng.randrange(size) for _ in range(rng.randint(1, 20))] for _ in range(20)]
    shuffled = [{"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False),
                 "skipped": tokenizer.decode(ids, skip_special_tokens=True)} for ids in shuffled]
    return {"plain": plain, "marked": marked, "parsed": parsed, "around": around, "decoded": decoded,
            "shuffled": shuffled}


def dump(value, path):
    """JSON with one element of the outer lists a line, so that changes show."""
    out = []
    for key, part in value.items():
        if isinstance(part, list):
            out.append(json.dumps(key) + ": [\n" + ",\n".join(json.dumps(e) for e in part) + "\n]")
        else:
            inner = [json.dumps(k) + ": " + json.dumps(v, separators=(",", ":")) for k, v in part.items()]
            out.append(json.dumps(key) + ": {\n" + ",\n".join(inner) + "\n}")
    pathlib.Path(path).write_text("{\n" + ",\n".join(out) + "\n}\n")


def load(path):
    """The reference refuses merges of tokens that contain spaces; these never apply where spaces are
    replaced, so they are left out."""
    data = json.loads(path.read_text())
    merges = data["model"].get("merges")
    if merges and isinstance(merges[0], str):
        data["model"]["merges"] = [m for m in merges if m.count(" ") == 1]
    return hf.Tokenizer.from_str(json.dumps(data))


def make_real(folder, out, count, seed):
    texts = TEXTS + random_texts(count, seed)
    result = {"texts": texts, "tokenizers": {}}
    for path in sorted(pathlib.Path(folder).glob("*/tokenizer.json")):
        tokenizer = load(path)
        result["tokenizers"][path.parent.name] = golden(tokenizer, texts, random.Random(7))
    dump(result, out)


def training_text():
    rng = random.Random(3)
    lines = []
    for text in TEXTS:
        lines += [text] * 3
    stems = "ship port pilot harbour model token lotse hafen schiff kapitän 模型 港口 領航 船 мир порт".split()
    for _ in range(1500):
        lines.append(" ".join(rng.choice(stems) + rng.choice(["", "s", "ing", "en", "."]) for _ in range(8)))
    return lines + random_texts(300, 11)


GPT2 = None
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def special(*names):
    return [hf.AddedToken(n, special=True, normalized=False) for n in names]


def tiny_tokenizers():
    """One tokenizer for each model and for each kind of step around it."""
    text = training_text()
    alphabet = pre_tokenizers.ByteLevel.alphabet()

    def bpe(name, pre, normalizer=None, size=500, **model):
        t = hf.Tokenizer(models.BPE(**model))
        t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
        if normalizer: t.normalizer = normalizer
        t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False,
                                                        special_tokens=special("<|begin|>", "<|end|>")))
        return name, t

    yield bpe("gpt2", pre_tokenizers.ByteLevel(add_prefix_space=False))
    yield bpe("gpt2_prefix", pre_tokenizers.ByteLevel(add_prefix_space=True), size=400)
    split = lambda regex: pre_tokenizers.Split(hf.Regex(regex), "isolated")
    no_regex = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    name, t = bpe("llama3", pre_tokenizers.Sequence([split(LLAMA3), no_regex]), normalizers.NFC())
    t.post_processor = processors.TemplateProcessing(single="<|begin|> $A <|end|>", special_tokens=[("<|begin|>", 0), ("<|end|>", 1)])
    t.add_tokens([hf.AddedToken("  ", normalized=True), hf.AddedToken("port", single_word=True),
                  hf.AddedToken("strip", lstrip=True, rstrip=True)])
    yield name, t
    yield bpe("o200k", pre_tokenizers.Sequence([split(O200K), no_regex]), size=400)
    yield bpe("falcon", pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
                                                 pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]")]), size=400)
    yield bpe("starcoder", pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), size=400)
    for behaviour in ["removed", "merged_with_previous", "merged_with_next", "contiguous"]:
        for invert in [False, True]:
            yield bpe(f"split_{behaviour}{'_inverted' if invert else ''}",
                      pre_tokenizers.Sequence([pre_tokenizers.Split(hf.Regex(r"[\s,.]"), behaviour, invert), no_regex]), size=300)

    t = hf.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator([l.replace("\n", " ") for l in text], trainers.BpeTrainer(vocab_size=700, limit_alphabet=120, show_progress=False,
                          special_tokens=special("<unk>", "<s>", "</s>") + bytes_, max_token_length=12))
    t = without_added(t, bytes_)
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    yield "spm_bpe", t

    t = hf.Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(hf.Regex(r"\s+"), " ")])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Whitespace(), decoders.Sequence([decoders.Replace("</w>", " "), decoders.Fuse()])
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=400, limit_alphabet=80, show_progress=False, end_of_word_suffix="</w>", special_tokens=special("<unk>")))
    yield "bpe_suffix", t

    t = hf.Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##", fuse_unk=False))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip()])
    t.pre_tokenizer, t.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece(cleanup=False)
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=400, limit_alphabet=80, show_progress=False, continuing_subword_prefix="##", special_tokens=special("[UNK]")))
    yield "bpe_prefix", t

    def unigram(name, pre, normalizer, size=900):
        t = hf.Tokenizer(models.Unigram())
        t.normalizer, t.pre_tokenizer = normalizer, pre
        t.decoder = decoders.Metaspace(prepend_scheme=pre.prepend_scheme)
        t.train_from_iterator(text, trainers.UnigramTrainer(vocab_size=size, show_progress=False, unk_token="<unk>",
                              special_tokens=special("<pad>", "</s>", "<unk>")))
        t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
        return name, rounded(t)

    yield unigram("unigram", pre_tokenizers.Metaspace(), normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(hf.Regex(" {2,}"), " ")]))
    yield unigram("unigram_first", pre_tokenizers.Metaspace(prepend_scheme="first", split=False), normalizers.NFKD())
    yield unigram("unigram_never", pre_tokenizers.Metaspace(prepend_scheme="never"), normalizers.Lowercase())
    name, t = unigram("unigram_bytes", pre_tokenizers.Metaspace(), normalizers.NFC())
    data = json.loads(t.to_str())
    data["model"]["vocab"] += [[b, 0.0] for b in bytes_]
    data["model"]["byte_fallback"] = True
    data["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, data["decoder"]]}
    yield name, hf.Tokenizer.from_str(json.dumps(data))

    t = hf.Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    t.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=600, limit_alphabet=150, show_progress=False, special_tokens=special("[PAD]", "[UNK]", "[CLS]", "[SEP]")))
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    yield "wordpiece", t
    t = hf.Tokenizer.from_str(t.to_str())
    t.normalizer = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous")])
    yield "wordpiece_cased", t


def rounded(tokenizer):
    """Scores of few digits: the reference reads longer ones with an error in the last bit, which
    decides between segmentations of equal score."""
    data = json.loads(tokenizer.to_str())
    data["model"]["vocab"] = [[piece, round(score, 6)] for piece, score in data["model"]["vocab"]]
    return hf.Tokenizer.from_str(json.dumps(data))


def without_added(tokenizer, contents):
    """The same tokenizer, with `contents` as ordinary entries of the vocabulary."""
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] not in contents]
    return hf.Tokenizer.from_str(json.dumps(data))


def make_tiny(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts = TEXTS + random_texts(40, 5)
    result = {"texts": texts, "tokenizers": {}}
    for name, tokenizer in tiny_tokenizers():
        data = json.loads(tokenizer.to_str())
        (folder / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n")
        result["tokenizers"][name] = golden(hf.Tokenizer.from_file(str(folder / f"{name}.json")), texts, random.Random(9))
    dump(result, folder / "tiny_goldens.json")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["tiny", "real"])
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--random", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.kind == "tiny":
        make_tiny(options.paths[0])
    else:
        make_real(options.paths[0], options.paths[1], options.random, options.seed)


if __name__ == "__main__":
    main()
