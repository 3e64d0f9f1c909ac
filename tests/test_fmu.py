"""export_fmu, called through FMPy: what it describes, and that its numbers are those of the net."""

import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
from fmu_door import Door, FMICallException, fmpy, validate_fmu
from fmu_nets import (
    NETS,
    STATES,
    classes,
    close,
    labels,
    maker,
    needs_compiler,
    pendulum,
    plain,
    samples,
    scaled,
)
from scipy.integrate import solve_ivp

import deltanet as dn

KINDS = ("ModelExchange", "CoSimulation")
ERROR = "failed with status 3"  # fmi2Error, fmi3Error
pytestmark = pytest.mark.of_c
both = pytest.mark.parametrize("version", ["2.0", "3.0"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return maker(tmp_path_factory.mktemp("fmu"))


# Description


@both
@pytest.mark.parametrize("net", NETS)
def test_valid(made, net, version):
    _, path, _ = made(net, version)
    assert validate_fmu(str(path)) == []


@both
def test_variables_have_names_units_and_start_values(made, version):
    net, path, _ = made(scaled, version)
    found = fmpy.read_model_description(str(path))
    variables = {v.name: v for v in found.modelVariables}
    for side, causality in (("input", "input"), ("output", "output")):
        names, units = getattr(net, f"{side}_names"), getattr(net, f"{side}_units")
        for name, unit in zip(names, units, strict=True):
            assert variables[name].unit == (unit or None)
            assert variables[name].causality == causality
    for name, shift, scale in zip(net.input_names, net.input_shift, net.input_scale, strict=True):
        assert (float(variables[name].start), float(variables[name].nominal)) == (shift, scale)
    assert {unit.name for unit in found.unitDefinitions} == {"K", "m3/s", "µm"}
    assert [u.variable.name for u in found.outputs] == net.output_names
    knowns = net.input_names + ["theta"] * (version == "3.0")
    assert [v.name for v in found.outputs[0].dependencies] == knowns
    if version == "3.0":
        assert variables["time_"].causality == "independent"
        theta = variables["theta"]
        assert (theta.causality, theta.variability) == ("parameter", "tunable")
        np.testing.assert_array_equal([float(v) for v in theta.start.split()], net.params)
    else:
        assert set(variables) == {*net.input_names, *net.output_names}


@both
@pytest.mark.parametrize("kind", KINDS)
def test_capabilities(made, version, kind):
    with zipfile.ZipFile(made(plain, version)[1]) as archive:
        root = ElementTree.fromstring(archive.read("modelDescription.xml"))
    new = version == "3.0"
    able = {
        f"canGetAndSetFMU{'State' if new else 'state'}",
        f"canSerializeFMU{'State' if new else 'state'}",
    }
    able |= {f"providesDirectionalDerivative{'s' * new}"}
    able |= {"providesAdjointDerivatives"} if new else {"canNotUseMemoryManagementFunctions"}
    if kind == "CoSimulation":
        able |= {"canHandleVariableCommunicationStepSize"}
    elif not new:
        able |= {"completedIntegratorStepNotNeeded"}
    attributes = dict(root.find(kind).attrib)
    assert attributes.pop("modelIdentifier") == root.get("modelName")
    assert attributes == dict.fromkeys(able, "true")


# Values and derivatives


@both
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("net", NETS)
def test_values(made, net, version, kind):
    net, path, folder = made(net, version)
    inputs, outputs = labels(net)
    door = Door(path, folder, kind).run()
    start = np.zeros(net.sizes[0]) if net.input_shift is None else net.input_shift
    for x in [start, *samples(net, 5)]:
        if x is not start:
            door.set(inputs, x)
        np.testing.assert_array_equal(door.get(inputs), x)
        y = net(x)
        np.testing.assert_allclose(door.get(outputs), y, rtol=0, atol=1e-12 * abs(y).max())


@both
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("net", [plain, classes])
def test_simulation(made, net, version, kind):
    """What is recorded at each time is y of the inputs that are recorded there."""
    net, path, _ = made(net, version)
    inputs, outputs = labels(net)
    columns = [np.linspace(0, 1, 11), *samples(net, 11).T]
    found = fmpy.simulate_fmu(
        str(path),
        fmi_type=kind,
        input=np.rec.fromarrays(columns, names=["time", *inputs]),
        stop_time=1,
        output_interval=0.1,
        output=[*inputs, *outputs],
    )
    X, y = (np.column_stack([found[name] for name in names]) for names in (inputs, outputs))
    assert len(X) == 11 and len(np.unique(X, axis=0)) >= 10  # Co-Simulation is a step late
    np.testing.assert_allclose(y, net(X), rtol=0, atol=1e-12 * abs(y).max())


@both
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("net", NETS)
def test_directional_derivatives(made, net, version, kind):
    net, path, folder = made(net, version)
    inputs, outputs = labels(net)
    door = Door(path, folder, kind).run()
    for x in samples(net, 3):
        door.set(inputs, x)
        Jx = net.input_jacobian(x)
        by_column = [door.directional(outputs, [name], [1.0]) for name in inputs]
        close(np.transpose(by_column), Jx)
        v = np.random.default_rng(6).standard_normal(len(inputs))
        close(door.directional(outputs[::-1], inputs, v), (Jx @ v)[::-1])
        close(door.directional(outputs[:1] * 2, inputs[:1] * 2, [1.0, 2.0]), 3 * Jx[[0, 0], 0])


@pytest.mark.parametrize("net", NETS)
def test_derivatives_by_theta(made, net):
    net, path, folder = made(net, "3.0")
    inputs, outputs = labels(net)
    random, (x,) = np.random.default_rng(7), samples(net, 1)
    door = Door(path, folder).run()
    door.set(inputs, x)
    v, d = random.standard_normal(len(inputs)), random.standard_normal(net.num_params)
    J, Jx = net.jacobian_dense(x), net.input_jacobian(x)
    knowns, seed = [*inputs[:1], "theta", *inputs[1:]], [v[0], *d, *v[1:]]
    close(door.directional(outputs, knowns, seed), Jx @ v + J @ d)
    u = random.standard_normal(len(outputs))
    found = door.adjoint(outputs, knowns, u, len(seed))
    close(np.delete(found, slice(1, 1 + d.size)), u @ Jx)
    close(found[1 : 1 + d.size], u @ J)
    close(door.adjoint(outputs[-1:], inputs, [2.0]), 2 * Jx[-1])
    time = "time_" if "time" in inputs else "time"
    assert door.adjoint(outputs, [time], u).tolist() == [0.0]


@pytest.mark.parametrize("kind", KINDS)
def test_theta_is_a_parameter_of_each_instance(made, kind):
    net, path, folder = made(plain, "3.0")
    one, other = (Door(path, folder, kind).run() for _ in range(2))
    changed = net.copy()
    changed.params = np.random.default_rng(8).standard_normal(net.num_params)
    (x,) = samples(net, 1)
    for door in (one, other):
        door.set(["x0", "x1", "x2"], x)
        close(door.get(["y0", "y1"]), net(x))
    one.set(["theta"], changed.params)
    np.testing.assert_array_equal(one.get(["theta"], net.num_params), changed.params)
    np.testing.assert_array_equal(other.get(["theta"], net.num_params), net.params)
    close(one.get(["y0", "y1"]), changed(x))
    close(other.get(["y0", "y1"]), net(x))
    close(one.directional(["y1"], ["x2"], [1.0]), changed.input_jacobian(x)[1:, 2])
    one.unit.reset()
    np.testing.assert_array_equal(one.get(["theta"], net.num_params), net.params)


def test_theta_does_not_change_between_events(made):
    net, path, folder = made(plain, "3.0")
    door = Door(path, folder).run()
    door.unit.enterContinuousTimeMode()
    with pytest.raises(FMICallException, match=ERROR):
        door.set(["theta"], net.params)
    door.unit.enterEventMode()
    door.set(["theta"], net.params)


def test_registered_activation_in_c(tmp_path):
    needs_compiler()
    code = "f = v * v * v; slope = 3 * v * v; second = 6 * v;"
    dn.register_activation("fmu_cubed", lambda v: v**3, lambda v: 3 * v**2, c_code=code)
    net = dn.MLP([2, 3, 1], activation="fmu_cubed", seed=0)
    net.export_fmu(tmp_path / "net.fmu")
    door = Door(tmp_path / "net.fmu", tmp_path / "net").run()
    door.set(["x0", "x1"], [0.5, -0.25])
    close(door.get(["y0"]), net([0.5, -0.25]))


# States


@both
def test_states_in_the_description(made, version):
    net, path, _ = made(pendulum, version, STATES)
    assert validate_fmu(str(path)) == []
    found = fmpy.read_model_description(str(path))
    assert found.coSimulation is None and found.modelExchange is not None
    assert found.numberOfContinuousStates == 2
    variables = {v.name: v for v in found.modelVariables}
    roles = {name: variables[name].causality for name in (*net.input_names, *net.output_names)}
    assert roles == {
        "angle": "output",
        "speed": "output",
        "torque": "input",
        "reading": "output",
        "acceleration": "local",
        "rate": "local",
    }
    slopes = [unknown.variable for unknown in found.derivatives]
    assert [v.name for v in slopes] == ["rate", "acceleration"]
    assert [v.derivative.name for v in slopes] == ["angle", "speed"]
    assert [u.variable.name for u in found.outputs] == ["angle", "speed", "reading"]
    assert [float(variables[name].start) for name in ("angle", "speed")] == list(
        net.input_shift[:2]
    )


@both
def test_states_and_their_derivatives(made, version):
    net, path, folder = made(pendulum, version, STATES)
    door = Door(path, folder)
    door.set(["angle"], [0.25])
    door.begin()
    door.set(["speed", "torque"], [-1.0, 0.5])
    door.unit.exitInitializationMode()
    x = np.array([0.25, -1.0, 0.5])
    close(door.slopes(2), net(x)[[2, 1]])
    np.testing.assert_allclose(door.nominals(2), net.input_scale[:2])
    door.unit.enterContinuousTimeMode()
    door.unit.setTime(0.5)
    x[:2] = 1.5, 0.75
    assert door.states(x[:2]).tolist() == [1.5, 0.75]
    door.set(["torque"], x[2:] * 2)
    x[2] *= 2
    close(door.slopes(2), net(x)[[2, 1]])
    close(door.get(["reading", "rate", "speed"]), [*net(x)[[0, 2]], 0.75])
    # d(derivatives, outputs)/d(states, inputs): what an implicit solver asks for
    Jx = net.input_jacobian(x)
    names = ["rate", "acceleration", "reading"]
    columns = [door.directional(names, [name], [1.0]) for name in net.input_names]
    close(np.transpose(columns), Jx[[2, 1, 0]])
    assert door.directional(["speed", "angle"], ["angle", "torque"], [3.0, 1.0]).tolist() == [0, 3]
    if version == "3.0":
        u = np.array([2.0, -1.0, 0.5])
        found = door.adjoint(["rate", "speed", "reading"], net.input_names, u)
        close(found, u[0] * Jx[2] + u[2] * Jx[0] + u[1] * np.eye(3)[1])
    with pytest.raises(FMICallException, match=ERROR):
        door.set(["angle"], [0.0])  # that of the solver now
    door.unit.terminate()


@both
def test_simulated_as_by_scipy(made, version):
    """CVODE on the FMU, and solve_ivp on the net, at tolerances that leave 1e-6."""
    net, path, _ = made(pendulum, version, STATES)
    found = fmpy.simulate_fmu(
        str(path), stop_time=3, relative_tolerance=1e-9, output_interval=0.25,
        start_values={"angle": 0.4, "speed": 0.0, "torque": 1.25},
    )  # fmt: skip
    expected = solve_ivp(
        lambda t, z: net([*z, 1.25])[[2, 1]], (0, 3), [0.4, 0.0], rtol=1e-10, atol=1e-12,
        t_eval=found["time"],
    ).y  # fmt: skip
    assert abs(expected[:, -1] - expected[:, 0]).max() > 0.5  # it moves
    for name, z in zip(("angle", "speed"), expected, strict=True):
        np.testing.assert_allclose(found[name], z, atol=1e-6)
    reading = net(np.column_stack([found["angle"], found["speed"], np.full(13, 1.25)]))[:, 0]
    np.testing.assert_allclose(found["reading"], reading, atol=1e-12)


def test_no_co_simulation_with_states(made):
    _, path, folder = made(pendulum, "3.0", STATES)
    with pytest.raises(Exception, match="instantiate"):
        Door(path, folder, "CoSimulation")


# What the standard asks of an instance


@both
def test_wrong_token(made, version):
    _, path, folder = made(plain, version)
    with pytest.raises(Exception, match="instantiate"):
        Door(path, folder, token="{00000000-0000-0000-0000-000000000000}")


@both
def test_calls_out_of_order(made, version):
    _, path, folder = made(plain, version)
    door = Door(path, folder)
    calls = [door.unit.exitInitializationMode, door.unit.enterEventMode, door.unit.terminate]
    calls += [
        door.unit.enterContinuousTimeMode,
        lambda: door.slopes(0),
        lambda: door.unit.setTime(1.0),
    ]
    calls += [door.unit.completedIntegratorStep]
    for call in calls:
        with pytest.raises(FMICallException, match=ERROR):
            call()
    if version == "3.0":
        assert "fmi3EnterEventMode must not be called in this mode" in door.messages
    door.run()
    with pytest.raises(FMICallException, match=ERROR):
        door.begin()
    door.unit.enterContinuousTimeMode()
    door.unit.terminate()
    with pytest.raises(FMICallException, match=ERROR):
        door.set(["x0"], [1.0])


@both
def test_variables_that_are_not_there(made, version):
    _, path, folder = made(plain, version)
    door = Door(path, folder).run()
    door.of |= {"none": 99, "last": max(door.of.values()) + 1}
    before = door.get(["x0", "x1", "x2"])
    for call in (
        lambda: door.get(["none"]),
        lambda: door.get(["last"]),
        lambda: door.set(["x0", "last"], [1.0, 1.0]),
        lambda: door.set(["y0"], [1.0]),  # an output
        lambda: door.directional(["x0"], ["x1"], [1.0]),  # not an unknown
        lambda: door.directional(["y0"], ["y1"], [1.0]),
        lambda: door.slopes(1),
        lambda: door.unit.getBoolean([1]),
        lambda: door.unit.getString([1]),
    ):
        with pytest.raises(FMICallException, match=ERROR):
            call()
    np.testing.assert_array_equal(door.get(["x0", "x1", "x2"]), before)
    assert list(door.unit.getBoolean([])) == []
    if version == "2.0":
        door.of["time"] = 0
        with pytest.raises(FMICallException, match=ERROR):
            door.get(["time"])
    else:
        for call in (lambda: door.get(["theta"], 3), lambda: door.set(["theta"], [1.0, 2.0])):
            with pytest.raises(FMICallException, match=ERROR):
                call()


@both
def test_steps_and_their_times(made, version):
    _, path, folder = made(plain, version)
    door = Door(path, folder, "CoSimulation").run(start=-1.0)
    if version == "3.0":
        assert door.get(["time"]).tolist() == [-1.0]
    found = door.unit.doStep(0.0, 0.25)
    door.unit.doStep(0.25, 0.5)
    if version == "3.0":
        assert found == (False, False, False, 0.25)
        assert door.get(["time"]).tolist() == [0.75]
    else:
        assert door.unit.getRealStatus(2) == 0.75  # fmi2LastSuccessfulTime
    for size in (0.0, -1.0, np.nan):
        with pytest.raises(FMICallException, match=ERROR):
            door.unit.doStep(0.75, size)


@both
@pytest.mark.parametrize("kind", KINDS)
def test_state_of_an_instance(made, version, kind):
    net, path, folder = made(plain, version)
    inputs, outputs = labels(net)
    door = Door(path, folder, kind).run()
    first, second = samples(net, 2)
    door.set(inputs, first)
    if version == "3.0":
        theta = np.arange(net.num_params) / net.num_params
        door.set(["theta"], theta)
        net = net.copy()
        net.params = theta
    get, name = door.unit, "State" if version == "3.0" else "state"
    state = getattr(get, f"getFMU{name}")()
    data = getattr(get, f"serializeFMU{name}")(state)
    door.set(inputs, second)
    close(door.get(outputs), net(second))
    getattr(get, f"setFMU{name}")(state)
    close(door.get(outputs), net(first))
    other = Door(path, folder, kind)  # not even initialized
    copied = (
        other.unit.deserializeFMUState if version == "3.0" else other.unit.deSerializeFMUstate
    )(data)
    getattr(other.unit, f"setFMU{name}")(copied)
    close(other.get(outputs), net(first))
    for of, one in ((door, state), (other, copied)):
        getattr(of.unit, f"freeFMU{name}")(one)
