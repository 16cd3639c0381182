# SPDX-License-Identifier: Apache-2.0
"""int4 by the packages AutoAWQ and GPTQModel themselves, for comparison with `tenon quantize`.

  quantize_package.py autoawq|gptqmodel MODEL IDS.json OUT

Runs in a Python of its own that has the package (bench_quantize.py makes it).  IDS.json holds the
calibration samples, equally long lists of token ids.  OUT becomes a Hugging Face folder whose float32
weights are what the package's codes, zero points and float16 scales stand for."""
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

GROUP = 128


def unpack(words, bits, axis):
    """Codes packed into int32, lowest bits first, along `axis`."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    codes = (words.unsqueeze(axis + 1) >> shifts.reshape([-1] + [1] * (words.dim() - axis - 1))) & (2**bits - 1)
    return codes.flatten(axis, axis + 1)


def of_gptq(t, name, v1):
    codes = unpack(t[f"{name}.qweight"], 4, 0)  # [in, out]
    zeros = unpack(t[f"{name}.qzeros"], 4, 1) + (1 if v1 else 0)
    groups = t[f"{name}.g_idx"].long()
    return ((codes - zeros[groups]) * t[f"{name}.scales"].float()[groups]).T


def of_awq(t, name):
    order = torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])

    def in_order(words):
        codes = unpack(words, 4, 1)
        return codes.view(codes.shape[0], -1, 8)[:, :, order].reshape(codes.shape)

    codes, zeros = in_order(t[f"{name}.qweight"]), in_order(t[f"{name}.qzeros"])
    scales = t[f"{name}.scales"].float()
    group = codes.shape[0] // scales.shape[0]
    return ((codes - zeros.repeat_interleave(group, 0)) * scales.repeat_interleave(group, 0)).T


def with_copies(search):
    """AutoAWQ 0.2.9 keeps a block's weights as state_dict's `.cpu()`, which is a copy on a GPU alone: on
    the CPU the first candidate's scales stay in the weights, and all others are judged with them."""
    def run(self, x, w_mean, x_mean, block, *rest, **more):
        state = block.state_dict
        block.state_dict = lambda: {name: value.clone() for name, value in state().items()}
        try:
            return search(self, x, w_mean, x_mean, block, *rest, **more)
        finally:
            del block.state_dict
    return run


def autoawq(model, ids, out):
    from awq import AutoAWQForCausalLM
    from awq.quantize.quantizer import AwqQuantizer
    AwqQuantizer._compute_best_scale = with_copies(AwqQuantizer._compute_best_scale)
    peer = AutoAWQForCausalLM.from_pretrained(model, device_map="cpu", torch_dtype=torch.float32)
    peer.quantize(None, quant_config={"zero_point": True, "q_group_size": GROUP, "w_bit": 4, "version": "GEMM"},
                  calib_data=ids, max_calib_samples=len(ids), max_calib_seq_len=len(ids[0]))
    peer.save_quantized(out, safetensors=True)
    return lambda t, name: of_awq(t, name)


def gptqmodel(model, ids, out):
    from gptqmodel import GPTQModel, QuantizeConfig
    peer = GPTQModel.load(model, QuantizeConfig(bits=4, group_size=GROUP), device="cpu")
    peer.quantize([{"input_ids": torch.tensor([x]), "attention_mask": torch.ones(1, len(x), dtype=torch.long)}
                   for x in ids], batch_size=1)
    peer.save(out)
    config = json.loads((pathlib.Path(out) / "config.json").read_text())["quantization_config"]
    v1 = config.get("checkpoint_format", config.get("format")) == "gptq"
    return lambda t, name: of_gptq(t, name, v1)


def main():
    package, model, ids, out = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
    packed = out.with_name(out.name + "-packed")
    shutil.rmtree(packed, ignore_errors=True)
    weight = {"autoawq": autoawq, "gptqmodel": gptqmodel}[package](
        str(model), json.loads(ids.read_text()), str(packed))
    packs = {}
    for file in packed.glob("*.safetensors"):
        packs.update(load_file(file))
    plain = {}
    for name in packs:
        module, _, kind = name.rpartition(".")
        if kind == "qweight":
            plain[f"{module}.weight"] = weight(packs, module).contiguous()
        elif kind == "weight":
            plain[name] = packs[name].float()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    save_file(plain, out / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model / name, out)


if __name__ == "__main__":
    main()
