# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test shares: the program, the test data, and how to run a command."""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TENON = pathlib.Path(os.environ.get("TENON", ROOT / "build/release/tenon"))
TESTDATA = pathlib.Path(os.environ.get("TENON_TESTDATA", ROOT / "../shared/testdata"))


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


class Tenon:
    """Runs `tenon ...`; a failing command raises unless check=False."""

    path = TENON

    def __call__(self, *words, check=True, timeout=120, **kwargs):
        done = subprocess.run([str(TENON), *map(str, words)], capture_output=True, text=True,
                              timeout=timeout, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"tenon {' '.join(map(str, words))} -> {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def json(self, *words, **kwargs):
        return json.loads(self(*words, "--json", **kwargs).stdout)

    def fails(self, *words, code=1, **kwargs):
        """The command must fail with this exit code and one `error:` line, which is returned."""
        done = self(*words, check=False, **kwargs)
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert len(lines) == 1, done.stderr
        return lines[0]


@pytest.fixture(scope="session")
def tenon():
    assert TENON.exists(), f"{TENON} is missing: make builds it"
    return Tenon()


@pytest.fixture(scope="session")
def testdata():
    if not TESTDATA.is_dir():
        pytest.skip("no TENON_TESTDATA folder")
    return TESTDATA


TINY_CONTEXT = 8192  # of the tiny model, in tokens


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A tiny random model: untied, with lively weights, so that different inputs give different outputs."""
    import torch  # here: most tests need neither
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    out = tmp_path_factory.mktemp("models") / "tiny"
    out.mkdir()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<|endoftext|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog " * 20,
                                   "User: hello\nAssistant: hi there\n" * 10], trainer)
    tokenizer.save(str(out / "tokenizer.json"))
    torch.manual_seed(5)
    torch.set_num_threads(1)  # the server needs the others
    config = LlamaConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=128, intermediate_size=352,
                         num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
                         max_position_embeddings=TINY_CONTEXT, tie_word_embeddings=False, bos_token_id=0,
                         eos_token_id=0, initializer_range=0.15)
    LlamaForCausalLM(config).save_pretrained(out)
    return out
