"""The usual tools: torch.func and jit(vmap(jacrev)) contracted, and the kernel of neural-tangents."""

import numpy as np

from bench import ntk
from bench.cases import Case
from bench.peers import Jax, Torch, jax, torch
from bench.timing import rotate
from bench.verbs import VERBS, Verb, close, leaves

CASES = {"row_norms_squared": (256, 16), "ggn_diagonal": (256, 16), "gram": (256, 16)}


def usual(report, seconds):
    for verb, samples in CASES.items():
        for name, N in zip(("small", "wide"), samples, strict=True):
            case = Case(name, N)
            ours = Verb(case, verb).ours
            expected = leaves(ours())
            calls = {"deltanet": ours}
            for peer, module in ((Torch, torch), (Jax, jax)):
                if module is not None:
                    calls[f"{peer.name}, dense"] = peer(case.net, case.X).contracted(verb)
            if verb == "gram":
                try:
                    calls["neural-tangents"] = ntk.Peer(case)
                except FileNotFoundError as error:
                    print(error)
            for call in list(calls.values())[1:]:
                close(np.asarray(call()).reshape(expected[0].shape), expected)
            times = rotate(calls, rounds=3)
            report.row("Beside the usual tools, from X on", f"{case}, {VERBS[verb]}", times)
            if "neural-tangents" in calls:
                calls["neural-tangents"].close()
