# SPDX-License-Identifier: Apache-2.0
"""`tenon serve` with OpenAI's own Python client, with raw sockets that misbehave, and against transformers."""
import concurrent.futures
import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import time

import openai
import pytest
import torch
from conftest import TINY_CONTEXT as CONTEXT
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaForCausalLM

PROMPTS = [f"{'the quick brown fox ' * (i % 5)}jumps {i} over" for i in range(16)]


@pytest.fixture(scope="session")
def folder(tiny_model):
    return tiny_model


class Server:
    """A running `tenon serve` on a free port."""

    def __init__(self, tenon, folder, tmp_path, *words):
        port_file = tmp_path / "port"
        self.process = subprocess.Popen(
            [str(tenon.path), "serve", str(folder), "--port", "0", "--port-file", str(port_file),
             *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not port_file.exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "no port after 60 s"
            time.sleep(0.01)
        self.port = int(port_file.read_text())
        self.ready = self.process.stdout.readline()
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none",
                                    max_retries=0, timeout=120)

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body) without any client library in between."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def post(self, path, body):
        status, _, text = self.request("POST", path, json.dumps(body))
        return status, json.loads(text)

    def health(self):
        return json.loads(self.request("GET", "/health")[2])

    def complete(self, prompt, **more):
        more = {"max_tokens": 24, "temperature": 0, **more}
        return self.client.completions.create(model="tiny", prompt=prompt, **more)

    def until_idle(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            health = self.health()
            if health["running"] == health["queue"] == 0 and \
                    health["kv_blocks_free"] == health["kv_blocks"]:
                return health
            assert time.monotonic() < deadline, health
            time.sleep(0.02)

    def stop(self, how=signal.SIGTERM, seconds=60):
        if self.process.poll() is None:
            self.process.send_signal(how)
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


@contextlib.contextmanager
def serving(tenon, folder, tmp_path, *words):
    server = Server(tenon, folder, tmp_path, *words)
    try:
        yield server
        code, _, err = server.stop()
        assert code == 0, err
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


@pytest.fixture(scope="module")
def server(tenon, folder, tmp_path_factory):
    with serving(tenon, folder, tmp_path_factory.mktemp("serve")) as s:
        yield s


def text_of(stream):
    return "".join(c.choices[0].text for c in stream if c.choices)


# ---- what it answers -------------------------------------------------------------------------------------

def test_models(server):
    assert server.ready.startswith(f"serving tiny at http://127.0.0.1:{server.port} ")
    listed = list(server.client.models.list())
    assert [m.id for m in listed] == ["tiny"]
    assert server.client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError):
        server.client.models.retrieve("other")


def test_completion_equals_transformers(server, folder):
    peer = LlamaForCausalLM.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for prompt in PROMPTS[:6]:
        ids = tokenizer.encode(prompt).ids
        with torch.no_grad():
            theirs = peer.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False,
                                   pad_token_id=0)[0][len(ids):].tolist()
        ours = server.complete(prompt, logprobs=1)
        assert ours.usage.prompt_tokens == len(ids)
        assert ours.usage.completion_tokens == len(theirs)
        assert ours.usage.total_tokens == len(ids) + len(theirs)
        ended = theirs[-1] == 0
        assert ours.choices[0].finish_reason == ("stop" if ended else "length")
        assert ours.choices[0].text == tokenizer.decode(theirs)
        assert len(ours.choices[0].logprobs.tokens) == len(theirs)


def test_stream_says_the_same_as_plain(server):
    for prompt in PROMPTS:
        plain = server.complete(prompt)
        chunks = list(server.complete(prompt, stream=True, stream_options={"include_usage": True}))
        assert text_of(chunks) == plain.choices[0].text
        assert chunks[-1].choices == [] and chunks[-1].usage == plain.usage
        reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
        assert reasons[-1] == plain.choices[0].finish_reason and not any(reasons[:-1])


def test_chat_plain_and_streamed(server):
    messages = [{"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "hello"}]}]
    how = dict(model="tiny", messages=messages, max_completion_tokens=12, temperature=0)
    raw = server.client.chat.completions.with_raw_response.create(**how)
    assert raw.headers["x-tenon-chat-template"] == "plain"
    plain = raw.parse()
    assert plain.choices[0].message.role == "assistant"
    chunks = list(server.client.chat.completions.create(stream=True, **how))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == plain.choices[0].message.content
    assert all(c.usage is None for c in chunks)
    # The rendering is what the documentation says: the same prompt as text gives the same answer.
    written = server.complete("System: Be brief.\nUser: hello\nAssistant:", max_tokens=12,
                              stop=["\nUser:", "\nSystem:"])
    assert written.choices[0].text == plain.choices[0].message.content
    assert written.usage == plain.usage


def test_chat_by_the_models_own_template(tenon, folder, tmp_path):
    template = ("{%- for m in messages %}{{ '<|' + m.role + '|>' + m.content | trim + '\n' }}{% endfor %}"
                "{% if messages[0].role == 'assistant' %}{{ raise_exception('who speaks first?') }}{% endif %}"
                "{% if add_generation_prompt %}<|assistant|>{% endif %}")
    mine = tmp_path / "tiny"
    shutil.copytree(folder, mine)
    (mine / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    messages = [{"role": "user", "content": [{"type": "text", "text": " hello "}]}]
    with serving(tenon, mine, tmp_path) as server:
        raw = server.client.chat.completions.with_raw_response.create(
            model="tiny", messages=messages, max_completion_tokens=12, temperature=0)
        assert raw.headers["x-tenon-chat-template"] == "model"
        written = server.complete("<|user|>hello\n<|assistant|>", max_tokens=12)
        assert written.choices[0].text == raw.parse().choices[0].message.content
        status, answer = server.post("/v1/chat/completions", {
            "model": "tiny", "messages": [{"role": "assistant", "content": "I do"}]})
        assert status == 400 and "who speaks first?" in answer["error"]["message"]
    (mine / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{% for %}"}))
    assert "line 1: expected a name" in tenon.fails("serve", mine, "--port", "0")


def test_chat_logprobs(server):
    answer = server.client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hello"}], max_tokens=5, temperature=0,
        logprobs=True, top_logprobs=3, extra_body={"ignore_eos": True})
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens == 5
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token  # greedy
        values = [t.logprob for t in token.top_logprobs]
        assert values == sorted(values, reverse=True) and values[0] == token.logprob <= 0


def test_prompt_forms_and_echo(server, folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    by_text = server.complete("the quick")
    ids = tokenizer.encode("the quick").ids
    assert server.complete(ids).choices[0].text == by_text.choices[0].text
    both = server.complete(["the quick", "lazy"])
    assert [c.index for c in both.choices] == [0, 1]
    assert both.choices[0].text == by_text.choices[0].text
    assert both.choices[1].text == server.complete("lazy").choices[0].text
    assert server.complete([ids, ids]).choices[1].text == by_text.choices[0].text
    for stream in (False, True):
        echoed = server.complete(ids, echo=True, stream=stream)
        text = text_of(echoed) if stream else echoed.choices[0].text
        assert text == "the quick" + by_text.choices[0].text


def transformers_logprobs(folder, prompts):
    """Of each prompt's tokens but the first: its log-probability, and the likeliest token's."""
    peer = LlamaForCausalLM.from_pretrained(folder).eval()
    for ids in prompts:
        with torch.no_grad():
            rows = torch.log_softmax(peer(torch.tensor([ids])).logits[0, :-1].double(), -1)
        yield rows[range(len(ids) - 1), ids[1:]].tolist(), rows.max(-1).values.tolist()


def test_logprobs_of_a_prompt_equal_transformers(tenon, folder, tmp_path):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = [*PROMPTS[:4], "größe — naïve 日本 🦊 fox", "fox " * 400]  # the last: several steps
    prompts = [tokenizer.encode(text).ids for text in texts]
    with serving(tenon, folder, tmp_path, "--kv", "f32", "--step-tokens", 256) as s:
        answer = s.complete(texts, max_tokens=0, echo=True, logprobs=2)
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (sum(map(len, prompts)), 0)
        for choice, text, ids, (given, likeliest) in zip(answer.choices, texts, prompts,
                                                         transformers_logprobs(folder, prompts)):
            lists = choice.logprobs
            assert choice.text == text and choice.finish_reason == "length"
            assert len(lists.tokens) == len(lists.text_offset) == len(ids)
            assert lists.token_logprobs[0] is None and lists.top_logprobs[0] is None
            assert lists.token_logprobs[1:] == pytest.approx(given, abs=1e-4)
            assert [max(top.values()) for top in lists.top_logprobs[1:]] == pytest.approx(likeliest, abs=1e-4)
            for token, offset in zip(lists.tokens, lists.text_offset):
                assert token.startswith("bytes:") or text[offset:].startswith(token)
            parts = [t.encode() if not t.startswith("bytes:") else
                     t[6:].encode().decode("unicode_escape").encode("latin1") for t in lists.tokens]
            assert b"".join(parts).decode() == text
            # By ids, and alone: the same numbers, bit for bit.
            again = s.complete(ids, max_tokens=0, echo=True, logprobs=2).choices[0]
            assert again.logprobs == lists and again.text == text


def test_logprobs_of_a_prompt_and_its_answer(server):
    """What harnesses do: score a continuation by one request, with and without tokens after it."""
    context, more = "the quick brown", " fox jumps"
    whole = server.complete(context + more, max_tokens=3, echo=True, logprobs=1, extra_body={"ignore_eos": True})
    lists, prompt = whole.choices[0].logprobs, whole.usage.prompt_tokens
    assert len(lists.tokens) == prompt + 3 and whole.usage.completion_tokens == 3
    alone = server.complete(context + more, max_tokens=3, logprobs=1, extra_body={"ignore_eos": True}).choices[0]
    assert lists.token_logprobs[prompt:] == alone.logprobs.token_logprobs
    assert lists.text_offset[prompt] == len(context + more)
    assert whole.choices[0].text == context + more + alone.text
    scored = server.complete(context + more, max_tokens=0, echo=True, logprobs=1).choices[0].logprobs
    assert scored.token_logprobs == lists.token_logprobs[:prompt]
    for token, logprob, top in list(zip(lists.tokens, lists.token_logprobs, lists.top_logprobs))[1:]:
        assert 1 <= len(top) <= 2 and logprob in top.values() and logprob <= max(top.values()) <= 0
    streamed = list(server.complete(context + more, max_tokens=3, echo=True, logprobs=1, stream=True,
                                    extra_body={"ignore_eos": True}))
    assert text_of(streamed) == whole.choices[0].text
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        assert sum((getattr(c.choices[0].logprobs, name) for c in streamed), []) == getattr(lists, name)
    just_echo = list(server.complete("lazy", max_tokens=0, echo=True, stream=True))
    assert text_of(just_echo) == "lazy" and just_echo[-1].choices[0].finish_reason == "length"
    both = server.complete(["the quick", "lazy"], n=2, max_tokens=1, echo=True, logprobs=0)
    assert both.choices[0].logprobs == both.choices[1].logprobs != both.choices[2].logprobs


def test_offsets_of_what_a_tokenizer_adds(tenon, folder, tmp_path):
    """<s> and the space in front of the first word are tokens' text, and not the prompt's."""
    mine = Tokenizer(models.BPE())
    mine.pre_tokenizer, mine.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    mine.train_from_iterator(PROMPTS, trainers.BpeTrainer(vocab_size=200, special_tokens=["<s>"]))
    mine.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    shutil.copytree(folder, tmp_path / "tiny")
    mine.save(str(tmp_path / "tiny" / "tokenizer.json"))
    with serving(tenon, tmp_path / "tiny", tmp_path) as s:
        lists = s.complete("fox jumps over", max_tokens=1, echo=True, logprobs=0).choices[0].logprobs
        assert lists.tokens[:4] == ["<s>", " fox", " jumps", " over"]
        assert lists.text_offset == [0, 0, 3, 9, 14]


def test_logprobs_of_prompts_at_once_equal_alone(server):
    how = dict(max_tokens=2, echo=True, logprobs=3, extra_body={"ignore_eos": True})

    def ask(prompt):
        return server.complete(prompt, **how).choices[0].logprobs
    prompts = [p * 9 for p in PROMPTS]
    alone = [ask(p) for p in prompts]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, prompts)) == alone
    full = [1 + i % 7 for i in range(CONTEXT)]
    assert server.complete(full[:600], max_tokens=0, echo=True).usage.total_tokens == 600
    with pytest.raises(openai.BadRequestError):
        server.complete(full + [1], max_tokens=0, echo=True)


def test_several_choices(server):
    """Each is what its stream of random numbers gives: the first n - 1 of n are those of n - 1."""
    how = dict(temperature=1, seed=5, max_tokens=12, extra_body={"ignore_eos": True})
    prompts = ["the quick", "lazy"]
    one = server.complete(prompts[0], **how)
    four = server.complete(prompts[0], n=4, **how)
    assert [c.index for c in four.choices] == [0, 1, 2, 3]
    assert four.choices[0].text == one.choices[0].text
    assert len({c.text for c in four.choices}) == 4
    assert four.usage.prompt_tokens == one.usage.prompt_tokens
    assert four.usage.completion_tokens == 4 * one.usage.completion_tokens == 48
    assert server.complete(prompts[0], n=3, best_of=3, **how).choices == four.choices[:3]
    both = server.complete(prompts, n=2, echo=True, **how)
    assert [c.index for c in both.choices] == [0, 1, 2, 3]
    assert [c.text.startswith(prompts[i // 2]) for i, c in enumerate(both.choices)] == [True] * 4
    assert [c.text for c in both.choices] == [
        c.text for p in prompts for c in server.complete(p, n=2, echo=True, **how).choices]
    assert both.usage.prompt_tokens == sum(server.complete(p).usage.prompt_tokens for p in prompts)
    texts, reasons = [""] * 4, [None] * 4
    chunks = list(server.complete(prompts[0], n=4, stream=True, stream_options={"include_usage": True}, **how))
    for choice in (c for chunk in chunks for c in chunk.choices):
        assert reasons[choice.index] is None, "nothing follows a finish"
        texts[choice.index] += choice.text
        reasons[choice.index] = choice.finish_reason
    assert texts == [c.text for c in four.choices] and reasons == ["length"] * 4
    assert chunks[-1].usage == four.usage


def test_several_choices_of_a_chat(server):
    how = dict(model="tiny", messages=[{"role": "user", "content": "hello"}], n=3, max_tokens=8, seed=1)
    plain = server.client.chat.completions.create(**how)
    assert len({c.message.content for c in plain.choices}) == 3
    roles, texts = {}, {0: "", 1: "", 2: ""}
    for chunk in server.client.chat.completions.create(stream=True, **how):
        for choice in chunk.choices:
            roles.setdefault(choice.index, choice.delta.role)
            texts[choice.index] += choice.delta.content or ""
    assert roles == dict.fromkeys(range(3), "assistant")
    assert [texts[i] for i in range(3)] == [c.message.content for c in plain.choices]


def test_logit_bias(server, folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    fox = tokenizer.encode(" fox").ids
    how = dict(max_tokens=8, extra_body={"ignore_eos": True})
    assert server.complete("the", logit_bias={str(fox[0]): 100}, **how).choices[0].text == \
        tokenizer.decode([fox[0]] * 8)
    lazy = tokenizer.encode(" lazy").ids
    for bias, wanted in ((60, fox), (-100, lazy)):
        got = server.complete("the", temperature=1, logit_bias={str(lazy[0]): 30, str(fox[0]): bias}, **how)
        assert got.choices[0].text == tokenizer.decode([wanted[0]] * 8)
    chat = server.client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "a"}], logit_bias={str(fox[0]): 100}, **how)
    assert chat.choices[0].message.content == tokenizer.decode([fox[0]] * 8)


def test_json_mode(server, folder):
    """A model of random weights writes whole objects where it is let to end them, and no byte that cannot follow."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ends = {str(tokenizer.token_to_id(text)): 6 for text in '"}]:,'}

    def ask(seed, stream=False):
        return server.client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "JSON"}], max_tokens=150, seed=seed, stream=stream,
            response_format={"type": "json_object"}, logit_bias=ends, temperature=1)
    alone = [ask(seed).choices[0] for seed in range(24)]
    whole = [c.message.content for c in alone if c.finish_reason == "stop"]
    assert len(whole) > 12 and len(set(whole)) > 12
    for text in whole:
        assert isinstance(json.loads(text), dict)
    assert any(len(json.loads(text)) > 1 for text in whole)
    for choice in alone:
        assert choice.message.content.lstrip().startswith("{")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert [a.choices[0] for a in pool.map(ask, range(24))] == alone
    chunks = list(ask(3, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == alone[3].message.content
    free = server.complete("a", extra_body={"response_format": {"type": "json_object"}})
    assert free.choices[0].text.lstrip().startswith("{")


def test_stop_strings(server):
    whole = server.complete("fox", max_tokens=40, extra_body={"ignore_eos": True}).choices[0].text
    for start, length in ((3, 1), (5, 4), (8, 9)):
        stop = whole[start:start + length]
        if "\ufffd" in stop:
            continue
        wanted = whole[:whole.index(stop)]
        more = dict(max_tokens=40, stop=["never seen", stop], extra_body={"ignore_eos": True})
        plain = server.complete("fox", **more)
        assert plain.choices[0].text == wanted
        assert plain.choices[0].finish_reason == "stop"
        assert text_of(server.complete("fox", stream=True, **more)) == wanted


def test_seeds(server):
    def sample(seed, **more):
        return server.complete("the lazy", temperature=1, seed=seed, top_p=0.95, max_tokens=30,
                               extra_body={"top_k": 50, "ignore_eos": True}, **more).choices[0].text
    alone = [sample(seed) for seed in range(8)]
    assert len(set(alone)) == 8
    assert [sample(seed) for seed in range(8)] == alone
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(sample, range(8))) == alone
    unseeded = {server.complete("the lazy", temperature=1, max_tokens=30).choices[0].text
                for _ in range(4)}
    assert len(unseeded) > 1


def test_sixteen_at_once_equal_alone(server):
    how = dict(max_tokens=40, logprobs=2, extra_body={"ignore_eos": True})

    def ask(prompt):
        choice = server.complete(prompt, **how).choices[0]
        return choice.text, choice.logprobs.token_logprobs, choice.logprobs.top_logprobs
    alone = [ask(p) for p in PROMPTS]
    assert len({text for text, _, _ in alone}) == 16
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            assert list(pool.map(ask, PROMPTS)) == alone


def test_few_blocks_change_nothing(tenon, folder, server, tmp_path):
    how = dict(max_tokens=60, extra_body={"ignore_eos": True})
    alone = [server.complete(p, **how).choices[0].text for p in PROMPTS]
    # 4 layers of keys and values, 2 heads of 32 float16, 16 tokens a block: 16,384 bytes.
    with serving(tenon, folder, tmp_path, "--context", 128, "--kv-memory", 20 * 16384) as tight:
        assert tight.health()["kv_blocks"] == 20
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            together = list(pool.map(lambda p: tight.complete(p, **how).choices[0].text, PROMPTS))
        assert tight.until_idle(5)["preemptions"] > 0
        full = tight.complete([1] * 120, max_tokens=8, extra_body={"ignore_eos": True})
        assert full.usage.total_tokens == 128
        with pytest.raises(openai.BadRequestError):
            tight.complete([1] * 120, max_tokens=9)
    assert together == alone


@pytest.mark.parametrize("kv,bytes_a_value", [("f32", 4), ("bf16", 2), ("int8", 1), ("fp8", 1)])
def test_types_of_the_kv_cache(tenon, folder, tmp_path, kv, bytes_a_value):
    """Each answers the same alone and among others, and says what it takes."""
    config = json.loads((folder / "config.json").read_text())
    head = config["hidden_size"] // config["num_attention_heads"]
    values = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * 1000
    scales = 4 * values if bytes_a_value == 1 else 0
    with serving(tenon, folder, tmp_path, "--kv", kv) as s:
        health = s.health()
        assert health["kv_type"] == kv and f"in {kv}," in s.ready
        assert health["kv_bytes_per_1000_tokens"] == values * head * bytes_a_value + scales
        assert f'tenon_kv_bytes_per_1000_tokens{{type="{kv}"}} {health["kv_bytes_per_1000_tokens"]}\n' in \
            s.request("GET", "/metrics")[2].decode()
        alone = [s.complete(p).choices[0].text for p in PROMPTS[:4]]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda p: s.complete(p).choices[0].text, PROMPTS[:4])) == alone


# ---- what it refuses ---------------------------------------------------------------------------------------

def test_bad_json_names_the_place(server):
    status, _, text = server.request("POST", "/v1/completions", '{"prompt": "a",\n "max_tokens": 3,}')
    error = json.loads(text)["error"]
    assert status == 400 and "line 2, column 18" in error["message"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"
    for body in ("", "[1]", '"x"', "nul", '{"prompt": "\ud800"}'.encode("utf-8", "surrogatepass"), "[" * 5000):
        assert server.request("POST", "/v1/completions", body)[0] == 400


CHAT = {"messages": [{"role": "user", "content": "a"}]}


@pytest.mark.parametrize("path, body, param", [
    ("completions", {"prompt": "a", "n": 0}, "n"),
    ("completions", {"prompt": "a", "n": 65}, "n"),
    ("completions", {"prompt": "a", "n": "two"}, "n"),
    ("completions", {"prompt": "a", "best_of": 3}, "best_of"),
    ("completions", {"prompt": "a", "suffix": "b"}, "suffix"),
    ("completions", {"prompt": "a", "logit_bias": {"5": 101}}, "logit_bias"),
    ("completions", {"prompt": "a", "logit_bias": {"fox": 1}}, "logit_bias"),
    ("completions", {"prompt": "a", "logit_bias": {"1000000": 1}}, "logit_bias"),
    ("completions", {"prompt": "a", "logit_bias": {"5": True}}, "logit_bias"),
    ("completions", {"prompt": "a", "not_a_parameter": 1}, "not_a_parameter"),
    ("completions", {"prompt": "a", "max_tokens": 0}, "max_tokens"),
    ("completions", {"prompt": "a", "max_tokens": "many"}, "max_tokens"),
    ("completions", {"prompt": "a", "max_tokens": 1.5}, "max_tokens"),
    ("completions", {"prompt": "a", "temperature": 3}, "temperature"),
    ("completions", {"prompt": "a", "temperature": -1}, "temperature"),
    ("completions", {"prompt": "a", "top_p": 1.1}, "top_p"),
    ("completions", {"prompt": "a", "logprobs": 6}, "logprobs"),
    ("completions", {"prompt": "a", "stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ("completions", {"prompt": "a", "stop": ""}, "stop"),
    ("completions", {"prompt": "a", "stream": 1}, "stream"),
    ("completions", {"prompt": "a", "stream_options": {"include_usage": True}}, "stream_options"),
    ("completions", {"prompt": "a", "seed": "x"}, "seed"),
    ("completions", {"prompt": "a", "model": 7}, "model"),
    ("completions", {"prompt": {"a": 1}}, "prompt"),
    ("completions", {"prompt": []}, "prompt"),
    ("completions", {"prompt": [1, "a"]}, "prompt"),
    ("completions", {"prompt": [100000]}, "prompt"),
    ("completions", {"prompt": [-1]}, "prompt"),
    ("completions", {"prompt": ["a"] * 65}, "prompt"),
    ("completions", {}, "prompt"),
    ("chat/completions", {}, "messages"),
    ("chat/completions", {"messages": []}, "messages"),
    ("chat/completions", {"messages": ["a"]}, "messages"),
    ("chat/completions", {"messages": [{"role": "tool", "content": "a"}]}, "messages"),
    ("chat/completions", {"messages": [{"role": "user", "content": 1}]}, "messages"),
    ("chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
    ("chat/completions", {"messages": [{"role": "user", "content": "a", "tool_calls": [1]}]}, "messages"),
    ("chat/completions", {**CHAT, "tools": [{"type": "function"}]}, "tools"),
    ("chat/completions", {**CHAT, "tool_choice": "required"}, "tool_choice"),
    ("chat/completions", {**CHAT, "response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
    ("chat/completions", {**CHAT, "response_format": "json_object"}, "response_format"),
    ("chat/completions", {**CHAT, "top_logprobs": 2}, "top_logprobs"),
    ("chat/completions", {**CHAT, "reasoning_effort": "high"}, "reasoning_effort"),
    ("chat/completions", {**CHAT, "modalities": ["audio"]}, "modalities"),
    ("chat/completions", {**CHAT, "store": True}, "store"),
])
def test_what_cannot_be_done_is_refused(server, path, body, param):
    status, answer = server.post(f"/v1/{path}", body)
    assert (status, answer["error"]["param"]) == (400, param), answer


def test_values_that_mean_off_are_accepted(server):
    off = {"n": 1, "logit_bias": {}, "user": "u", "metadata": {"a": "b"}, "stop": None, "seed": None,
           "response_format": {"type": "text"}, "max_tokens": 2}
    assert server.post("/v1/completions", {"prompt": "a", "best_of": 1, "suffix": "", **off})[0] == 200
    assert server.post("/v1/chat/completions", {**CHAT, "tools": [], "tool_choice": "none", "store": False,
                                                **off})[0] == 200


def test_unknown_model_and_path(server):
    with pytest.raises(openai.NotFoundError) as error:
        server.client.completions.create(model="gpt-9", prompt="a")
    assert error.value.code == "model_not_found"
    assert server.request("GET", "/nowhere")[0] == 404
    status, headers, _ = server.request("GET", "/v1/completions")
    assert status == 405 and headers["allow"] == "POST"
    assert not any(name.startswith("access-control") for name in server.request("GET", "/health")[1])


def test_long_prompts(server):
    with pytest.raises(openai.APIStatusError) as error:
        server.complete("ten bytes." * (1 << 20))
    assert error.value.status_code == 413 and "limit 4194304 bytes" in error.value.message
    with pytest.raises(openai.BadRequestError) as error:
        server.complete([1] * (CONTEXT + 5))
    assert f"{CONTEXT + 5} tokens, limit {CONTEXT} tokens" in error.value.message
    assert error.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as error:
        server.complete("words and " * 100000)
    assert f"limit {CONTEXT} tokens" in error.value.message
    with pytest.raises(openai.BadRequestError) as error:
        server.complete([1] * (CONTEXT - 5), max_tokens=6)
    assert "max_tokens is 6" in error.value.message


def test_empty_prompt_starts_at_the_beginning(server):
    assert server.complete("").usage.prompt_tokens == 1


def long_stream(server, tokens=CONTEXT - 100):
    """A raw connection whose stream has begun; it would take seconds to finish."""
    body = json.dumps({"prompt": "fox", "max_tokens": tokens, "stream": True, "ignore_eos": True})
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=120)
    connection.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n"
                       f"{body}".encode())
    first = connection.recv(65536)
    assert first.startswith(b"HTTP/1.1 200")
    return connection, first


def generated(server):
    text = server.request("GET", "/metrics")[2].decode()
    return float(re.search(r"^tenon_generated_tokens_total (\S+)$", text, re.M)[1])


def test_a_client_that_leaves_frees_its_blocks(server):
    server.until_idle(30)
    before = generated(server)
    connection, _ = long_stream(server)
    assert server.health()["running"] == 1
    connection.close()
    server.until_idle(5)
    # And one that waits for a plain answer: nothing is written to it, so only a look can tell.
    body = json.dumps({"prompt": "fox", "max_tokens": CONTEXT - 100, "ignore_eos": True})
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n"
                       f"{body}".encode())
    deadline = time.monotonic() + 10
    while server.health()["running"] == 0:
        assert time.monotonic() < deadline
    connection.close()
    server.until_idle(5)
    assert generated(server) - before < 2 * (CONTEXT - 100), "both ran to their end"


def test_a_full_queue_says_429(tenon, folder, tmp_path):
    with serving(tenon, folder, tmp_path, "--max-running", 1, "--queue", 2) as s:
        running, _ = long_stream(s)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(s.complete, "a", max_tokens=2) for _ in range(2)]
            deadline = time.monotonic() + 10
            while s.health()["queue"] < 2:
                assert time.monotonic() < deadline
            status, headers, text = s.request("POST", "/v1/completions", '{"prompt": "a"}')
            assert status == 429 and headers["retry-after"] == "1", text
            assert json.loads(text)["error"]["code"] == "queue_full"
            with pytest.raises(openai.RateLimitError):
                s.complete("a")
            running.close()
            assert all(w.result(30).usage.completion_tokens <= 2 for w in waiting)


# ---- how it ends --------------------------------------------------------------------------------------------

def read_to_end(connection, got):
    while b"\r\n0\r\n\r\n" not in got:
        more = connection.recv(65536)
        if not more:
            break
        got += more
    return got


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_requests_finish(tenon, folder, tmp_path, how):
    with serving(tenon, folder, tmp_path, "--drain-seconds", 300) as s, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        connection, got = long_stream(s, 1500)
        reader = pool.submit(read_to_end, connection, got)  # or it is cut as a slow one
        s.process.send_signal(how)
        deadline = time.monotonic() + 10
        while s.request("GET", "/health")[0] != 503:
            assert time.monotonic() < deadline
        assert s.health()["status"] == "draining" and s.health()["running"] == 1
        status, answer = s.post("/v1/completions", {"prompt": "a"})
        assert (status, answer["error"]["code"]) == (503, "draining")
        got = reader.result(120)
        assert b'"finish_reason":"length"' in got and b"data: [DONE]" in got
        assert s.process.wait(30) == 0


def test_a_drain_has_an_end(tenon, folder, tmp_path):
    with serving(tenon, folder, tmp_path, "--drain-seconds", 0) as s:
        connection, got = long_stream(s)
        start = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        assert s.process.wait(30) == 0
        assert time.monotonic() - start < 10
        got = read_to_end(connection, got)
        assert b'"finish_reason":"length"' not in got and b"the server stopped" in got


# ---- metrics ------------------------------------------------------------------------------------------------

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"^({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\+Inf|-Inf|NaN|-?[0-9.]+(?:e[+-]?[0-9]+)?)$")


def parse_metrics(text):
    """Prometheus text format 0.0.4, strictly: HELP and TYPE once before a family, whole histograms."""
    assert text.endswith("\n")
    types, samples, current = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert current not in types, f"{current} comes twice"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and kind in ("counter", "gauge", "histogram")
            types[name] = kind
        else:
            found = SAMPLE.match(line)
            assert found, line
            name, labels, value = found.groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name) if types.get(current) == "histogram" else name
            assert base == current, line
            key = (name, labels or "")
            assert key not in samples, line
            samples[key] = float(value.replace("Inf", "inf"))
    for name, kind in types.items():
        if kind == "counter":
            assert name.endswith("_total")
        if kind == "histogram":
            buckets = [v for (n, _), v in samples.items() if n == name + "_bucket"]
            assert buckets == sorted(buckets) and buckets[-1] == samples[name + "_count", ""]
            assert (name + "_bucket", 'le="+Inf"') in samples
    return samples


def test_metrics(tenon, folder, tmp_path):
    with serving(tenon, folder, tmp_path) as s:
        answers = [s.complete(p) for p in PROMPTS[:3]]
        s.post("/v1/completions", {})
        s.request("GET", "/nowhere")
        s.until_idle(5)
        status, headers, text = s.request("GET", "/metrics")
        assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
        m = parse_metrics(text.decode())
        assert m["tenon_http_requests_total", 'route="/v1/completions",code="200"'] == 3
        assert m["tenon_http_requests_total", 'route="/v1/completions",code="400"'] == 1
        assert m["tenon_http_requests_total", 'route="other",code="404"'] == 1
        assert m["tenon_prompt_tokens_total", ""] == sum(a.usage.prompt_tokens for a in answers)
        sampled = sum(a.usage.completion_tokens for a in answers)
        assert m["tenon_generated_tokens_total", ""] == sampled
        assert m["tenon_time_to_first_token_seconds_count", ""] == 3
        assert m["tenon_inter_token_seconds_count", ""] == sampled - 3
        assert m["tenon_request_seconds_count", ""] == 3
        assert m["tenon_kv_blocks", 'state="used"'] == 0 < m["tenon_kv_blocks", 'state="free"']
        assert m["tenon_requests_running", ""] == m["tenon_requests_waiting", ""] == 0


# ---- the commands ---------------------------------------------------------------------------------------------

def test_bench_serve(tenon, server):
    url = f"http://127.0.0.1:{server.port}"
    report = tenon.json("bench", "serve", url, "--requests", 20, "--concurrency", 4, "--max-tokens", 8,
                        "--ignore-eos")
    assert report["requests"] == 20 and report["errors"] == 0 and report["output_tokens"] == 160
    assert 0 < report["time_to_first_token_ms_p50"] <= report["time_to_first_token_ms_p99"]
    assert "tokens/s" in tenon("bench", "serve", url, "--requests", 2).stdout
    one = tenon("bench", "serve", url, "--stream-one", "--prompt", "fox", "--max-tokens", 10).stdout
    assert one.startswith(server.complete("fox", max_tokens=10).choices[0].text)
    assert "HTTP 400" in tenon.fails("bench", "serve", url, "--max-tokens", CONTEXT)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert "127.0.0.1" in tenon.fails("bench", "serve", f"http://127.0.0.1:{nobody.getsockname()[1]}")


def test_serve_mistakes(tenon, folder, server, tmp_path):
    assert f"port {server.port}: Address already in use" in tenon.fails(
        "serve", folder, "--port", server.port)
    assert "missing" in tenon.fails("serve", tmp_path / "missing")
    assert "one block of 16 tokens takes" in tenon.fails("serve", folder, "--kv-memory", 100, "--port", 0)
    assert "the model was made for 8192" in tenon.fails("serve", folder, "--context", 10000, "--port", 0)
    tenon.fails("serve", folder, "--port", 70000, code=2)
    tenon.fails("serve", folder, "--max-running", 64, "--step-tokens", 8, code=2)
    tenon.fails("serve", folder, "--kv", "int4", code=2)
