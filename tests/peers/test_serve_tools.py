# SPDX-License-Identifier: Apache-2.0
"""Tools in `tenon serve`: small models that learn four answers by heart, with real chat templates, and OpenAI's client."""
import json

import openai
import pytest
import torch
from test_serve import serving
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "How it will be.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}}]
ASK = [{"role": "user", "content": "Paris?"}]
CALLED = [*ASK, {"role": "assistant", "content": None, "tool_calls": [
    {"id": "call_1", "type": "function",
     "function": {"name": "weather", "arguments": '{"city": "Paris", "days": 2}'}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sun"}]
TWO = [{"role": "user", "content": "Rome and Oslo?"}]
STRAY = [{"role": "user", "content": "How, and where?"}]

# By template: the end of a turn, a call as the model writes it, and whether it may write several.
FORMS = {
    "Qwen-Qwen2.5-7B-Instruct": (
        "<|im_end|>", lambda name, what: f'<tool_call>\n{{"name": "{name}", "arguments": {what}}}\n</tool_call>', True),
    "meta-llama-Llama-3.1-8B-Instruct": (
        "<|eot_id|>", lambda name, what: f'{{"name": "{name}", "parameters": {what}}}', False),
}


def as_templates_want(messages):
    """Arguments as objects and content as text: what transformers' templates are made for."""
    messages = json.loads(json.dumps(messages))
    for message in messages:
        message["content"] = message["content"] or ""
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


class Learned:
    def __init__(self, folder, template, end, call, several):
        self.folder, self.several, self.left = folder, several, "\n" + call("nowhere", '{"x": 1}') + "\nI hope."
        two = "I look.\n" + "\n".join(call("weather", f'{{"city": "{c}"}}') for c in ("Rome", "Oslo"))
        self.answers = [(ASK, call("weather", '{"city": "Paris", "days": 2}')), (CALLED, "It is sunny {there}."),
                        (TWO, two if several else "Where?"),
                        (STRAY, call("weather", '{"city": "Rome"}') + self.left)]
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        special = [end, "<|im_start|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>"]
        tokenizer.train_from_iterator([template, json.dumps(TOOLS, indent=4), json.dumps(TOOLS)], trainers.BpeTrainer(
            vocab_size=1000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False))
        tokenizer.add_tokens(["<tool_call>", "</tool_call>"])  # as Qwen's: no special ones
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template,
                                                 bos_token="<|begin_of_text|>", eos_token=end)
        self.learn(end)
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({
            "chat_template": template, "bos_token": "<|begin_of_text|>", "eos_token": end}))

    def prompt(self, messages, tools=TOOLS):
        return self.tokenizer.apply_chat_template(as_templates_want(messages), tools=tools, tokenize=True,
                                                  add_generation_prompt=True, return_dict=False)

    def learn(self, end):
        torch.manual_seed(1)
        torch.set_num_threads(1)
        model = LlamaForCausalLM(LlamaConfig(
            vocab_size=len(self.tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
            bos_token_id=self.tokenizer.bos_token_id, eos_token_id=self.tokenizer.eos_token_id))
        rows = []
        for messages, answer in self.answers:
            prompt, tail = self.prompt(messages), self.tokenizer.encode(answer + end, add_special_tokens=False)
            rows.append((torch.tensor([prompt + tail]), torch.tensor([[-100] * len(prompt) + tail])))
        optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
        for _ in range(300):
            loss = sum(model(input_ids=ids, labels=labels).loss for ids, labels in rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if loss.item() < 0.02:
                break
        assert loss.item() < 0.05, loss.item()
        model.save_pretrained(self.folder)


@pytest.fixture(scope="module", params=FORMS)
def learned(request, testdata, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    return Learned(folder, (testdata / "templates" / f"{request.param}.jinja").read_text(), *FORMS[request.param])


@pytest.fixture(scope="module")
def server(tenon, learned, tmp_path_factory):
    with serving(tenon, learned.folder, tmp_path_factory.mktemp("serve")) as s:
        yield s


def chat(server, messages, **more):
    more = {"tools": TOOLS, "temperature": 0, "max_tokens": 200, **more}
    return server.client.chat.completions.create(model=server.client.models.list().data[0].id, messages=messages, **more)


def gathered(stream):
    """What a stream of deltas says: content, calls, finish reason."""
    content, calls, reason = "", {}, None
    for choice in (c for chunk in stream for c in chunk.choices):
        assert reason is None
        content += choice.delta.content or ""
        for call in choice.delta.tool_calls or []:
            assert call.type == "function" and call.index not in calls
            calls[call.index] = call.function.name, call.function.arguments
        reason = choice.finish_reason
    return content, [calls[i] for i in range(len(calls))], reason


def test_a_call_its_result_and_an_answer(server, learned):
    called = chat(server, ASK)
    assert called.usage.prompt_tokens == len(learned.prompt(ASK))
    choice = called.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    call, = choice.message.tool_calls
    assert call.type == "function" and call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 2}
    assert gathered(chat(server, ASK, stream=True)) == ("", [("weather", call.function.arguments)], "tool_calls")
    # The next turn, as clients write it: the message as it came, and the tool's result.
    turn = [*ASK, choice.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sun"}]
    for messages in (CALLED, turn):
        answer = chat(server, messages)
        assert answer.usage.prompt_tokens == len(learned.prompt(CALLED))
        assert answer.choices[0].message.content == "It is sunny {there}."
        assert answer.choices[0].finish_reason == "stop" and not answer.choices[0].message.tool_calls
    chunks = list(chat(server, CALLED, stream=True))
    assert gathered(chunks) == ("It is sunny {there}.", [], "stop")
    assert sum(bool(c.choices[0].delta.content) for c in chunks) > 2, "text goes out as it comes"


def test_text_and_two_calls(server, learned):
    if not learned.several:
        assert chat(server, TWO).choices[0].message.content == "Where?"
        return
    choice = chat(server, TWO).choices[0]
    assert choice.message.content == "I look." and choice.finish_reason == "tool_calls"
    cities = [json.loads(c.function.arguments)["city"] for c in choice.message.tool_calls]
    assert cities == ["Rome", "Oslo"] and len({c.id for c in choice.message.tool_calls}) == 2
    content, calls, reason = gathered(chat(server, TWO, stream=True))
    assert (content, reason) == ("I look.", "tool_calls")
    assert [json.loads(arguments)["city"] for _, arguments in calls] == cities
    one = chat(server, TWO, parallel_tool_calls=False).choices[0]
    assert len(one.message.tool_calls) == 1 and one.finish_reason == "tool_calls"
    cut = chat(server, TWO, max_tokens=choice.message.content.count("") + 12).choices[0]
    assert cut.finish_reason == "length" and not cut.message.tool_calls
    assert cut.message.content.startswith("I look.\n<tool_call>")


def test_a_good_call_beside_one_of_no_tool(server, learned):
    choice = chat(server, STRAY).choices[0]
    assert choice.message.content == learned.left and choice.finish_reason == "tool_calls"
    call, = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Rome"})
    assert gathered(chat(server, STRAY, stream=True)) == (learned.left, [("weather", call.function.arguments)], "tool_calls")


def test_tools_that_are_not_told(server, learned):
    for more in ({"tool_choice": "none"}, {"tools": []}):
        plain = chat(server, ASK, max_tokens=3, **more)
        assert plain.usage.prompt_tokens == len(learned.prompt(ASK, tools=None))
        assert not plain.choices[0].message.tool_calls


def test_roles_that_a_template_does_not_know(server, learned):
    """Qwen's passes over them in silence, Llama's writes any."""
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "Be brief."}, *ASK]
        known = [{"role": "system", "content": "Be brief."}, *ASK]
        assert chat(server, messages, max_tokens=1).usage.prompt_tokens == len(learned.prompt(known))
    messages = [*ASK, {"role": "wizard", "content": "Abracadabra."}]
    if "wizard" in learned.tokenizer.decode(learned.prompt(messages)):
        assert chat(server, messages, max_tokens=1).usage.prompt_tokens == len(learned.prompt(messages))
        return
    with pytest.raises(openai.BadRequestError) as error:
        chat(server, messages)
    assert error.value.param == "messages" and "messages[1]" in error.value.message and "'wizard'" in error.value.message


@pytest.mark.parametrize("more, param", [
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, "tool_choice"),
    ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools"),
    ({"tools": [{"type": "web_search"}]}, "tools"),
    ({"tools": TOOLS * 129}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}, "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"messages": [{"role": "user", "content": "a", "tool_calls": [1]}]}, "messages"),
    ({"messages": [*ASK, {"role": "assistant", "tool_calls": [1]}]}, "messages"),
    ({"messages": [*ASK, {"role": "assistant", "tool_calls": {"a": 1}}]}, "messages"),
    ({"messages": [*ASK, {"role": "assistant", "content": None}]}, "messages"),
])
def test_what_cannot_be_done_is_refused(server, more, param):
    with pytest.raises(openai.BadRequestError) as error:
        chat(server, **{"messages": ASK, **more})
    assert error.value.param == param


def test_a_template_without_tools(tenon, tiny_model, tmp_path):
    with serving(tenon, tiny_model, tmp_path) as s, pytest.raises(openai.BadRequestError) as error:
        chat(s, ASK)
    assert error.value.param == "tools" and "<tool_call>" in error.value.message
