#!/usr/bin/env python3
"""What the reference library renders with published templates, for examples/templates.rs.

    python golden/templates/published.py CASES.json TEMPLATE...
    cargo run -p danlu-tokenizer --example templates -- CASES.json

TEMPLATE is a .jinja file or a tokenizer_config.json with a chat template. The reference is
`transformers.utils.chat_template_utils` (versions stand in CASES.json); the date is the one of
make.py. Dialogues: system prompts, many turns, thoughts, tools with calls and results.
"""

import json
import pathlib
import sys

import jinja2
import transformers
from transformers.utils import chat_template_utils

from make import FixedDate, NOW

chat_template_utils.datetime = FixedDate

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'The weather "now" in a place <b>&amp;</b> 天气\nsecond line',
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "A city, e.g. 北京"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "description": "How many days", "minimum": 1},
            },
            "required": ["city"],
        },
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Searches documents.",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["query", "tags"],
        },
    },
}


def call(name, arguments, id="call00001"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


SYSTEM = {"role": "system", "content": " You are brief. \n"}
ASKED = [user("What is the weather in 北京?")]
CALLED = ASKED + [assistant("", tool_calls=[call("get_weather", {"city": "北京", "days": 2})])]
RESULT = {
    "role": "tool",
    "name": "get_weather",
    "tool_call_id": "call00001",
    "content": '{"sky": "clear", "t": 21.5}',
}
DIALOGUES = [
    ("one", [user("Hello, world!")], []),
    ("system", [SYSTEM, user("写一首诗。")], []),
    (
        "turns",
        [SYSTEM, user("a"), assistant("  b \n"), user("c\n\nd"), assistant("é👍"), user("e")],
        [],
    ),
    ("ends", [user("a"), assistant("b")], []),
    (
        "odd",
        [
            user('"quotes" \\ <b>&amp;</b> {{ 7 * 7 }} {% raw %} \'s\t'),
            assistant("```py\nx = {'a': 1}\n```"),
            user(" "),
        ],
        [],
    ),
    ("thought", [user("a"), assistant("<think>\nhm\n</think>\n\nb"), user("c")], []),
    ("thought last", [user("a"), assistant("<think>\nhm\n</think>\n\nb")], []),
    (
        "reasoning",
        [
            user("a"),
            assistant("b", reasoning_content="hm"),
            user("c"),
            assistant("d", reasoning_content="so"),
        ],
        [],
    ),
    ("tools", ASKED, [WEATHER]),
    ("tools system", [SYSTEM] + ASKED, [WEATHER, SEARCH]),
    ("called", CALLED, [WEATHER]),
    ("result", CALLED + [RESULT], [WEATHER, SEARCH]),
    (
        "answered",
        [SYSTEM] + CALLED + [RESULT, assistant("It is clear."), user("Thanks")],
        [WEATHER],
    ),
    (
        "two calls",
        ASKED
        + [
            assistant(
                "Let me see.",
                tool_calls=[
                    call("get_weather", {"city": 'a "b"', "unit": "celsius"}, "call00001"),
                    call("search", {"query": "x < y & z", "tags": ["p", "q"]}, "call00002"),
                ],
            ),
            RESULT,
            {
                "role": "tool",
                "name": "search",
                "tool_call_id": "call00002",
                "content": "none\nfound",
            },
        ],
        [WEATHER, SEARCH],
    ),
    (
        "called as text",
        ASKED + [assistant("", tool_calls=[call("get_weather", '{"city": "北京"}')])],
        [WEATHER],
    ),
    ("two users", [user("one"), user("two")], []),
    ("assistant first", [assistant("hi"), user("a")], []),
]


def source_of(path):
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".jinja" else json.loads(text).get("chat_template")


def main():
    output, *paths = [pathlib.Path(argument) for argument in sys.argv[1:]]
    templates, cases = {}, []
    for path in paths:
        name = path.stem if path.suffix == ".jinja" else path.parent.parent.name
        source = source_of(path)
        if source is None:
            continue
        templates[name] = source
        for index, (_, messages, tools) in enumerate(DIALOGUES):
            for prompt in (False, True):
                case = {"template": name, "dialogue": index, "add_generation_prompt": prompt}
                try:
                    texts, _ = chat_template_utils.render_jinja_template(
                        [json.loads(json.dumps(messages))],
                        chat_template=source,
                        tools=tools or None,
                        add_generation_prompt=prompt,
                        bos_token="<|endoftext|>",
                        eos_token="<|endoftext|>",
                    )
                    case["text"] = texts[0]
                except Exception as error:  # whatever a template does wrong
                    case["error"] = f"{type(error).__name__}: {error}"
                cases.append(case)
    output.write_text(
        json.dumps(
            {
                "versions": {
                    "transformers": transformers.__version__,
                    "jinja2": jinja2.__version__,
                },
                "unix_time": int(NOW.timestamp()),
                "templates": templates,
                "dialogues": [{"name": n, "messages": m, "tools": t} for n, m, t in DIALOGUES],
                "cases": cases,
            },
            ensure_ascii=False,
        )
    )


if __name__ == "__main__":
    main()
