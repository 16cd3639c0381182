# SPDX-License-Identifier: Apache-2.0
"""`tenon run`: one answer in a pipe against transformers, and a conversation in a pseudo-terminal."""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
import time

import pytest
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

TEMPLATE = """{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"""


@pytest.fixture(scope="module")
def chat_model(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat") / "talker"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def greedy(folder, text, count):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = tokenizer.encode(text).ids
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False, pad_token_id=0)
    return len(ids), tokenizer.decode(out[0][len(ids):].tolist())


def test_nothing_is_not_answered(tenon, chat_model):
    for text in ("", " \n"):
        assert "standard input is empty" in tenon.fails("run", chat_model, "-q", input=text, code=2)
        assert "standard input is empty" in tenon.fails("run", chat_model, "--raw", input=text, code=2)
        assert "--prompt is empty" in tenon.fails("run", chat_model, "--prompt", text, code=2)


def test_zero_is_no_default(tenon, chat_model):
    for words in (("run", chat_model, "-p", "a", "-n"), ("run", chat_model, "--context"), ("serve", chat_model, "--context"),
                  ("eval", "perplexity", chat_model, "--window"), ("quantize", chat_model, "out", "--samples"),
                  ("quantize", chat_model, "out", "--tokens"), ("tokenizer", "train", "a.txt", "--out", "o", "--vocab-size")):
        assert "1 or more" in tenon.fails(*words, 0, code=2)
    for option in ("--damping", "--strength"):
        assert "above 0" in tenon.fails("quantize", chat_model, "out", option, 0, code=2)


def test_what_is_missing_is_named(tenon, tmp_path):
    assert "no such file" in tenon.fails("models", "inspect", tmp_path / "x.gguf")
    assert "no such folder" in tenon.fails("run", tmp_path / "x")


def test_hints_go_with_what_is_missing(tenon, tiny_model, tmp_path):
    from safetensors.torch import load_file, save_file

    def hint(*words):
        done = tenon(*words, check=False)
        assert done.returncode == 1, done
        return done.stderr.partition("hint: ")[2]

    shutil.copytree(tiny_model, tmp_path / "m")
    tensors = load_file(tmp_path / "m/model.safetensors")
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "m/model.safetensors", {"format": "pt"})
    assert "not all there" in hint("run", tmp_path / "m", "-p", "a")
    assert "not all there" in hint("eval", "perplexity", tmp_path / "m", "--data", "x.txt")
    assert "not all there" in hint("model", "embed", tmp_path / "m", "--text", "a")
    index = {"weight_map": {name: "model-00001-of-00002.safetensors" for name in tensors}}
    (tmp_path / "m/model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "m/model.safetensors").unlink()
    assert "not all there" in hint("run", tmp_path / "m", "-p", "a")
    (tmp_path / "m/config.json").unlink()
    assert "holds config.json" in hint("run", tmp_path / "m", "-p", "a")


def test_raw_equals_transformers(tenon, tiny_model):
    for text in ("the quick brown", "User: hello", "a\n\nb"):
        count, expected = greedy(tiny_model, text, 24)
        done = tenon.json("run", tiny_model, "--raw", "-p", text, "-n", 24, "--temperature", 0)
        assert done["text"] == expected and done["prompt_tokens"] == count
        assert done["tokens"] == 24 and done["finish"] == "length"


def test_a_question_goes_through_the_template(tenon, chat_model):
    prompt = "<system>be brief</system>\n<user>the lazy dog</user>\n<assistant>"
    count, expected = greedy(chat_model, prompt, 16)
    words = ("--system", "be brief", "-n", 16, "--temperature", 0)
    done = tenon.json("run", chat_model, "-p", "the lazy dog", *words)
    assert done["text"] == expected and done["prompt_tokens"] == count
    piped = tenon("run", chat_model, *words, "-q", input="the lazy dog")
    assert piped.stdout == expected + "\n" and piped.stderr == ""


def test_the_seed_decides(tenon, tiny_model):
    def answer(seed):
        return tenon.json("run", tiny_model, "--raw", "-p", "the", "-n", 20, "--temperature", 1,
                          "--seed", seed)["text"]
    assert answer(3) == answer(3)
    assert len({answer(seed) for seed in range(4)}) > 1


def test_wrong_words(tenon, tiny_model, tmp_path):
    assert "no such" in tenon.fails("run", tmp_path / "nowhere", "-p", "x")
    for words in (("--top-p", 2), ("--temperature", -1), ("--max-tokens", -3), ("--raw", "--system", "x"),
                  ("--stop", ""), ("--threads", -1)):
        tenon.fails("run", tiny_model, "-p", "x", *words, code=2)
    long = tenon.fails("run", tiny_model, "--raw", "--context", 32, "-p", "the lazy dog " * 40)
    assert "limit 32 tokens" in long
    assert "1 byte or more" in tenon.fails("run", tiny_model, "-p", "x", "--kv-memory", 0, code=2)
    tenon.fails("eval", "perplexity", tiny_model, "--data", "x.txt", "--threads", -5, code=2)
    for words in (("--op", "nosuch"), ("--seconds", -1), ("--seconds", "nan")):
        tenon.fails("bench", "cpu", *words, code=2)


def test_a_file_s_control_characters_stay_out_of_messages(tenon, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "m")
    config = json.loads((tmp_path / "m/config.json").read_text())
    config["architectures"] = ["\x1b[31mX\x9bY\x7f\u00e9"]
    (tmp_path / "m/config.json").write_text(json.dumps(config))
    error = tenon.fails("models", "inspect", tmp_path / "m")
    assert "architecture \\x1b[31mX\\x9bY\\x7f\u00e9 " in error
    # bytes that are no UTF-8; Python would not read standard error otherwise
    assert "x\\xa1y\u00e9" in tenon.fails("models", "inspect", tmp_path / "x\udca1y\u00e9.gguf")


class Terminal:
    def __init__(self, tenon, *words, cwd=None, term="dumb"):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd or ".")
            os.environ["TERM"] = term
            os.execv(tenon.path, [str(tenon.path), *map(str, words)])
        self.seen = ""

    def until(self, pattern, timeout=60):
        """All that came up to and with the pattern."""
        end = time.monotonic() + timeout
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < end, self.seen
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:
                    assert re.search(pattern, self.seen), self.seen
        text, self.seen = self.seen[:found.end()], self.seen[found.end():]
        return text

    def prompt(self, pattern=">>> "):
        """As until; the terminal is in the program's hands then, which comes after the prompt."""
        text = self.until(pattern)
        end = time.monotonic() + 60
        while termios.tcgetattr(self.fd)[3] & termios.ICANON:
            assert time.monotonic() < end, text
            time.sleep(0.01)
        return text

    def say(self, text):
        os.write(self.fd, text.encode())

    def ends(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        else:
            os.kill(self.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_conversation(tenon, chat_model, tmp_path):
    t = Terminal(tenon, "run", chat_model, "-n", 12, "--temperature", 0, cwd=tmp_path)
    assert "talker: context 8192 tokens" in t.until(">>> ")
    t.say("the quick brown fox\n")
    t.until(r"\(12 tokens, [0-9.]+ tokens/s")
    t.until(">>> ")
    t.say('"""\nthe lazy\ndog\n"""\n')
    t.until(r"\(12 tokens")
    t.until(">>> ")
    t.say("/system be kind\n")
    t.until(">>> ")
    t.say("/nothing\n")
    assert "/reset" in t.until("Ctrl-C stops")
    t.say("/save talk.json\n")
    t.until("saved 5 messages to talk.json")
    turns = json.loads((tmp_path / "talk.json").read_text())
    assert [m["role"] for m in turns] == ["system", "user", "assistant", "user", "assistant"]
    assert turns[0]["content"] == "be kind" and turns[3]["content"] == "the lazy\ndog\n"
    prompt = f"<user>{turns[1]['content']}</user>\n<assistant>{turns[2]['content']}</assistant>\n" \
             f"<user>{turns[3]['content']}</user>\n<assistant>"
    assert greedy(chat_model, prompt, 12)[1] == turns[4]["content"]
    t.say("/undo\n")
    t.until("taken back")
    t.say("/save talk.json\n")
    t.until("saved 3 messages")
    t.say("/exit\n")
    assert t.ends() == 0


LONG = ("--temperature", 0, "--threads", 1)


@pytest.fixture(scope="module")
def long_question(tenon, chat_model):
    """One whose likeliest answer goes on for more than 800 tokens."""
    return next(q for i in range(40) if tenon.json("run", chat_model, *LONG, "-n", 800, "-p",
                                                    q := f"fox {i}")["finish"] == "length")


def test_a_model_s_control_characters_stay_out_of_the_terminal(tenon, tiny_model, tmp_path):
    folder, question = tmp_path / "m", "the quick brown"
    shutil.copytree(tiny_model, folder)
    file = json.loads((folder / "tokenizer.json").read_text())
    vocab = file["model"]["vocab"]
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(question).ids
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        answer = int(model(torch.tensor([ids])).logits[0, -1].argmax())
    assert answer not in ids + [0]
    word, escape = next(w for w, i in vocab.items() if i == answer), "\u011b"  # the byte 0x1b
    vocab[word], vocab[escape] = vocab[escape], answer
    (folder / "tokenizer.json").write_text(json.dumps(file))
    words = ("run", folder, "--raw", "-n", 1, "--temperature", 0, "-q", "-p", question)
    assert tenon(*words).stdout == "\x1b\n"
    t = Terminal(tenon, *words)
    assert t.ends() == 0 and "\\x1b" in t.seen and "\x1b" not in t.seen


def test_ctrl_c_stops_the_answer_alone(tenon, chat_model, long_question):
    question = long_question
    t = Terminal(tenon, "run", chat_model, *LONG)
    t.until(">>> ")
    t.say(question + "\n")
    t.until(question + "\r?\n[^>]{20}")  # the answer has begun
    t.say("\x03")
    assert "stopped" in t.until(r"tokens/s.*\)")
    t.until(">>> ")
    t.say("h\u00e9!\n")  # and the next question is asked
    t.until("h\u00e9!\r?\n")
    t.until(r"tokens/s.*\)", timeout=60)
    t.until(">>> ")
    t.say("/exit\n")
    assert t.ends() == 0


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_ctrl_c_at_the_prompt_drops_what_is_typed(tenon, chat_model, tmp_path, term):
    t = Terminal(tenon, "run", chat_model, "-n", 4, "--temperature", 0, cwd=tmp_path, term=term)
    leaves = r"\(Ctrl-D or /exit leaves, and so does Ctrl-C once more\)\s"

    def press():
        t.say("\x03")
        return t.prompt()

    t.prompt()
    t.say("the quick\n")
    t.until(r"\(4 tokens")
    t.prompt()
    assert re.search(leaves, press())
    t.say("dropped")  # and then the next press is a first one again
    t.until("dropped")
    assert "leaves" not in press()
    t.say('"""\ninside\n')
    t.prompt(r"inside\s+\.\.\. ")
    assert "leaves" not in press()
    assert re.search(leaves, press())
    t.say("\n")
    t.prompt()
    assert re.search(leaves, press())
    t.say("/save talk.json\n")
    t.until("saved 2 messages")  # none of that is lost, and nothing dropped was asked
    assert [m["content"] for m in json.loads((tmp_path / "talk.json").read_text())][0] == "the quick"
    t.prompt()
    assert re.search(leaves, press())
    t.say("\x03")
    assert t.ends() == 130


def test_a_signal_at_the_prompt_ends_the_program(tenon, chat_model):
    t = Terminal(tenon, "run", chat_model)
    t.prompt()
    t.say("typed")
    t.until("typed")
    os.kill(t.pid, signal.SIGTERM)
    assert t.ends() == 130


def test_old_turns_are_forgotten(tenon, chat_model):
    t = Terminal(tenon, "run", chat_model, "-n", 20, "--context", 96, "--temperature", 0)
    t.until(">>> ")
    for _ in range(6):
        t.say("the quick brown fox jumps\n")
        t.until(r"tokens/s.*\)")
        t.until(">>> ")
    t.say("the quick brown fox jumps\n")
    assert "are forgotten" in t.until(r"tokens/s.*\)")
    t.until(">>> ")
    t.say("/exit\n")
    assert t.ends() == 0


def test_sigterm_ends_the_program(tenon, chat_model, long_question):
    process = subprocess.Popen([str(tenon.path), "run", str(chat_model), "-p", long_question, *map(str, LONG)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.read(process.stdout.fileno(), 1)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130
