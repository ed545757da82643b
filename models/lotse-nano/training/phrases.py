"""The wording of the tasks in English, German and Chinese: data only."""

from dataclasses import dataclass

NAMES: dict[str, list[str]] = {
    "en": "Anna Ben Clara Daniel Emma Frank Grace Henry Ida Jack Kate Leo Mia Noah Olive Paul "
    "Rose Sam Tina Victor Wendy Alice Bob Eva".split(),
    "de": "Anna Ben Clara Daniel Emma Frank Greta Heinz Ida Jonas Karin Leo Mia Nils Olga Paul "
    "Rosa Sven Tina Viktor Wilma Alina Bernd Eva".split(),
    "zh": "小明 小红 小华 小丽 小刚 小芳 李雷 王芳 张伟 刘洋 陈静 赵强".split(),
}

CITIES: dict[str, list[str]] = {
    "en": "Berlin Hamburg Bremen Kiel London Paris Rome Madrid Oslo Lisbon Athens Dublin Vienna "
    "Prague Shanghai Beijing Tokyo Singapore Boston Chicago Sydney Cairo Lima Toronto".split(),
    "de": "Berlin Hamburg Bremen Kiel London Paris Rom Madrid Oslo Lissabon Athen Dublin Wien "
    "Prag Shanghai Peking Tokio Singapur Boston Chicago Sydney Kairo Lima Toronto".split(),
    "zh": "北京 上海 广州 深圳 杭州 武汉 成都 天津 汉堡 伦敦 巴黎 东京".split(),
}

THINGS: dict[str, list[str]] = {
    "en": "apples books coins pens stamps cards shells stones tickets eggs cups ropes".split(),
    "de": "Bücher Karten Münzen Stifte Steine Muscheln Eier Tassen Seile Nüsse".split(),
    "zh": "个苹果 本书 支笔 张卡片 枚硬币 个鸡蛋 块石头 张邮票".split(),
}

ADDITION: dict[str, list[str]] = {
    "en": [
        "{a} + {b}", "{a}+{b}", "{a} + {b} = ?", "{a}+{b}=", "What is {a} + {b}?",
        "What is {a} plus {b}?", "Add {a} and {b}.", "What's the sum of {a} and {b}?",
        "Calculate {a} + {b}.", "Please compute {a} plus {b}.", "How much is {a} + {b}?",
        "{name} has {a} {things} and gets {b} more. How many {things} are there now?",
        "There are {a} {things} on the table and {b} in the box. How many in all?",
    ],
    "de": [
        "{a} + {b} = ?", "Was ist {a} + {b}?", "Was ist {a} plus {b}?", "Wie viel ist {a} + {b}?",
        "Addiere {a} und {b}.", "Berechne {a} + {b}.", "Was ist die Summe von {a} und {b}?",
        "{name} hat {a} {things} und bekommt {b} dazu. Wie viele {things} sind es jetzt?",
    ],
    "zh": [
        "{a} + {b} = ?", "{a}+{b}等于多少？", "{a}加{b}等于多少？", "请计算{a}+{b}。",
        "{a}与{b}的和是多少？", "{name}有{a}{things}，又得到{b}{things}，一共有多少？",
    ],
}

SUBTRACTION: dict[str, list[str]] = {
    "en": [
        "{a} - {b}", "{a}-{b}", "{a} - {b} = ?", "{a}-{b}=", "What is {a} - {b}?",
        "What is {a} minus {b}?", "Subtract {b} from {a}.", "Take {b} away from {a}.",
        "What's the difference of {a} and {b}?", "Calculate {a} - {b}.", "How much is {a} - {b}?",
        "{name} has {a} {things} and gives {b} away. How many {things} are left?",
        "There were {a} {things} in the box and {b} were taken out. How many are left?",
    ],
    "de": [
        "{a} - {b} = ?", "Was ist {a} - {b}?", "Was ist {a} minus {b}?", "Wie viel ist {a} - {b}?",
        "Ziehe {b} von {a} ab.", "Berechne {a} - {b}.",
        "{name} hat {a} {things} und gibt {b} weg. Wie viele {things} bleiben?",
    ],
    "zh": [
        "{a} - {b} = ?", "{a}-{b}等于多少？", "{a}减{b}等于多少？", "请计算{a}-{b}。",
        "{a}减去{b}是多少？", "{name}有{a}{things}，送出{b}{things}，还剩多少？",
    ],
}

MULTIPLICATION: dict[str, list[str]] = {
    "en": [
        "{a} × {b}", "{a} * {b}", "{a}*{b}", "{a} x {b}", "{a} × {b} = ?", "What is {a} × {b}?",
        "What is {a} times {b}?", "What is {a} * {b}?", "Multiply {a} by {b}.",
        "What's the product of {a} and {b}?", "Calculate {a} × {b}.", "How much is {a} times {b}?",
        "There are {a} boxes with {b} parts each. How many parts in all?",
    ],
    "de": [
        "{a} × {b} = ?", "Was ist {a} × {b}?", "Was ist {a} mal {b}?", "Wie viel ist {a} mal {b}?",
        "Berechne {a} × {b}.", "Multipliziere {a} mit {b}.",
    ],
    "zh": [
        "{a} × {b} = ?", "{a}×{b}等于多少？", "{a}乘以{b}等于多少？", "请计算{a}×{b}。",
        "{a}乘{b}是多少？",
    ],
}

METRIC: list[tuple[str, str, int]] = [
    ("km", "m", 1000), ("m", "cm", 100), ("cm", "mm", 10), ("kg", "g", 1000), ("t", "kg", 1000),
    ("l", "ml", 1000),
]

# For each unit the short form, used in every answer, and the word.
UNITS: dict[str, dict[str, tuple[str, str]]] = {
    "km": {"en": ("km", "kilometres"), "de": ("km", "Kilometer"), "zh": ("千米", "千米")},
    "m": {"en": ("m", "metres"), "de": ("m", "Meter"), "zh": ("米", "米")},
    "cm": {"en": ("cm", "centimetres"), "de": ("cm", "Zentimeter"), "zh": ("厘米", "厘米")},
    "mm": {"en": ("mm", "millimetres"), "de": ("mm", "Millimeter"), "zh": ("毫米", "毫米")},
    "t": {"en": ("t", "tonnes"), "de": ("t", "Tonnen"), "zh": ("吨", "吨")},
    "kg": {"en": ("kg", "kilograms"), "de": ("kg", "Kilogramm"), "zh": ("千克", "千克")},
    "g": {"en": ("g", "grams"), "de": ("g", "Gramm"), "zh": ("克", "克")},
    "l": {"en": ("l", "litres"), "de": ("l", "Liter"), "zh": ("升", "升")},
    "ml": {"en": ("ml", "millilitres"), "de": ("ml", "Milliliter"), "zh": ("毫升", "毫升")},
}

# Template, and whether it spells the units out.
CONVERSION: dict[str, list[tuple[str, bool]]] = {
    "en": [
        ("Convert {x} to {y}.", False), ("{x} in {y}", False), ("What is {x} in {y}?", False),
        ("Convert {x} to {y}.", True), ("How many {y} are {x}?", True),
        ("How many {y} are {x}?", False),
    ],
    "de": [
        ("Rechne {x} in {y} um.", False), ("{x} in {y}", False), ("Was sind {x} in {y}?", False),
        ("Wie viele {y} sind {x}?", True), ("Rechne {x} in {y} um.", True),
    ],
    "zh": [("{x}等于多少{y}？", False), ("{x}是多少{y}？", False), ("把{x}换算成{y}。", False)],
}

TIME: list[tuple[str, str, int, int]] = [
    ("week", "day", 7, 12), ("day", "hour", 24, 7), ("hour", "minute", 60, 12),
    ("minute", "second", 60, 12), ("year", "month", 12, 12),
]

# Singular and plural.
TIME_UNITS: dict[str, dict[str, tuple[str, str]]] = {
    "year": {"en": ("year", "years"), "de": ("Jahr", "Jahre"), "zh": ("年", "年")},
    "month": {"en": ("month", "months"), "de": ("Monat", "Monate"), "zh": ("个月", "个月")},
    "week": {"en": ("week", "weeks"), "de": ("Woche", "Wochen"), "zh": ("周", "周")},
    "day": {"en": ("day", "days"), "de": ("Tag", "Tage"), "zh": ("天", "天")},
    "hour": {"en": ("hour", "hours"), "de": ("Stunde", "Stunden"), "zh": ("小时", "小时")},
    "minute": {"en": ("minute", "minutes"), "de": ("Minute", "Minuten"), "zh": ("分钟", "分钟")},
    "second": {"en": ("second", "seconds"), "de": ("Sekunde", "Sekunden"), "zh": ("秒", "秒")},
}

TIME_CONVERSION: dict[str, list[str]] = {
    "en": ["How many {y} are {x}?", "{x} in {y}", "Convert {x} to {y}."],
    "de": ["Wie viele {y} sind {x}?", "{x} in {y}", "Rechne {x} um in {y}."],
    "zh": ["{x}是多少{y}？", "{x}等于多少{y}？"],
}

WEEKDAYS: dict[str, list[str]] = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag".split(),
    "zh": "星期一 星期二 星期三 星期四 星期五 星期六 星期日".split(),
}

# For +1 (after) and -1 (before): the questions and the answer.
WEEKDAY_SHIFT: dict[str, dict[int, tuple[list[str], str]]] = {
    "en": {
        1: (
            ["Which day is {n} {days} after {day}?", "What day comes {n} {days} after {day}?",
             "Today is {day}. What day is it in {n} {days}?"],
            "{n} {days} after {day}: {count}",
        ),
        -1: (
            ["Which day is {n} {days} before {day}?",
             "Today is {day}. What day was it {n} {days} ago?"],
            "{n} {days} before {day}: {count}",
        ),
    },
    "de": {
        1: (["Welcher Tag ist {n} {days} nach {day}?", "Welcher Tag kommt {n} {days} nach {day}?"],
            "{n} {days} nach {day}: {count}"),
        -1: (["Welcher Tag ist {n} {days} vor {day}?", "Welcher Tag war {n} {days} vor {day}?"],
             "{n} {days} vor {day}: {count}"),
    },
    "zh": {
        1: (["{day}之后{n}天是星期几？", "今天是{day}，过{n}天是星期几？"],
            "{day}之后{n}天: {count}"),
        -1: (["{day}之前{n}天是星期几？", "今天是{day}，{n}天前是星期几？"],
             "{day}之前{n}天: {count}"),
    },
}

NEXT_DAY: dict[str, dict[int, list[str]]] = {
    "en": {1: ["Which day comes after {day}?", "Today is {day}. What day is tomorrow?"],
           -1: ["Which day comes before {day}?", "Today is {day}. What day was yesterday?"]},
    "de": {1: ["Welcher Tag kommt nach {day}?", "Heute ist {day}. Welcher Tag ist morgen?"],
           -1: ["Welcher Tag kommt vor {day}?", "Heute ist {day}. Welcher Tag war gestern?"]},
    "zh": {1: ["今天是{day}，明天是星期几？"], -1: ["今天是{day}，昨天是星期几？"]},
}

MONTHS: dict[str, list[str]] = {
    "en": "January February March April May June July August September October November "
    "December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November "
    "Dezember".split(),
    "zh": [f"{month}月" for month in range(1, 13)],
}

DAY_AND_MONTH = {"en": "{d} {m}", "de": "{d}. {m}", "zh": "{m}{d}日"}
FULL_DATE = {"en": "{d} {m} {y}", "de": "{d}. {m} {y}", "zh": "{y}年{m}{d}日"}

DATE_SHIFT: dict[str, dict[int, list[str]]] = {
    "en": {1: ["Which date is {n} {days} after {date}?", "What date is {date} plus {n} {days}?"],
           -1: ["Which date is {n} {days} before {date}?",
                "What date is {date} minus {n} {days}?"]},
    "de": {1: ["Welches Datum ist {n} {days} nach dem {date}?"],
           -1: ["Welches Datum ist {n} {days} vor dem {date}?"]},
    "zh": {1: ["{date}之后{n}天是几月几日？"], -1: ["{date}之前{n}天是几月几日？"]},
}

# Questions towards the ISO form and back.
ISO_DATE: dict[str, tuple[list[str], list[str]]] = {
    "en": (["Write {date} as an ISO date.", "{date} in ISO format", "Convert {date} to ISO 8601."],
           ["Write {date} in words.", "Which date is {date}?"]),
    "de": (["Schreibe {date} als ISO-Datum.", "{date} im ISO-Format"],
           ["Schreibe {date} in Worten.", "Welches Datum ist {date}?"]),
    "zh": (["把{date}写成ISO格式。"], ["{date}是哪一天？"]),
}

# Length of a month, the month after, the month before: the questions and the answer.
CALENDAR: dict[str, list[tuple[list[str], str]]] = {
    "en": [
        (["How many days does {month} have?", "How long is {month}?"],
         "In a common year {month} has {length} days."),
        (["Which month comes after {month}?"], "After {month} comes {other}."),
        (["Which month comes before {month}?"], "Before {month} comes {other}."),
    ],
    "de": [
        (["Wie viele Tage hat der {month}?", "Wie lang ist der {month}?"],
         "In einem Gemeinjahr hat der {month} {length} Tage."),
        (["Welcher Monat kommt nach {month}?"], "Nach {month} kommt {other}."),
        (["Welcher Monat kommt vor {month}?"], "Vor {month} kommt {other}."),
    ],
    "zh": [
        (["{month}有多少天？"], "平年{month}有{length}天。"),
        (["{month}的下一个月是几月？"], "{month}之后是{other}。"),
        (["{month}的上一个月是几月？"], "{month}之前是{other}。"),
    ],
}

# Template and what it wants: the items up, down, the first or the last of them.
ORDER_NUMBERS: dict[str, list[tuple[str, str]]] = {
    "en": [
        ("Sort {items}.", "up"), ("Sort these numbers: {items}", "up"),
        ("Put {items} in ascending order.", "up"), ("Sort from small to large: {items}", "up"),
        ("Put {items} in descending order.", "down"), ("Sort from large to small: {items}", "down"),
        ("Which number is the smallest: {items}?", "first"),
        ("Which number is the largest: {items}?", "last"),
    ],
    "de": [
        ("Sortiere {items}.", "up"), ("Ordne diese Zahlen aufsteigend: {items}", "up"),
        ("Ordne diese Zahlen absteigend: {items}", "down"),
        ("Welche Zahl ist die kleinste: {items}?", "first"),
        ("Welche Zahl ist die größte: {items}?", "last"),
    ],
    "zh": [
        ("把这些数字从小到大排列：{items}", "up"), ("把这些数字从大到小排列：{items}", "down"),
        ("哪个数最小：{items}？", "first"), ("哪个数最大：{items}？", "last"),
    ],
}

SORTABLE: dict[str, list[str]] = {
    "en": "anchor boat chart cloud deck engine fish flag fog garden harbour island key lamp map "
    "moon night ocean pilot quay river rope sail ship star tide tower valley wave wind".split(),
    "de": "Anker Boot Dampf Elbe Fahne Garten Hafen Insel Karte Lampe Mast Nebel Ofen Pilot Regen "
    "Schiff Segel Stern Turm Ufer Vogel Welle Wind Ziel".split(),
}
SORTABLE["zh"] = SORTABLE["en"]

ORDER_WORDS: dict[str, list[tuple[str, str]]] = {
    "en": [
        ("Sort these words: {items}", "up"), ("Put {items} in alphabetical order.", "up"),
        ("Sort alphabetically: {items}", "up"), ("Which word comes first: {items}?", "first"),
        ("Which word comes last: {items}?", "last"),
    ],
    "de": [
        ("Sortiere diese Wörter: {items}", "up"), ("Ordne alphabetisch: {items}", "up"),
        ("Welches Wort steht zuerst: {items}?", "first"),
    ],
    "zh": [("把这些单词按字母顺序排列：{items}", "up")],
}


@dataclass(frozen=True)
class Schema:
    """A kind of JSON record: its keys, and where their values come from."""

    name_key: str
    names: dict[str, list[str]]
    place_key: str
    number_key: str
    number_range: tuple[int, int]
    extra_key: str
    extras: dict[str, list[str]]


SHIPS = "Aurora Borkum Calypso Delphin Elbe Fortuna Gloria Hansa Iris Juno Luna Meridian".split()

RECORDS: list[Schema] = [
    Schema(
        "name", NAMES, "city", "age", (18, 90), "job",
        {
            "en": "pilot nurse baker teacher farmer painter driver doctor".split(),
            "de": "Pilot Bäcker Lehrer Maler Fahrer Arzt Koch Lotse".split(),
            "zh": "老师 医生 司机 厨师 工人 农民".split(),
        },
    ),
    Schema(
        "ship", {"en": SHIPS, "de": SHIPS, "zh": SHIPS}, "port", "length", (20, 400), "flag",
        {
            "en": "red blue green white black yellow".split(),
            "de": "rot blau grün weiß schwarz gelb".split(),
            "zh": "红色 蓝色 绿色 白色 黑色".split(),
        },
    ),
]

JSON_FIELD: dict[str, list[str]] = {
    "en": [
        'What is the "{key}" in {record}?', "Extract {key} from {record}",
        "{record} What is the {key}?", "Give me only the {key}: {record}",
    ],
    "de": ['Was steht bei "{key}" in {record}?', "Lies {key} aus {record}",
           "{record} Gib mir nur {key}."],
    "zh": ["从{record}中取出{key}。", '{record} 中"{key}"的值是什么？'],
}

JSON_PAIR = ["{key} {value}", "{key}: {value}"]

JSON_RECORD: dict[str, list[str]] = {
    "en": ["Make a JSON record: {pairs}", "Write as JSON: {pairs}",
           "Make a small JSON object with {pairs}."],
    "de": ["Schreibe als JSON: {pairs}", "Mache daraus JSON: {pairs}"],
    "zh": ["写成JSON：{pairs}", "生成一个JSON对象：{pairs}"],
}

OPENINGS: dict[str, list[str]] = {
    "en": ["", "", "", "Hello! ", "A question: ", "Please tell me: ", "Quick question: ", "Hi. "],
    "de": ["", "", "", "Hallo! ", "Eine Frage: ", "Bitte sag mir: ", "Kurze Frage: "],
    "zh": ["", "", "", "你好！", "请问，", "请告诉我，"],
}

ABOUT: dict[str, list[tuple[list[str], str]]] = {
    "en": [
        (["What is Lotse?", "Tell me about Lotse.", "What does Lotse do?"],
         "Lotse is a program that brings AI models trained on Nvidia hardware to other hardware, "
         "such as Huawei Ascend or any CPU."),
        (["What does the word Lotse mean?", "Why is it called Lotse?",
          "Where does the name Lotse come from?"],
         "Lotse is the German word for a pilot: the one who brings a foreign ship safely into "
         "port."),
        (["What does lotse inspect do?", "What is inspect for?", "Explain the command inspect."],
         "lotse inspect reads a model and reports what the target can run natively, after "
         "conversion, or not at all."),
        (["What does lotse port do?", "What is port for?", "Explain the command port.",
          "How do I bring a model to Ascend?"],
         "lotse port converts a model for a target and writes an ordinary Hugging Face directory "
         "with a report."),
        (["What does lotse verify do?", "What is verify for?", "Explain the command verify.",
          "How do I check a ported model?"],
         "lotse verify compares two devices step by step and shows where their numbers first "
         "depart."),
        (["What does lotse run do?", "What is run for?", "Explain the command run."],
         "lotse run loads a model and answers a prompt in the terminal."),
        (["What does lotse serve do?", "What is serve for?", "Explain the command serve.",
          "How do I start a server?"],
         "lotse serve offers a model over HTTP with an OpenAI compatible interface."),
        (["What does lotse plan do?", "What is plan for?", "Explain the command plan."],
         "lotse plan estimates speed and memory on a chip or a cluster without loading weights."),
        (["Which commands does Lotse have?", "List the commands of Lotse."],
         "inspect, port, verify, run, serve and plan."),
        (["Which hardware does Lotse support?", "Where can Lotse run models?"],
         "Huawei Ascend and any CPU."),
        (["What is W8A8?", "What does W8A8 mean?"],
         "W8A8 means int8 weights with a scale per output channel and int8 activations with a "
         "scale per token."),
        (["In which language is Lotse written?", "What is Lotse written in?"],
         "Lotse is written in C++."),
        (["Which file formats can Lotse read?"], "safetensors, GGUF and PyTorch checkpoints."),
    ],
    "de": [
        (["Was ist Lotse?", "Erzähle mir von Lotse.", "Was macht Lotse?"],
         "Lotse ist ein Programm, das auf Nvidia trainierte KI-Modelle auf andere Hardware bringt, "
         "etwa Huawei Ascend oder jede CPU."),
        (["Was bedeutet das Wort Lotse?", "Warum heißt es Lotse?"],
         "Ein Lotse bringt ein fremdes Schiff sicher in den Hafen."),
        (["Was macht lotse inspect?", "Wozu dient inspect?"],
         "lotse inspect liest ein Modell und sagt, was das Ziel direkt, nach Umwandlung oder gar "
         "nicht ausführen kann."),
        (["Was macht lotse port?", "Wozu dient port?", "Wie bringe ich ein Modell auf Ascend?"],
         "lotse port wandelt ein Modell für ein Ziel um und schreibt ein gewöhnliches Hugging Face "
         "Verzeichnis mit Bericht."),
        (["Was macht lotse verify?", "Wozu dient verify?"],
         "lotse verify vergleicht zwei Geräte Schritt für Schritt und zeigt, wo ihre Zahlen zuerst "
         "abweichen."),
        (["Was macht lotse run?", "Wozu dient run?"],
         "lotse run lädt ein Modell und beantwortet eine Frage im Terminal."),
        (["Was macht lotse serve?", "Wozu dient serve?"],
         "lotse serve bietet ein Modell über HTTP mit einer OpenAI-kompatiblen Schnittstelle an."),
        (["Was macht lotse plan?", "Wozu dient plan?"],
         "lotse plan schätzt Tempo und Speicher auf einem Chip oder Cluster, ohne Gewichte zu "
         "laden."),
        (["Welche Befehle hat Lotse?"], "inspect, port, verify, run, serve und plan."),
        (["Welche Hardware unterstützt Lotse?"], "Huawei Ascend und jede CPU."),
    ],
    "zh": [
        (["Lotse是什么？", "介绍一下Lotse。"],
         "Lotse是一个程序，把在英伟达硬件上训练的模型带到其他硬件，例如华为昇腾或任何CPU。"),
        (["Lotse这个词是什么意思？", "为什么叫Lotse？"],
         "Lotse是德语的引航员，他把外来的船安全带进港口。"),
        (["lotse inspect做什么？", "inspect有什么用？"],
         "lotse inspect读取模型，报告目标硬件能直接运行什么。"),
        (["lotse port做什么？", "port有什么用？"], "lotse port为目标硬件转换模型，并写出报告。"),
        (["lotse verify做什么？", "verify有什么用？"],
         "lotse verify逐步比较两个设备，指出数值最先在哪里不同。"),
        (["lotse run做什么？", "run有什么用？"], "lotse run加载模型，在终端回答问题。"),
        (["lotse serve做什么？", "serve有什么用？"], "lotse serve通过HTTP提供兼容OpenAI的接口。"),
        (["lotse plan做什么？", "plan有什么用？"], "lotse plan不加载权重就能估算速度和内存。"),
        (["Lotse有哪些命令？"], "inspect、port、verify、run、serve和plan。"),
        (["Lotse支持哪些硬件？"], "华为昇腾和任何CPU。"),
    ],
}

SMALL_TALK: dict[str, list[tuple[list[str], str]]] = {
    "en": [
        (["Hello", "Hello!", "Hi", "Hi!", "Good morning!", "Hey"], "Hello! How can I help?"),
        (["Thanks!", "Thank you.", "Thanks a lot."], "You are welcome."),
        (["Bye", "Goodbye!", "See you."], "Goodbye!"),
        (["Who are you?", "What are you?", "What is your name?"],
         "I am lotse-nano, a very small model that shows how Lotse works."),
        (["What can you do?", "Help"],
         "I can add, subtract, multiply, convert units, reckon with dates, sort, write JSON and "
         "answer questions about Lotse."),
    ],
    "de": [
        (["Hallo", "Hallo!", "Guten Morgen!", "Guten Tag!"], "Hallo! Wie kann ich helfen?"),
        (["Danke!", "Vielen Dank."], "Gern geschehen."),
        (["Tschüss!", "Auf Wiedersehen."], "Auf Wiedersehen!"),
        (["Wer bist du?", "Wie heißt du?"],
         "Ich bin lotse-nano, ein sehr kleines Modell, das zeigt, wie Lotse arbeitet."),
        (["Was kannst du?"],
         "Ich kann rechnen, Einheiten umrechnen, sortieren, JSON schreiben und Fragen zu Lotse "
         "beantworten."),
    ],
    "zh": [
        (["你好", "你好！", "早上好！"], "你好！有什么可以帮你？"),
        (["谢谢！", "谢谢。"], "不客气。"),
        (["再见！", "再见"], "再见！"),
        (["你是谁？"], "我是lotse-nano，一个展示Lotse的很小的模型。"),
        (["你会做什么？"], "我会计算、换算单位、排序、写JSON，并回答关于Lotse的问题。"),
    ],
}

UNKNOWN: dict[str, list[str]] = {
    "en": [
        "What is the capital of France?", "Who wrote Hamlet?", "Tell me a joke.", "Write a poem.",
        "How is the weather?", "Translate this sentence.", "What is the meaning of life?",
        "Who is the president?", "How tall is the tower?", "Write a story about a ship.",
        "What is love?", "Where is my key?", "How do I cook fish?", "Write a program.",
    ],
    "de": [
        "Was ist die Hauptstadt von Frankreich?", "Erzähle einen Witz.", "Wie ist das Wetter?",
        "Schreibe ein Gedicht.", "Wo ist mein Schiff?", "Wie kocht man Fisch?",
    ],
    "zh": ["法国的首都是哪里？", "讲个笑话。", "今天天气怎么样？", "写一首诗。"],
}

DO_NOT_KNOW = {
    "en": "I do not know that. I am only a very small model.",
    "de": "Das weiß ich nicht. Ich bin nur ein sehr kleines Modell.",
    "zh": "我不知道。我只是一个很小的模型。",
}

# Turns of a chat that only its history answers.
AND_THEN: dict[str, dict[int, list[str]]] = {
    "en": {1: ["Now add {n}.", "And plus {n}?"], -1: ["Now subtract {n}.", "And minus {n}?"]},
    "de": {1: ["Und plus {n}?"], -1: ["Und minus {n}?"]},
    "zh": {1: ["再加{n}呢？"], -1: ["再减{n}呢？"]},
}

INTRODUCTION: dict[str, tuple[list[str], str, list[str], str]] = {
    "en": (["My name is {name}.", "I am {name}.", "Hello, I am {name}."], "Hello, {name}!",
           ["What is my name?", "Who am I?"], "Your name is {name}."),
    "de": (["Ich heiße {name}.", "Mein Name ist {name}."], "Hallo, {name}!",
           ["Wie heiße ich?", "Wer bin ich?"], "Du heißt {name}."),
    "zh": (["我叫{name}。", "我是{name}。"], "你好，{name}！", ["我叫什么名字？"], "你叫{name}。"),
}
