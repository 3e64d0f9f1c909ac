"""export_fmu: a net as a Functional Mock-up Unit, a zip file of a description, sources and a library.

fmu_model checks and names the variables, fmu_xml describes them, fmu.h and fmi2.h or fmi3.h are its functions
in C over those of c_file, and fmu_build compiles.
"""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from deltanet._config import __version__
from deltanet._export import numbers
from deltanet._export.c_file import c_text
from deltanet._export.fmu_build import library
from deltanet._export.fmu_model import Model
from deltanet._export.fmu_xml import build_description, model_description
from deltanet._export.pieces import own_file
from deltanet._io._files import replacing

if TYPE_CHECKING:
    from deltanet._mlp import MLP

FACTS = """\
/* The functions of FMI {version} for the net of {name}.c, written by deltanet {deltanet}. C99; -lm.
 *
 * Their names begin with FMI{major}_FUNCTION_PREFIX, by default {name}_. A shared library for a simulator is
 * built with -DFMI{major}_OVERRIDE_FUNCTION_PREFIX: without a prefix.
 */
#include "{name}.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT
#endif
#if defined(__GNUC__)
#define UNUSED __attribute__((unused))
#else
#define UNUSED
#endif

#if defined(TWIN) /* {name}.c is there a second time, compiled for processors with AVX2 and FMA */
extern __typeof__({name}_eval) {name}_avx2_eval;
extern __typeof__({name}_vjp) {name}_avx2_vjp;
#define HAS_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#define NET(function) (HAS_AVX2 ? {name}_avx2_##function : {name}_##function)
#else
#define NET(function) {name}_##function
#endif
#define PREFIX {name}_
#define INPUTS {upper}_INPUTS
#define OUTPUTS {upper}_OUTPUTS
#define PARAMS {upper}_PARAMS
#define WORK {upper}_EVAL_WORK
#define STATES {states}
#define TUNABLE {tunable}
#define TOKEN "{token}"

typedef double real;
typedef {reference} Reference;
"""


def export_fmu(
    net: MLP,
    path: str | os.PathLike[str],
    name: str | None,
    version: str,
    states: Mapping[str | int, str | int] | None,
) -> None:
    path = Path(path)
    if path.suffix.lower() != ".fmu":
        raise ValueError(f"path must end in .fmu; got {os.fspath(path)!r}")
    net = net.astype("float64")
    model = Model(net, path.stem if name is None else name, version, states)
    text, header = c_text(net, model.name, model.tunable, libm=False, test=False)
    sources = {f"{model.name}.c": text, f"{model.name}.h": header}
    sources[f"{model.name}_fmu.c"] = _functions(model, "")
    compiled = [file for file in sources if file.endswith(".c")]
    token = _token([*sources.values(), model_description(model, "", compiled)])
    sources[f"{model.name}_fmu.c"] = _functions(model, token)
    entries: dict[str, str | bytes] = {
        "modelDescription.xml": model_description(model, token, compiled)
    }
    if model.version == "3.0":
        entries["sources/buildDescription.xml"] = build_description(model, compiled)
    entries |= {f"sources/{file}": text for file, text in sources.items()}
    try:
        entries |= [library(sources, model.name, version)]
    except RuntimeError as error:
        warnings.warn(
            f"{os.fspath(path)} has sources only, which the simulator must compile: {error}",
            stacklevel=3,
        )
    _write(path, entries)


def _functions(model: Model, token: str) -> str:
    """NAME_fmu.c: what is special to this net, then the same for all."""
    inputs, outputs = zip(*model.states, strict=True) if model.states else ((0,), (0,))
    facts = FACTS.format(
        version=model.version,
        major=model.version[0],
        name=model.name,
        upper=model.name.upper(),
        deltanet=__version__,
        states=len(model.states),
        tunable=int(model.tunable),
        token=token,
        reference="uint32_t" if model.version == "3.0" else "unsigned int",
    )
    nominals = [model.inputs[i].nominal for i in inputs]
    parts = [
        facts,
        _array("start", [variable.start for variable in model.inputs], model),
        _array("theta_start", model.theta, model) if model.tunable else "",
        f"/* of the states; one entry stands for none */\n{_array('nominals', nominals, model)}",
        f"static const int state_inputs[] = {{{', '.join(map(str, inputs))}}};\n",
        f"static const int state_outputs[] = {{{', '.join(map(str, outputs))}}};\n\n",
        *map(own_file, (f"fmi{model.version[0]}_types.h", "fmu.h", f"fmi{model.version[0]}.h")),
    ]
    return "".join(parts)


def _array(name: str, values: Iterable[float], model: Model) -> str:
    return numbers.array(name, values, model.net.dtype)


def _token(texts: Iterable[str]) -> str:
    """A guid that is another one if any of the texts is."""
    digest = sha256("\0".join(texts).encode()).digest()
    return f"{{{uuid.UUID(bytes=digest[:16])}}}"


def _write(path: Path, entries: Mapping[str, str | bytes]) -> None:
    """A zip file of the same bytes for the same entries: all are dated 1980, and by one system."""
    with replacing(path) as partial, ZipFile(partial, "w", ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            info = ZipInfo(name)
            info.create_system, info.external_attr = 3, 0o644 << 16
            info.compress_type = ZIP_DEFLATED
            archive.writestr(info, content)
