#!/usr/bin/env python3
"""Golden renderings: what the reference library makes of dialogues with templates of every style.

    python golden/templates/make.py          # rewrites golden.json beside this file

Needs the packages of bench/peers/requirements.txt; the versions used stand in golden.json.

The templates are written for this test, each after the style of a published family.
`golden.json`
    templates       name: source
    cases           template, messages, tools, add_generation_prompt; either `text` and `generated`
                    (start and end, in characters, of what the assistant says) or `refused`, the
                    message of raise_exception
The date is 2026-07-26 18:30:00 UTC, `unix_time` in golden.json.
"""

import datetime
import json
import pathlib

import jinja2
import transformers
from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2026, 7, 26, 18, 30, tzinfo=datetime.timezone.utc)


class FixedDate(datetime.datetime):
    """The clock that `strftime_now` of the reference library looks at."""

    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = FixedDate

TEMPLATES = {
    "chatml": (HERE.parent / "tokenizer" / "chat_template.jinja").read_text(),
    # A block style with every tag on its own line, indented: trim_blocks and lstrip_blocks.
    "blocks": """\
{% for message in messages %}
    {% if message['role'] == 'assistant' %}
        {% generation %}
[{{ message['content'] | trim }}]
        {% endgeneration %}
    {% elif loop.first and message.role == 'system' %}
<<{{ message.content }}>>
    {% else %}
{{ loop.index0 }}: {{ message.content.strip() }}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
ANSWER:{% endif %}
""",
    # Headers around each turn, the date, and content that is trimmed.
    "headers": """\
{{- bos_token }}
{%- set loop_messages = messages %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = '' %}
{%- endif %}
{{- '<|header|>system<|end_header|>\\n\\nToday: ' + strftime_now('%d %b %Y')
    + '\\n' + system_message + '<|eot|>' }}
{%- for message in loop_messages %}
    {{- '<|header|>' + message['role'] + '<|end_header|>\\n\\n' }}
    {%- if message['role'] == 'assistant' -%}
        {%- generation -%}
        {{- message['content'] | trim + '<|eot|>' }}
        {%- endgeneration -%}
    {%- else %}
        {{- message['content'] | trim + '<|eot|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|end_header|>\\n\\n' }}
{%- endif %}
""",
    # Turns must alternate; roles are renamed; a namespace and a macro.
    "alternating": """\
{%- macro turn(role, content) -%}
<start_of_turn>{{ role }}
{{ content }}<end_of_turn>
{% endmacro -%}
{%- set state = namespace(count=0) -%}
{{ bos_token }}
{%- for message in messages -%}
    {%- if message['role'] not in ['user', 'assistant'] -%}
        {{ raise_exception('System role not supported') }}
    {%- endif -%}
    {%- if (message['role'] == 'user') != (state.count % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- set state.count = state.count + 1 -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ turn(role, message['content'] | trim) }}
{%- endfor -%}
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}
""",
    # JSON of the whole dialogue, on one line and indented; comments and raw text.
    "json": """\
{# {% generation %} in a comment is no tag #}
{% raw %}{% generation %}{% endraw %}

{{ messages | tojson }}
{{ messages[-1] | tojson(indent=4) }}
{{ {'a': [1, 2.5, none, true], 'b': '<&>', '中': {}} | tojson }}
{{ [] | tojson(indent=2) }}{{ messages | length }}
{%- for message in messages | selectattr('role', 'equalto', 'assistant') %}

{% generation %}{{ message.content }}{% endgeneration %}
{%- endfor %}
""",
    # Tools, their calls and results; thoughts cut out of what the assistant said.
    "tools": """\
{%- if tools %}
    {{- '<|header|>system\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson + '\\n' }}
        {%- for name, schema in tool.function.parameters.properties.items() %}
            {{- '- ' + name + ': ' + {'string': 'str', 'integer': 'int'}[schema.type] }}
            {%- if name in tool.function.parameters.required %}{{ ' (required)' }}{% endif %}
            {{- '\\n' }}
        {%- endfor %}
    {%- endfor %}
{%- endif %}
{%- set ns = namespace(names={}) %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<tool_response>' + message.name|default('?') }}
        {{- ':' + message.content + '</tool_response>\\n' }}
        {%- continue %}
    {%- endif %}
    {{- '<|header|>' + message.role + '\\n' }}
    {%- set content = message.content %}
    {%- if '</think>' in content and message.role == 'assistant' %}
        {%- set thought = content.split('</think>')[0].rstrip('\\n') %}
        {%- set thought = thought.split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {{- '<think>' + thought + '</think>' }}
    {%- elif message.reasoning_content is defined %}
        {{- '<think>' + message.reasoning_content | trim + '</think>' }}
    {%- endif %}
    {{- content | replace('<', '&lt;', 1) }}
    {%- for call in message.tool_calls or [] %}
        {{- '<tool_call>{"name": "' ~ call.function.name ~ '", "arguments": ' }}
        {%- set arguments = call.function.arguments %}
        {{- (arguments if arguments is string else arguments | tojson) ~ '}</tool_call>' }}
    {%- endfor %}
    {{- '<|eot|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|header|>assistant\\n' }}{% endif %}
""",
    # Methods of Python's strings and dictionaries.
    "methods": """\
{%- for message in messages %}
{{- message.role.upper() }}|{{ message.get('name', 'nobody') }}|
{%- if message.content.startswith('!') %}!{% endif %}
{{- message.content.split('\\n')[0].rstrip() }}|{{ ' / '.join(message.content.splitlines()) }}
{{ message.items() | map('first') | join(',') }}
{% endfor %}""",
}

DIALOGUES = [
    [{"role": "user", "content": "写一首诗。"}],
    [
        {"role": "system", "content": " Be brief. \n"},
        {"role": "user", "content": "Hello,\n  world"},
        {"role": "assistant", "content": "  你好，世界。 \n\n"},
        {"role": "user", "content": '"quotes" \\ <b>&amp;</b> {{ 7 * 7 }} {% raw %}'},
        {"role": "assistant", "content": "第一行\n第二行"},
    ],
    [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
    [
        {"role": "user", "content": "a < b < c?"},
        {"role": "assistant", "content": "<think>\nhm </think\n</think>\n\nyes"},
        {"role": "user", "content": "</think>!"},
        {"role": "assistant", "content": "so", "reasoning_content": " because\n"},
    ],
]

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'The weather "now" \\ 天气\n<second> line',
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city"],
        },
    },
}
CALL = {
    "name": "get_weather",
    "arguments": {"city": 'a "b" 京', "days": 2, "more": [1.5, None, True, {}]},
}
TOOL_DIALOGUE = [
    {"role": "user", "content": "天气?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c1", "type": "function", "function": CALL}],
    },
    {"role": "tool", "content": '{"sky": "clear"}', "tool_call_id": "c1", "name": "get_weather"},
    {"role": "assistant", "content": "Clear."},
]


def render(template, messages, tools, add_generation_prompt):
    texts, generated = chat_template_utils.render_jinja_template(
        [messages],
        chat_template=template,
        tools=tools,
        return_assistant_tokens_mask=True,
        add_generation_prompt=add_generation_prompt,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
    )
    return {"text": texts[0], "generated": generated[0]}


def main():
    cases = []
    for name, template in TEMPLATES.items():
        dialogues = [(messages, None) for messages in DIALOGUES] + [(TOOL_DIALOGUE, [TOOL])]
        for messages, tools in dialogues:
            for prompt in (False, True):
                case = {"template": name, "messages": messages, "add_generation_prompt": prompt}
                if tools:
                    case["tools"] = tools
                try:
                    case.update(render(template, messages, tools, prompt))
                except jinja2.exceptions.TemplateError as error:
                    case["refused"] = str(error)
                cases.append(case)
    golden = {
        "versions": {"transformers": transformers.__version__, "jinja2": jinja2.__version__},
        "unix_time": int(NOW.timestamp()),
        "templates": TEMPLATES,
        "cases": cases,
    }
    (HERE / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
