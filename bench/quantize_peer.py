# SPDX-License-Identifier: Apache-2.0
"""AWQ and GPTQ as published, in PyTorch, written for comparison with `tenon quantize`.

  awq   Lin et al. 2023 (arXiv:2306.00978) with the settings of AutoAWQ 0.2.9: zero points, duo scaling,
        a grid of 20 ratios judged by the output of the attention or feed-forward block, scales folded
        into the norm or linear before, clipping to 100 .. 55 % for all but q and k on 512 inputs
  gptq  Frantar et al. 2022 (arXiv:2210.17323) with the settings of GPTQModel 7.7: symmetric, damping
        0.05, sites of a layer one after the other, columns in the group-aware order of Gafni et al.
        2025 (arXiv:2505.14638) or as they come

Weights are left dequantized in the model; scales are not rounded to a file's type."""
import torch

NORM_SITES = (("input_layernorm", "self_attn", ("q_proj", "k_proj", "v_proj")),
              ("post_attention_layernorm", "mlp", ("gate_proj", "up_proj")))


def pseudo_quantize(w, group, bits=4):
    """Asymmetric, as AutoAWQ does it."""
    x = w.reshape(-1, group)
    high, low = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    scale = (high - low).clamp(min=1e-5) / (2**bits - 1)
    zero = (-torch.round(low / scale)).clamp(0, 2**bits - 1)
    return ((torch.clamp(torch.round(x / scale) + zero, 0, 2**bits - 1) - zero) * scale).view_as(w)


class LayerRun:
    """The layers of a Llama one by one over all calibration samples."""

    def __init__(self, model, ids):
        self.model, self.layers = model, model.model.layers
        captured = []

        def capture(_, args, kwargs):
            captured.append((args[0] if args else kwargs.pop("hidden_states"), kwargs))
            raise StopIteration

        handle = self.layers[0].register_forward_pre_hook(capture, with_kwargs=True)
        for sample in ids:
            try:
                model(sample[None], use_cache=False)
            except StopIteration:
                pass
        handle.remove()
        self.hidden = [h for h, _ in captured]
        self.kwargs = {k: v for k, v in captured[0][1].items() if k != "hidden_states"}

    def run(self, layer):
        return [first(layer(h, **self.kwargs)) for h in self.hidden]

    def inputs(self, layer, names):
        """Of the named linears: name -> [tokens, columns]; and of whole blocks their arguments."""
        seen = {name: [] for name in names}
        handles = [dict(layer.named_modules())[name].register_forward_pre_hook(
            lambda _, args, kwargs, name=name: seen[name].append(
                args[0] if args else kwargs["hidden_states"]), with_kwargs=True) for name in names]
        self.run(layer)
        for handle in handles:
            handle.remove()
        return {name: torch.cat(x) for name, x in seen.items()}


def first(output):
    return output[0] if isinstance(output, tuple) else output


# ---- AWQ ----------------------------------------------------------------------------------------------

def best_scale(block, linears, x, group, kwargs):
    w = torch.cat([m.weight for m in linears])
    groups = w.abs().view(-1, group)
    w_mean = (groups / (groups.amax(1, keepdim=True) + 1e-6)).view_as(w).mean(0)
    x_mean = x.abs().flatten(0, -2).mean(0)
    want = first(block(x, **kwargs))
    originals = [m.weight.data.clone() for m in linears]
    best = (float("inf"), None)
    for step in range(20):
        ratio = step / 20
        s = (x_mean.pow(ratio) / (w_mean.pow(1 - ratio) + 1e-4)).clamp(min=1e-4)
        s = s / (s.max() * s.min()).sqrt()
        s[~torch.isfinite(s)] = 1
        for m, original in zip(linears, originals):
            m.weight.data = pseudo_quantize(original * s, group) / s
        loss = (first(block(x, **kwargs)) - want).float().pow(2).mean().item()
        if loss < best[0]:
            best = (loss, s.clone())
    for m, original in zip(linears, originals):
        m.weight.data = original
    return best[1]


def best_clip(w, x, group):
    x = x.flatten(0, -2)
    x = x[::max(1, x.shape[0] // 512)].view(x[::max(1, x.shape[0] // 512)].shape[0], -1, group)
    groups = w.view(w.shape[0], -1, group)
    largest = groups.abs().amax(-1, keepdim=True)
    want = torch.einsum("tgk,ogk->otg", x, groups)
    best, least = largest.clone(), torch.full_like(largest, 1e9)
    for step in range(10):
        limit = largest * (1 - step / 20)
        q = pseudo_quantize(groups.clamp(-limit, limit).reshape_as(w), group).view_as(groups)
        error = (torch.einsum("tgk,ogk->otg", x, q) - want).pow(2).mean(1)[..., None]
        better = error < least
        least[better], best[better] = error[better], limit[better]
    return groups.clamp(-best, best).view_as(w)


@torch.no_grad()
def awq(model, ids, group=128):
    run = LayerRun(model, ids)
    for layer in run.layers:
        attention, mlp = layer.self_attn, layer.mlp
        names = [f"{b}.{n}" for _, b, ns in NORM_SITES for n in ns]
        names += ["self_attn.o_proj", "mlp.down_proj", "mlp"]
        feats = run.inputs(layer, names)
        after = run.run(layer)
        # per-sample keyword arguments hold for one sample: positions and mask are the same for all
        attention_input = feats["self_attn.q_proj"]
        folds = [(layer.input_layernorm, attention, [attention.q_proj, attention.k_proj, attention.v_proj],
                  attention_input, run.kwargs)]
        if attention.v_proj.weight.shape == attention.o_proj.weight.shape:
            folds.append((attention.v_proj, attention.o_proj, [attention.o_proj],
                          feats["self_attn.o_proj"], {}))
        folds += [(layer.post_attention_layernorm, mlp, [mlp.gate_proj, mlp.up_proj], feats["mlp"], {}),
                  (mlp.up_proj, mlp.down_proj, [mlp.down_proj], feats["mlp.down_proj"], {})]
        scales = [best_scale(block, linears, x, group, kwargs) for _, block, linears, x, kwargs in folds]
        for (before, _, linears, _, _), s in zip(folds, scales):
            if isinstance(before, torch.nn.Linear):
                before.weight.data /= s[:, None]
            else:
                before.weight.data /= s
            for m in linears:
                m.weight.data *= s
                for name, module in layer.named_modules():
                    if module is m and name in feats:
                        feats[name] = feats[name] / s
        linears = {n: m for n, m in layer.named_modules() if isinstance(m, torch.nn.Linear)}
        for name, m in linears.items():
            if "q_proj" not in name and "k_proj" not in name:
                m.weight.data = best_clip(m.weight.data, feats[name], group)
        for m in linears.values():
            m.weight.data = pseudo_quantize(m.weight.data, group)
        run.hidden = after  # AutoAWQ goes on with the outputs of the layer before it was quantized


# ---- GPTQ ---------------------------------------------------------------------------------------------

def group_aware_order(diagonal, group):
    groups = diagonal.view(-1, group)
    inner = groups.argsort(1, descending=True)
    outer = groups.amax(1).argsort(descending=True)
    return (inner + torch.arange(len(groups))[:, None] * group)[outer].flatten()


def symmetric_scale(w, bits=4):
    largest = w.abs().amax(1)
    largest[largest == 0] = 1
    return 2 * largest / (2**bits - 1)


def gptq_weight(w, hessian, group, damping, group_aware, block=128, bits=4):
    w, h = w.clone(), hessian.clone()
    dead = h.diagonal() == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    order = group_aware_order(h.diagonal(), group) if group_aware else torch.arange(len(h))
    w, h = w[:, order], h[order][:, order]
    h.diagonal().add_(damping * h.diagonal().mean())
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h.double())), upper=True).float()
    out = torch.zeros_like(w)
    for begin in range(0, w.shape[1], block):
        end = min(begin + block, w.shape[1])
        part, errors = w[:, begin:end].clone(), torch.zeros(w.shape[0], end - begin)
        for i in range(end - begin):
            if (begin + i) % group == 0:
                scale = symmetric_scale(w[:, begin + i:begin + i + group])
            column = part[:, i]
            q = torch.clamp(torch.round(column / scale), -2**(bits - 1), 2**(bits - 1) - 1) * scale
            out[:, begin + i] = q
            error = (column - q) / u[begin + i, begin + i]
            part[:, i:] -= error[:, None] * u[begin + i, begin + i:end]
            errors[:, i] = error
        w[:, end:] -= errors @ u[begin:end, end:]
    return out[:, order.argsort()]


@torch.no_grad()
def gptq(model, ids, group=128, damping=0.05, group_aware=True):
    run = LayerRun(model, ids)
    sites = (["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["self_attn.o_proj"],
             ["mlp.gate_proj", "mlp.up_proj"], ["mlp.down_proj"])
    for layer in run.layers:
        modules = dict(layer.named_modules())
        for names in sites:
            x = run.inputs(layer, names[:1])[names[0]].flatten(0, -2)
            hessian = 2 / len(x) * x.T @ x
            for name in names:
                modules[name].weight.data = gptq_weight(modules[name].weight.data, hessian, group, damping,
                                                        group_aware)
        run.hidden = run.run(layer)
