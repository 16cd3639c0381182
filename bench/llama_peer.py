#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's side of bench_cpu.py: the commands of forward_cpu.c over its shared libraries.

    llama_peer.py LIBRARY_FOLDER MODEL.gguf THREADS

LIBRARY_FOLDER holds libllama and one libggml-cpu for each kind of CPU, of which llama.cpp picks the best.
Parameters are its defaults but for the threads, the context and, with TENON_PEER_FLASH=1, flash attention; the
structures of llama.h change between versions, so fields are found in the defaults by their known values.
"""
import ctypes
import glob
import json
import os
import resource
import sys
import time

SEQUENCES, CONTEXT_EACH, VOCAB = 64, 64, 32000


class Opaque(ctypes.Structure):  # larger than any version's parameters, passed and returned by value
    _fields_ = [("words", ctypes.c_int32 * 128)]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8))]


def libraries(folder):
    """ggml-base and ggml first, so that libllama finds its symbols."""
    for name in ("libggml-base*", "libggml.*", "libggml.so*", "libllama.*"):
        for path in sorted(glob.glob(os.path.join(folder, name))):
            yield name, ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


def two_equal_threads(words):
    """n_threads and n_threads_batch stand side by side and have one default."""
    for i in range(4, 12):
        if words[i] == words[i + 1] and 1 <= words[i] <= 512 and words[i] not in (0,):
            return i
    raise SystemExit("llama_peer: this llama.cpp has other context parameters")


class Peer:
    def __init__(self, folder, model, threads):
        loaded = dict(libraries(folder))
        self.lib = lib = loaded["libllama.*"]
        ggml = loaded.get("libggml.*") or loaded["libggml.so*"]
        self.quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        if not os.environ.get("TENON_PEER_VERBOSE"):
            lib.llama_log_set(self.quiet, None)
        if hasattr(ggml, "ggml_backend_load_all_from_path"):
            ggml.ggml_backend_load_all_from_path(folder.encode())
        lib.llama_backend_init()
        lib.llama_model_default_params.restype = Opaque
        lib.llama_context_default_params.restype = Opaque
        lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Opaque]
        lib.llama_model_load_from_file.restype = ctypes.c_void_p
        lib.llama_init_from_model.argtypes = [ctypes.c_void_p, Opaque]
        lib.llama_init_from_model.restype = ctypes.c_void_p
        lib.llama_batch_init.restype = Batch
        lib.llama_decode.argtypes = [ctypes.c_void_p, Batch]
        lib.llama_get_logits_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        lib.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
        lib.llama_get_memory.argtypes = [ctypes.c_void_p]
        lib.llama_get_memory.restype = ctypes.c_void_p
        lib.llama_memory_clear.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        self.model = lib.llama_model_load_from_file(model.encode(), lib.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama_peer: llama.cpp does not open {model}")
        self.threads = threads
        self.contexts = {}
        self.batch = lib.llama_batch_init(SEQUENCES * CONTEXT_EACH, 0, 1)

    def context(self, sequences):
        """One sequence has 1024 tokens of context, many have 64 each."""
        if sequences not in self.contexts:
            params = self.lib.llama_context_default_params()
            words = params.words
            if (words[2], words[3]) != (512, 1):
                raise SystemExit("llama_peer: this llama.cpp has other context parameters")
            words[0] = 1024 if sequences == 1 else sequences * CONTEXT_EACH
            words[3] = sequences
            at = two_equal_threads(words)
            words[at] = words[at + 1] = self.threads
            context = self.lib.llama_init_from_model(self.model, params)
            if not context:
                raise SystemExit("llama_peer: no context")
            self.contexts[sequences] = context
        return self.contexts[sequences]

    def step(self, context, sequences, first, count):
        batch, n = self.batch, 0
        for s in range(sequences):
            for p in range(first, first + count):
                batch.token[n] = (1 + s * 7919 + p * 104729) % VOCAB
                batch.pos[n] = p
                batch.n_seq_id[n] = 1
                batch.seq_id[n][0] = s
                batch.logits[n] = p == first + count - 1
                n += 1
        batch.n_tokens = n
        if self.lib.llama_decode(context, batch) != 0:
            raise SystemExit("llama_peer: llama_decode failed")
        return self.lib.llama_get_logits_ith(context, count - 1)

    def obey(self, what, a, b):
        sequences = 1 if what in ("prefill", "decode") else a
        steps = {"prefill": 1, "decode": a}.get(what, b)
        before = {"prefill": 0, "decode": 64}.get(what, 16)
        count = a if what == "prefill" else 1
        context = self.context(sequences)
        self.lib.llama_memory_clear(self.lib.llama_get_memory(context), True)
        if before:
            self.step(context, sequences, 0, before)
        wall, use = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        for i in range(steps):
            logits = self.step(context, sequences, before + i, count)
        now = resource.getrusage(resource.RUSAGE_SELF)
        wall = time.perf_counter() - wall
        cpu = now.ru_utime + now.ru_stime - use.ru_utime - use.ru_stime
        return {"what": what, "tokens": sequences * steps * count, "wall": wall, "cpu": cpu,
                "logits": [logits[i] for i in range(8)]}


def main():
    peer = Peer(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        words = line.split()
        if len(words) >= 2:
            print(json.dumps(peer.obey(words[0], int(words[1]), int(words[2]) if len(words) > 2 else 0)), flush=True)


main()
