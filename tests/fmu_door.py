"""How the tests call an FMU: one interface to FMPy's classes for both versions of the standard."""

import ctypes
import warnings
from pathlib import Path

import numpy as np
import pytest

fmpy = pytest.importorskip("fmpy", reason="FMUs are called through FMPy, of the extra 'examples'")
from fmpy.build import build_platform_binary  # noqa: E402, F401
from fmpy.fmi1 import FMICallException  # noqa: E402, F401
from fmpy.fmi2 import FMU2Model, FMU2Slave  # noqa: E402
from fmpy.fmi3 import FMU3Model, FMU3Slave  # noqa: E402
from fmpy.validation import validate_fmu  # noqa: E402, F401

HEADERS = Path(fmpy.__file__).parent / "c-code"  # of the standard
CLASSES = {
    ("2.0", "ModelExchange"): FMU2Model,
    ("2.0", "CoSimulation"): FMU2Slave,
    ("3.0", "ModelExchange"): FMU3Model,
    ("3.0", "CoSimulation"): FMU3Slave,
}


class Door:
    """An instance. `of` gives value references by names."""

    def __init__(self, path, folder, kind="ModelExchange", token=None, log=None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.description = fmpy.read_model_description(str(path))
            if not folder.exists():
                fmpy.extract(str(path), str(folder))
        version = self.description.fmiVersion
        self.new = version == "3.0"
        self.of = {v.name: v.valueReference for v in self.description.modelVariables}
        self.messages = []
        self.unit = CLASSES[version, kind](
            guid=token or self.description.guid or self.description.instantiationToken,
            modelIdentifier=Path(path).stem,
            unzipDirectory=str(folder),
            instanceName="one",
        )
        if self.new:
            self.unit.instantiate(logMessage=lambda *a: self.messages.append(a[3].decode()))
        else:
            self.unit.instantiate()

    def begin(self, start=0.0):
        if self.new:
            self.unit.enterInitializationMode(startTime=start)
        else:
            self.unit.setupExperiment(startTime=start)
            self.unit.enterInitializationMode()

    def run(self, start=0.0):
        """Through the initialization; then the event mode of Model Exchange, or the step mode."""
        self.begin(start)
        self.unit.exitInitializationMode()
        return self

    def get(self, names, count=None):
        references = [self.of[name] for name in names]
        if self.new:
            return np.array(self.unit.getFloat64(references, nValues=count or len(names)))
        return np.array(self.unit.getReal(references))

    def set(self, names, values):
        references = [self.of[name] for name in names]
        (self.unit.setFloat64 if self.new else self.unit.setReal)(references, list(values))

    def directional(self, unknowns, knowns, seed):
        references = [[self.of[name] for name in names] for names in (unknowns, knowns)]
        return np.array(self.unit.getDirectionalDerivative(*references, list(seed)))

    def adjoint(self, unknowns, knowns, seed, count=None):
        references = [[self.of[name] for name in names] for names in (unknowns, knowns)]
        count = count or len(knowns)
        return np.array(self.unit.getAdjointDerivative(*references, list(seed), count))

    def states(self, values):
        """The continuous states, once they are set to these."""
        kind = ctypes.c_double * len(values)
        self.unit.setContinuousStates(kind(*values), len(values))
        found = kind()
        self.unit.getContinuousStates(found, len(values))
        return np.array(found)

    def slopes(self, count):
        found = (ctypes.c_double * count)()
        get = self.unit.getContinuousStateDerivatives if self.new else self.unit.getDerivatives
        get(found, count)
        return np.array(found)

    def nominals(self, count):
        found = (ctypes.c_double * count)()
        self.unit.getNominalsOfContinuousStates(found, count)
        return np.array(found)
