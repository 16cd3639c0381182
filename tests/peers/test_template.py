# SPDX-License-Identifier: Apache-2.0
"""Chat templates rendered as transformers renders them (jinja2 in its own environment)."""
import json
import os
import random
import time

import pytest
from conftest import TESTDATA
from transformers.utils.chat_template_utils import _compile_jinja_template

USER = [{"role": "user", "content": "Hi  "}]
MANY = [{"role": "system", "content": " You are."},
        {"role": "user", "content": "é \U0001F600 'q' \"d\"\n<x>"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "more"}]
CALLS = [{"role": "user", "content": "weather?"},
         {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {
             "name": "get", "arguments": {"city": "Köln", "n": 1, "f": 1.5, "b": True, "z": None}}}]},
         {"role": "tool", "content": "{\"t\": 20}", "name": "get"},
         {"role": "user", "content": "thanks"}]
TOOLS = [{"type": "function", "function": {"name": "get", "description": "d \"x\" é <&'>", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
VARIABLES = {"bos_token": "<bos>", "eos_token": "<eos>", "date_string": "01 Jan 2026"}


class Broken(Exception):
    pass


def theirs(source, messages, tools=None, generation=True, **variables):
    try:
        return _compile_jinja_template(source).render(
            messages=messages, tools=tools, documents=None, add_generation_prompt=generation, **variables)
    except Exception as error:  # whatever jinja2 raises, ours must refuse too
        return Broken(str(error))


@pytest.fixture
def ours(tenon, tmp_path):
    def render(source, messages, tools=None, generation=True, **variables):
        path = tmp_path / "t.jinja"
        path.write_text(source, newline="")
        words = ["model", "template", str(path)]
        for name, value in [("messages", messages), ("tools", tools), ("variables", variables)]:
            if value is not None:
                (tmp_path / name).write_text(json.dumps(value))
                words += ["--" + name, str(tmp_path / name)]
        if not generation:
            words.append("--continue")
        done = tenon(*words, check=False)
        if done.returncode == 0:
            return done.stdout
        assert done.returncode == 1 and done.stderr.startswith("error: "), done
        return Broken(done.stderr)
    return render


def same(a, b):
    return isinstance(a, Broken) == isinstance(b, Broken) and (isinstance(a, Broken) or a == b)


def shipped():
    folder = os.path.join(TESTDATA, "templates")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


@pytest.mark.parametrize("name", shipped() or [pytest.param("", marks=pytest.mark.skip("no TENON_TESTDATA"))])
def test_templates_as_models_ship_them(ours, name):
    source = open(os.path.join(TESTDATA, "templates", name), newline="").read()
    for messages in (USER, MANY, CALLS, []):
        for tools in (None, TOOLS):
            for generation in (True, False):
                want = theirs(source, messages, tools, generation, **VARIABLES)
                got = ours(source, messages, tools, generation, **VARIABLES)
                assert same(want, got), (messages, want, got)


# One line each; x is a dict, l a list, s a string, n an integer, f a float.
VALUES = {"x": {"b": 1, "a": [1, 2], "items": "shadow", "é": None}, "l": [3, 1, 2], "s": " aB c,d\n",
          "n": -7, "f": 2.5, "t": True, "u": "Grüße ß", "d": [{"k": "b", "v": 2}, {"k": "A", "v": 1}, {"k": "b"}]}
EXPRESSIONS = """
1 + 2 * 3 - 4 / 2 | 7 // 2 ~ -7 // 2 ~ 7 % -3 ~ n % 3 | 2 ** 10 ~ 2 ** -1 | -n | +f | 1 ~ none ~ true ~ 1.0 ~ 1e22 ~ 1e16 ~ 1e15
1e-5 ~ 0.1 ~ 123456789.125 | 'a' + "b" 'c' | 'ab' * 3 | [1] * 2 | [1] + [2, 'x'] | (1, 2) ~ (1,) ~ () | {'a': 1, 'b': [true, none]}
x | x.b | x['b'] | x.items()|list | x['items'] | x.missing | x.missing.deeper | missing | missing.x | missing() | x.a[0] ~ x.a[-1]
x.a[5] | s[1] ~ s[-2] | s[1:3] | s[::-1] | s[:-1] | l[1:] | l[::2] | l[::-1] | l[5:] | l[-2:] | u[2:5] | (1,2,3)[1:]
n < f | 1 < 2 < 3 | 1 < 3 < 2 | 1 == 1.0 | true == 1 | 'a' < 'b' | 'a' < 1 | [1, 2] < [1, 3] | none == missing | 'a' in 'cab'
1 in l | 'b' in x | 9 not in l | not 1 in l | 'x' in missing | 1 in 5 | t and n | n and 0 | '' or 'y' | none or missing | not missing
'a' if t else 'b' | 'a' if not t | (1 if f > 2) ~ 'z' | s | s|trim|upper | s.strip().split(',') | s.split() | 'a,b,,c'.split(',', 1)
'a b  c'.rsplit(' ', 1) | 'xxaxx'.strip('x') ~ 'xxa'.lstrip('x') ~ 'axx'.rstrip('x') | 'abc'.startswith('ab') ~ 'abc'.endswith(('x','c'))
u.upper() ~ u.lower() ~ u.title() ~ u.capitalize() | "it's".title() ~ 'a-b c'.title() | 'aXbX'.replace('X', '', 1) | 'abc'.replace('', '-')
'abc'.find('c') ~ 'abc'.find('z') ~ 'ü1ü'.rfind('ü') | 'aaa'.count('a') ~ 'abc'.count('') | '12'.isdigit() ~ ''.isdigit() ~ 'a1'.isalnum()
'%s is %d %% %.2f %5s|%-5s|%05d|%x' % ('a', 3, 1.005, 'r', 'l', 42, 255) | '%s' % 'x' | '%(k)s' % {'k': 2} | '%d' % 'x' | '%s %s' % ('a',)
'{} {}'.format(1, 'b') | '{1} {0} {k} {{}}'.format(1, 2, k=3) | '{}'.format() | "%s-%s"|format(1, 2) | ', '.join(['a', 'b']) | ''.join([1])
'a\\nb\\r\\nc'.splitlines() | 'a\\tb\\x41\\u00e9\\'' | 'pre-x'.removeprefix('pre-') ~ 'x.y'.removesuffix('.y') | l|sort ~ l|sort(reverse=true)
['b','A','c']|sort ~ ['b','A','c']|sort(case_sensitive=true) | d|sort(attribute='v', reverse=true) | d|selectattr('v')|list | d|map(attribute='k')|list
d|map(attribute='v', default=0)|list | d|map(attribute='k')|map('upper')|join('+') | d|selectattr('k','equalto','b')|list|length
d|rejectattr('k','eq','b')|list | d|selectattr('v','defined')|list | l|select('odd')|list ~ l|reject('gt', 1)|list | l|select|list | l|sum ~ d[:2]|sum(attribute='v')
l|first ~ l|last ~ []|first | 'abc'|first ~ 'abc'|list ~ x|list | l|reverse|list ~ 'abc'|reverse | l|max ~ l|min ~ ['b','A']|min | l|unique|list ~ ['a','A']|unique|list
l|join ~ l|join(', ') ~ d[:2]|join('-', attribute='k') | x|length ~ s|count ~ 5|length | x|dictsort | x|dictsort(by='value') | {'b': 1, 'a': 2}|dictsort(reverse=true)
missing|default('d') ~ ''|default('e') ~ ''|d('e', true) ~ none|default('x') | '42'|int ~ 'x'|int ~ 'x'|int(7) ~ '3.9'|int ~ 3.9|int ~ none|int | '2.5'|float ~ 'x'|float(1.0) ~ n|float
n|abs ~ (-2.5)|abs | 2.567|round(2) ~ 2.5|round ~ 3.5|round ~ 2.1|round(0,'ceil') ~ 2.9|round(method='floor') | x|tojson | x|tojson(indent=2) | [1,[],{}]|tojson(indent=1)
'é<>&\\u2028\\n"'|tojson | 'é'|tojson(ensure_ascii=true) | {'b':1,'a':2}|tojson(sort_keys=true) | [1.0, 1e100, true, none]|tojson | x|tojson(separators=(',',':')) | missing|tojson
'a\\nb\\n\\nc'|indent ~ '|' | 'a\\nb'|indent(2, true) | 'a\\n\\nb\\n'|indent(1, blank=true) | 'x'|indent('>>', true) | '<&"\\'>'|e | 'a b_c d'|wordcount | x|string ~ l|string|length | 'x'|nofilter
x is mapping ~ l is mapping | s is string ~ l is string | l is iterable ~ s is iterable ~ x is iterable ~ n is iterable | l is sequence ~ x is sequence | n is number ~ t is number ~ f is float ~ n is integer ~ t is integer
t is true ~ n is true ~ t is boolean ~ none is none ~ missing is none | missing is defined ~ x.b is defined ~ x.q is not defined | missing is undefined | n is odd ~ n is even ~ 9 is divisibleby 3 ~ 9 is divisibleby(2)
'a' is lower ~ 'A' is upper ~ 'aB' is lower ~ '1' is lower | 1 is eq 1 ~ 1 is ne(2) ~ 2 is gt 1 ~ 1 is in [1] ~ 1 is sameas 1 | x.get is callable | 'trim' is filter ~ 'defined' is test | n is nosuchtest
x.get('b') ~ x.get('q') ~ x.get('q', 'z') | x.keys()|list ~ x.values()|list | range(3)|list ~ range(1, 7, 2)|list ~ range(3, 0, -1)|list | namespace(a=1).a | dict(a=1)|tojson | strftime_now('%%')
1/0 | 1 + 'a' | none + 1 | l + 'x' | {}['x'] | ''[0] | raise_exception('stop it') | s.nosuch() | x.b() | l.nosuch | l|map('nofilter')|list | true + true ~ 3 * true | 10 - 2 - 3 ~ 2 * 3 % 4 | not 1 == 2 | 1 if 0 else 2 if 0 else 3
'a' ~ 1 + 2 ~ 'b' | -1|abs | -2 ** 2 | 2 ** 3 ** 2 | 'x' 'y'|upper | (1, 2)|first | [[1, 2], [3]]|sum(start=[]) | [3, [1]]|string | "tab\there" | 'a"b' | ["it's", 'q"', 'b\\'"'] | 5|string + '!' | true ~ false|lower
d|groupby('k')|list|length | [1,2,3]|batch(2)|list | [1,2,3]|batch(2, 0)|list | x['a'][1] ~ x.a.0 | ('a', 'b')|join | [1, 2, 3].index(2) ~ [1, 1].count(1) | 1_000 + 1 | 'ABC'|lower|capitalize | [none, true, 1.5]|join(',')
"""


def expressions():
    return [e for line in EXPRESSIONS.strip().splitlines() for e in line.split(" | ")]


def test_expressions(ours):
    wrong = []
    for expression in expressions():
        source = "[{{ " + expression.replace("\\\\", "\\") + " }}]"
        want, got = theirs(source, USER, **VALUES), ours(source, USER, **VALUES)
        if not same(want, got):
            wrong.append((source, want if isinstance(want, str) else "refused: " + str(want), str(got)))
    assert not wrong, "\n".join(map(str, wrong))


STATEMENTS = [
    "{% for m in messages %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.revindex0 }}{{ m.role }};{% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{% else %}none{% endfor %}",
    "{% for i in [] %}x{% else %}empty{% endfor %}{% for i in missing %}x{% endfor %}",
    "{% for k, v in x.items() %}{{ k }}={{ v }},{% endfor %}{% for k in x %}{{ k }}{% endfor %}{% for c in u %}{{ c }}.{% endfor %}",
    "{% for i in range(9) if i is odd %}{{ loop.index0 }}:{{ i }}{% if i == 7 %}{% break %}{% endif %} {% endfor %}",
    "{% for i in range(5) %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
    "{% set a = 1 %}{% for i in l %}{% set a = a + i %}{{ a }}{% endfor %}{{ a }}",
    "{% set ns = namespace(n=0) %}{% for i in l %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% if n > 0 %}p{% elif n < 0 %}m{% else %}z{% endif %}{% set a, b = 1, [2] %}{{ a }}{{ b }}",
    "{% macro f(a, b='d') %}<{{ a }}{{ b }}{{ missing }}>{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}{{ f() }}",
    "{% macro f(a) %}{{ caller() }}{{ a }}{% endmacro %}{% call f(3) %}in{{ n }}{% endcall %}",
    "{% macro g(i) %}{% if i > 0 %}{{ i }}{{ g(i - 1) }}{% endif %}{% endmacro %}{{ g(4) }}",
    "{% set v %}  block {{ n }}\n{% endset %}[{{ v }}]{% set w | upper | trim %} up {% endset %}[{{ w }}]",
    "{% filter upper %}a{{ s }}{% endfilter %}{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% raw %}{{ not this }}{% endraw %}{# comment #}|{#- c -#}  |",
    "{% for i in l -%}\n  {{ i }}\n  {%- if not loop.last %}, {% endif %}\n{% endfor %}end\n",
    "  {% if t %}\n    yes\n  {% endif %}\nafter\n\n",
    "a\n  {%+ if t %}b{% endif +%}\n c\n{{- ' x' -}}\n d",
    "{% for a in l %}{% for b in l %}{{ a * b }}{{ loop.last }}{% endfor %}/{{ loop.last }}{% endfor %}",
    "{% generation %}g{{ n }}{% endgeneration %}{% set l2 = l[1:] %}{{ l2 }}{{ messages[0].content | trim }}",
    "{% for m in messages %}{% set role = m.role %}{{ role }}{% endfor %}{{ role is defined }}",
    "{% if x %}{% set y = 'in' %}{% endif %}{{ y }}", "{% for i in 5 %}{% endfor %}", "{% endif %}", "{% if %}",
    "{{ }}", "{{ 'a }}", "{% for %}", "{% if 1 %}", "{{ 1 + }}", "{% unknown %}", "{{ a b }}", "{# open", "{{ [1, }}", "{{ l[] }}",
    "{% set %}", "{% macro %}", "{% break %}", "{{ x.1a }}", "{{ 1..2 }}", "{% set x.y = 1 %}", "{% set 1 = 2 %}",
    "plain } text { with % # braces }} %}\r\nand\rcarriage",
]


def test_statements(ours):
    wrong = []
    for source in STATEMENTS:
        want, got = theirs(source, MANY, **VALUES), ours(source, MANY, **VALUES)
        if not same(want, got):
            wrong.append((source, str(want), str(got)))
    assert not wrong, "\n".join(map(str, wrong))


def test_random_white_space(ours):
    """Tags with random signs among random white space: what jinja2 leaves is left."""
    seed = int(os.environ.get("TENON_SEED", time.time_ns() % 2**32))
    print("seed", seed)
    rng = random.Random(seed)

    def space():
        return "".join(rng.choice([" ", "\n", "\t", "a", "  "]) for _ in range(rng.randrange(5)))

    def tag(inside):
        return "{%" + rng.choice(["", "-", "+", ""]) + f" {inside} " + rng.choice(["", "-", "+", ""]) + "%}"

    def body(depth):
        out = space()
        for _ in range(rng.randrange(1, 4)):
            kind = rng.randrange(5 if depth < 3 else 2)
            if kind == 0:
                out += "{{" + rng.choice(["", "-"]) + " n " + rng.choice(["", "-"]) + "}}"
            elif kind == 1:
                out += "{#" + rng.choice(["", "-", "+"]) + " c " + rng.choice(["", "-", "+"]) + "#}"
            elif kind == 2:
                out += tag("if t") + body(depth + 1) + tag("else") + body(depth + 1) + tag("endif")
            elif kind == 3:
                out += tag("for i in l") + body(depth + 1) + tag("endfor")
            else:
                out += tag("raw") + space() + tag("endraw")
            out += space()
        return out
    for _ in range(300):
        source = body(0)
        want, got = theirs(source, USER, **VALUES), ours(source, USER, **VALUES)
        assert same(want, got), (source, want, got)


def test_a_hostile_template_ends(ours):
    for source in ["{% for a in range(99999999) %}{% endfor %}", "{{ 'x' * 999999999 }}", "{{ [1] * 99999999 }}",
                   "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
                   "{% if 1 %}" * 3000, "{{ 9999999999 ** 9999999 }}", "{% set l = [1] %}{{ l.append(l) }}{{ l }}",
                   "{% set s = 'aaaaaaaa' %}" + "{% set s = s + s %}" * 40 + "{{ s }}", "{{ '%999999999d' % 1 }}",
                   "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('a', 'aa') %}{% endfor %}",
                   "{{ 'a'|indent(999999999, true) }}", "{{ not " + "not " * 4000 + "1 }}", "{{ -" + "-" * 4000 + "1 }}"]:
        got = ours(source, USER)
        assert isinstance(got, Broken) and len(str(got)) < 700, source


@pytest.mark.parametrize("layout", ["file", "config", "list"])
def test_where_a_folder_keeps_it(tenon, tmp_path, layout):
    config = {"bos_token": {"content": "<b>"}, "eos_token": "<e>"}
    source = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ 'G' if add_generation_prompt }}"
    if layout == "file":
        (tmp_path / "chat_template.jinja").write_text(source)
    elif layout == "config":
        config["chat_template"] = source
    else:
        config["chat_template"] = [{"name": "default", "template": source},
                                   {"name": "tool_use", "template": "T{{ tools|length }}"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "m.json").write_text(json.dumps(USER))
    (tmp_path / "t.json").write_text(json.dumps(TOOLS))
    words = ["model", "template", str(tmp_path), "-m", str(tmp_path / "m.json")]
    assert tenon(*words).stdout == "<b>Hi  <e>G"
    assert tenon(*words, "--continue").stdout == "<b>Hi  <e>"
    with_tools = tenon(*words, "--tools", str(tmp_path / "t.json")).stdout
    assert with_tools == ("T1" if layout == "list" else "<b>Hi  <e>G")
